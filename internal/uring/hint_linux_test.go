package uring

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-9c58b644/rio/internal/uring/seccomptest"
)

// What can be seen decides who is named, and nobody is named who is seen not to have done it.
func TestOnlyWhoCanHaveForbiddenItIsNamed(t *testing.T) {
	const sysctl, filter, module = "kernel.io_uring_disabled is ", "seccomp filter forbids", "security module"
	for _, c := range []struct {
		name                 string
		value                string
		seen, exempt, filter bool
		says                 []string
		not                  []string
	}{
		{"nobody may", "2", true, true, true, []string{sysctl + "2"}, []string{"seccomp"}},
		{"only others may", "1", true, false, true, []string{sysctl + "1"}, []string{"seccomp"}},
		{"it may, but for the filter", "1", true, true, true, []string{filter}, []string{"io_uring_disabled"}},
		{"its rights don't count", "1", true, true, false, []string{sysctl + "1"}, []string{"seccomp"}},
		{"everybody may", "0", true, false, true, []string{filter}, []string{"io_uring_disabled"}},
		{"a kernel without the sysctl", "", true, false, true, []string{filter}, []string{"io_uring_disabled"}},
		{"neither", "0", true, false, false, []string{"neither", module}, []string{filter}},
		{"no /proc", "", false, false, true, []string{"seccomp or", "kernel.io_uring_disabled", "/proc"}, []string{filter, module}},
		{"no /proc, no filter", "", false, false, false, []string{"kernel.io_uring_disabled", module, "/proc"}, []string{"seccomp"}},
	} {
		says := forbidden(c.value, c.seen, c.exempt, c.filter)
		for _, s := range c.says {
			if !strings.Contains(says, s) {
				t.Errorf("%s: %q does not say %q", c.name, says, s)
			}
		}
		for _, s := range c.not {
			if strings.Contains(says, s) {
				t.Errorf("%s: %q says %q", c.name, says, s)
			}
		}
	}
}

// A kernel that has no such sysctl is another matter than a process that sees none.
func TestSysctlThatCannotBeReadIsNotAbsent(t *testing.T) {
	was := procSys
	defer func() { procSys = was }()
	dir := t.TempDir()
	write := func(name, s string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	procSys = filepath.Join(dir, "none") + "/"
	if v, _, seen := Disabled(); v != "" || seen {
		t.Errorf("without /proc: %q, %v", v, seen)
	}
	if s := setupError(unix.EPERM, 0).Error(); !strings.Contains(s, "io_uring_disabled") || !strings.Contains(s, "/proc") {
		t.Errorf("without /proc: %q", s)
	}
	procSys = dir + "/"
	if v, _, seen := Disabled(); v != "" || !seen {
		t.Errorf("not in /proc: %q, %v", v, seen)
	}
	write("io_uring_disabled", "1\n")
	write("io_uring_group", "-1\n")
	if v, group, seen := Disabled(); v != "1" || group != "-1" || !seen {
		t.Errorf("%q, %q, %v", v, group, seen)
	}
	procSys = filepath.Join(dir, "io_uring_group") + "/" // ENOTDIR
	if v, _, seen := Disabled(); v != "" || seen {
		t.Errorf("what can't be read: %q, %v", v, seen)
	}
}

// Without descriptors neither a ring nor an eventfd is to be had, and both errors say so.
func TestEventfdErrorsNameTheLimit(t *testing.T) {
	if eventfdError(nil) != nil {
		t.Error("no error is one")
	}
	err := eventfdError(unix.EMFILE)
	if s := err.Error(); !errors.Is(err, unix.EMFILE) || !strings.Contains(s, "ring") || !strings.Contains(s, "eventfd") || !strings.Contains(s, "ulimit -n") {
		t.Error(err)
	}
	if s := eventfdError(unix.EPERM).Error(); strings.Contains(s, "(") {
		t.Errorf("io_uring's own causes are told of an eventfd: %q", s)
	}
}

// hintRole has this test's child put a filter over itself, or take its descriptors away.
const hintRole = "RIO_HINT_ROLE"

// inChild runs the calling test again in a process of its own, and reports whether this is that one.
func inChild(t *testing.T, role string) bool {
	t.Helper()
	switch os.Getenv(hintRole) {
	case role:
		return true
	case "":
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), hintRole+"="+role)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", role, err, out)
		}
	}
	return false
}

func TestOpenWithoutDescriptorsNamesTheLimit(t *testing.T) {
	open(t, Config{Entries: 4, Wait: time.Millisecond}) // or skip
	if !inChild(t, "descriptors") {
		return
	}
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		t.Fatal(err)
	}
	least, err := Dup(0) // the first that is free
	if err != nil {
		t.Fatal(err)
	}
	CloseFD(least)
	for room, call := range []string{"io_uring_setup", "eventfd"} {
		lim.Cur = uint64(least + room)
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
			t.Fatal(err)
		}
		_, err := Open(Config{Entries: 4, Wait: time.Millisecond})
		if err == nil || !errors.Is(err, unix.EMFILE) || !strings.Contains(err.Error(), call) || !strings.Contains(err.Error(), "ulimit -n") {
			t.Errorf("with room for %d: %v", room, err)
		}
	}
}

func TestSeccompModeNeedsNoProc(t *testing.T) {
	if !inChild(t, "filtered") {
		return
	}
	if err := seccomptest.Forbid(unix.SYS_SYSINFO, unix.EPERM); err != nil {
		t.Fatal(err)
	}
	if s := Seccomp(); s != "filter" {
		t.Errorf("under a filter the mode is %q", s)
	}
}
