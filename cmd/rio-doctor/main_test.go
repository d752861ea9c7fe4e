package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-9c58b644/rio/internal/uring"
)

func TestOtherSystemsAreToldThatOnlyLinuxHasIt(t *testing.T) {
	if runtime.GOOS == "linux" {
		t.Skip("this is Linux")
	}
	var out bytes.Buffer
	if status := run([]string{t.TempDir()}, &out, &out); status != 1 || !strings.Contains(out.String(), "Only Linux has io_uring") {
		t.Errorf("status %d\n%s", status, &out)
	}
}

func TestWrongCommandLinesAreRefused(t *testing.T) {
	for _, args := range [][]string{{"-nonsense"}, {"a", "b"}} {
		var out, errs bytes.Buffer
		if status := run(args, &out, &errs); status != 2 || out.Len() != 0 || errs.Len() == 0 {
			t.Errorf("%q: status %d, %q, %q", args, status, &out, &errs)
		}
	}
}

func TestHelpIsNoFailure(t *testing.T) {
	var out, errs bytes.Buffer
	if status := run([]string{"-h"}, &out, &errs); status != 0 || !strings.Contains(errs.String(), "-json") {
		t.Errorf("status %d, %q, %q", status, &out, &errs)
	}
}

// full takes nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space") }

func TestWhatCannotBePrintedIsAFailure(t *testing.T) {
	var errs bytes.Buffer
	if status := run([]string{t.TempDir()}, full{}, &errs); status != 1 || !strings.Contains(errs.String(), "no space") {
		t.Errorf("status %d, %q", status, &errs)
	}
}

func TestPathThatIsNotThereIsNamed(t *testing.T) {
	d := examineDisk(filepath.Join(t.TempDir(), "none"))
	if d.Error == "" || !strings.Contains(d.Error, "none") {
		t.Errorf("%+v", d)
	}
}

func TestWhereNoFileCanBeMadeAnotherPathIsAskedFor(t *testing.T) {
	for err, says := range map[error]bool{syscall.EROFS: true, syscall.EACCES: true, syscall.EPERM: true, syscall.ENOSPC: false} {
		if s := elsewhere(&os.PathError{Op: "open", Path: "./x", Err: err}); strings.Contains(s, "rio-doctor PATH") != says {
			t.Errorf("%v: %q", err, s)
		}
	}
}

func TestPathIsLeftAsItWas(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "f")
	if err := os.WriteFile(name, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	if d := examineDisk(name); d.Error != "" || d.dir != dir {
		t.Errorf("%+v", d)
	}
	if b, err := os.ReadFile(name); string(b) != "content" {
		t.Errorf("the file says %q, %v", b, err)
	}
	if es, err := os.ReadDir(dir); len(es) != 1 {
		t.Error("something was left:", es, err)
	}
}

// Each cause has words of its own, and says what to type.
func TestAdviceFitsTheCause(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is but one piece of advice here")
	}
	for _, c := range []struct {
		name string
		r    report
		err  error
		says []string
		not  []string
	}{
		{"sysctl 2", report{Disabled: "2", Seccomp: "none"}, syscall.EPERM, []string{"sysctl -w kernel.io_uring_disabled=0", "/etc/sysctl.d"}, []string{"docker"}},
		{"sysctl 1", report{Disabled: "1", Group: "-1"}, syscall.EPERM, []string{"CAP_SYS_ADMIN", "sysctl -w kernel.io_uring_group="}, []string{"docker"}},
		{"seccomp", report{Disabled: "0", Seccomp: "filter"}, syscall.EPERM, []string{"--security-opt seccomp=", "Docker since 25.0", "Localhost", "SystemCallFilter="}, []string{"sysctl -w"}},
		{"both", report{Disabled: "2", Seccomp: "filter"}, syscall.EPERM, []string{"sysctl -w", "--security-opt seccomp="}, nil},
		{"EACCES", report{Disabled: "0", Seccomp: "filter"}, syscall.EACCES, []string{"--security-opt seccomp="}, nil},
		{"sysctl 1, but not for this user", report{Disabled: "1", Group: "-1", Seccomp: "filter", exempt: true}, syscall.EPERM, []string{"--security-opt seccomp="}, []string{"sysctl"}},
		{"sysctl 1, in a user namespace", report{Disabled: "1", Group: "-1", Seccomp: "none", exempt: true}, syscall.EPERM, []string{"sysctl -w kernel.io_uring_group="}, []string{"docker"}},
		{"no /proc", report{Disabled: unknown, Seccomp: "filter"}, syscall.EPERM, []string{"kernel.io_uring_disabled may", "no /proc", "seccomp filter may", "--security-opt seccomp="}, []string{"Neither", "forbids", "SELinux"}},
		{"no /proc, no filter", report{Disabled: unknown, Seccomp: "none"}, syscall.EPERM, []string{"kernel.io_uring_disabled may", "no /proc", "SELinux"}, []string{"Neither", "docker"}},
		{"a security module", report{Disabled: "0", Seccomp: "none"}, syscall.EPERM, []string{"SELinux"}, []string{"docker"}},
		{"no io_uring", report{Seccomp: "none"}, syscall.ENOSYS, []string{"5.11", "CONFIG_IO_URING"}, []string{"docker"}},
		{"hidden", report{Seccomp: "filter"}, syscall.ENOSYS, []string{"5.11", "--security-opt seccomp="}, nil},
		{"memory", report{Memlock: "65536"}, syscall.ENOMEM, []string{"RLIMIT_MEMLOCK, 65536", "ulimit -l", "LimitMEMLOCK=", "--ulimit memlock="}, nil},
		{"mappings", report{Memlock: "65536"}, os.NewSyscallError("mmap", syscall.ENOMEM), []string{"ulimit -v", "vm.max_map_count"}, []string{"MEMLOCK"}},
		{"descriptors", report{Files: "12"}, syscall.EMFILE, []string{"RLIMIT_NOFILE, 12", "ulimit -n"}, nil},
		{"too old", report{}, errors.ErrUnsupported, []string{"too old", "5.11"}, nil},
		{"anything", report{}, syscall.EIO, []string{"strace"}, nil},
	} {
		says := strings.Join(c.r.advise(c.err), "\n")
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

// Only EINVAL says that the kernel doesn't know a flag.
func TestOnlyEINVALIsANo(t *testing.T) {
	for _, c := range []struct {
		err     error
		have    bool
		unknown string
	}{
		{nil, true, ""}, {syscall.EINVAL, false, ""}, {syscall.ENOMEM, false, syscall.ENOMEM.Error()},
		{syscall.EMFILE, false, syscall.EMFILE.Error()}, {syscall.EPERM, false, syscall.EPERM.Error()},
	} {
		if have, unknown := answered(c.err); have != c.have || unknown != c.unknown {
			t.Errorf("%v: %v, %q", c.err, have, unknown)
		}
	}
}

func TestWrongBackendIsNoFaultOfTheKernels(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is but one piece of advice here")
	}
	t.Setenv("RIO_BACKEND", "nonsense")
	var out bytes.Buffer
	if status := run([]string{t.TempDir()}, &out, &out); status != 1 || !strings.Contains(out.String(), "RIO_BACKEND to auto") {
		t.Errorf("status %d\n%s", status, &out)
	}
}

// What the library uses and the kernel lacks is told with what follows from it.
func TestWhatIsMissingIsToldWithWhatFollows(t *testing.T) {
	r := report{OS: "linux", Works: true, Disk: &disk{Error: "none"}}
	for _, s := range setups {
		r.Setup = append(r.Setup, ability{Name: s.name, Use: s.use, Without: s.without})
	}
	var out bytes.Buffer
	r.print(&out)
	for _, s := range setups {
		if s.use != "" && s.without != "" && !strings.Contains(out.String(), s.without) {
			t.Errorf("%s: %q is not to be seen", s.name, s.without)
		}
	}
	if strings.Contains(out.String(), "unknown") {
		t.Error("what is missing is said to be unknown")
	}
	for i := range r.Setup {
		r.Setup[i].Unknown = "nobody says"
	}
	out.Reset()
	r.print(&out)
	if n := strings.Count(out.String(), "unknown: nobody says"); n != 1 || strings.Contains(out.String(), "without:") {
		t.Errorf("what nobody answered is said to be missing, or the cause is told %d times", n)
	}
	for _, o := range uring.Operations {
		if o.Use == "" {
			t.Error(o.Name, "is used for nothing")
		}
	}
}
