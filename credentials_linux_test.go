package rio_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-9c58b644/rio"
)

// An ordinary Ring acts for whoever calls it. The thread of a polling one acts for whoever has made the Ring, even when the
// process has given its rights up since: so Config.SQPoll says. What shows it here: a write by anybody but root takes the
// set-user-ID bit away from a file.
func TestPollingRingKeepsTheCredentialsOfItsMaker(t *testing.T) {
	if dir := os.Getenv("RIO_TEST_CREDENTIALS"); dir != "" {
		giveUpRoot(t, dir)
		return
	}
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "RIO_TEST_CREDENTIALS="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) && !strings.Contains(string(out), "--- SKIP: ") {
		t.Fatalf("%v\n%s", err, out)
	}
	if strings.Contains(string(out), "--- SKIP: ") {
		t.Skipf("%s", out)
	}
}

// giveUpRoot is for a child.
func giveUpRoot(t *testing.T, dir string) {
	open := func(name string) *os.File {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		if err := f.Chmod(0o755 | fs.ModeSetuid); err != nil {
			t.Fatal(err)
		}
		return f
	}
	plain, polls, later := open("plain"), open("polls"), open("later")
	ring := newRing(t, &rio.Config{Depth: 4})
	polling, err := rio.New(&rio.Config{Depth: 4, SQPoll: true})
	if err != nil {
		t.Skip(err)
	}
	defer polling.Close()
	// As root none of them loses the bit.
	for r, f := range map[*rio.Ring]*os.File{ring: plain, polling: polls} {
		ok(t, r.WriteAt(f, []byte("1"), 0))
		if !isSetuid(t, f) {
			t.Fatal("a write by root takes the bit away: the test sees nothing")
		}
	}
	for _, err := range []error{syscall.Setgroups(nil), syscall.Setgid(65534), syscall.Setuid(65534)} {
		if err != nil {
			t.Skip(err)
		}
	}
	ok(t, ring.WriteAt(plain, []byte("2"), 0))
	if isSetuid(t, plain) {
		t.Error("an ordinary Ring has written as root after setuid")
	}
	ok(t, polling.WriteAt(polls, []byte("2"), 0))
	if !isSetuid(t, polls) {
		t.Error("this kernel's polling thread has followed setuid: the doc comment of Config.SQPoll is wrong")
	}
	fresh, err := rio.New(&rio.Config{Depth: 4, SQPoll: true})
	if err != nil && !errors.Is(err, syscall.EPERM) { // before 5.13
		t.Fatal(err)
	}
	if err == nil {
		defer fresh.Close()
		ok(t, fresh.WriteAt(later, []byte("2"), 0))
		if isSetuid(t, later) {
			t.Error("a polling Ring that was made after setuid has written as root")
		}
	}
}

func isSetuid(t *testing.T, f *os.File) bool {
	t.Helper()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return st.Mode()&fs.ModeSetuid != 0
}
