package main

import (
	"os"
	"testing"

	"github.com/seed-9c58b644/rio/examples/internal/extest"
)

func TestFilesThatLieAboutTheirSize(t *testing.T) {
	extest.RequireRing(t)
	for _, name := range []string{"/proc/version", "/proc/filesystems", "/sys/devices/system/cpu/possible"} {
		want, err := os.ReadFile(name)
		if err != nil {
			t.Skip("these are not mounted here: ", err)
		}
		wantCat(t, want, nil, name)
	}
}

func TestFullOutputIsOneLine(t *testing.T) {
	extest.RequireRing(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full here: ", err)
	}
	defer full.Close()
	name, _ := tempFile(t, 40*chunk)
	cmd := extest.Command(t, name, name)
	cmd.Stdout = full
	extest.WantFailure(t, cmd, "no space left on device")
}
