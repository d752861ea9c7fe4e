package rio_test

import (
	"fmt"
	"os"
	"testing"
)

// olderThan reports whether this kernel is older than the one that something came with. A newer one that lacks it is no
// excuse for a test.
func olderThan(t testing.TB, major, minor int) bool {
	t.Helper()
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return false // it is not Linux
	}
	var haveMajor, haveMinor int
	if _, err := fmt.Sscanf(string(b), "%d.%d", &haveMajor, &haveMinor); err != nil {
		t.Fatal(err)
	}
	return haveMajor < major || haveMajor == major && haveMinor < minor
}
