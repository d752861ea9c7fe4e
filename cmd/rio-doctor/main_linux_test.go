package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-9c58b644/rio"
	"github.com/seed-9c58b644/rio/internal/uring"
	"github.com/seed-9c58b644/rio/internal/uring/seccomptest"
)

// forbid is the environment variable that makes this test binary the doctor itself, under a seccomp filter: the number of a
// system call, and the errno that it has from then on; with a number behind, only where the first argument is that. Kill or
// killthread in its place end whoever makes the call.
const forbid = "RIO_DOCTOR_FORBID"

// procless takes /proc from the process before it becomes what the other variables say.
const procless = "RIO_DOCTOR_PROCLESS"

// plainly makes it the doctor, and nothing else.
const plainly = "RIO_DOCTOR_PLAINLY"

func TestMain(m *testing.M) {
	if os.Getenv(forbid) == "" {
		os.Unsetenv("RIO_BACKEND")
	}
	if os.Getenv(procless) != "" {
		loseProc()
	}
	if v := os.Getenv(forbid); v != "" {
		var nr, errno, first uint32
		n, _ := fmt.Sscan(v, &nr, &errno, &first)
		err := error(nil)
		switch {
		case strings.HasSuffix(v, " kill"):
			err = seccomptest.Kill(nr)
		case strings.HasSuffix(v, " killthread"):
			err = seccomptest.KillThread(nr)
		case n == 3:
			err = seccomptest.ForbidWith(nr, 0, first, syscall.Errno(errno))
		default:
			err = seccomptest.Forbid(nr, syscall.Errno(errno))
		}
		if err != nil {
			panic(err)
		}
		main()
	}
	if os.Getenv(plainly) != "" || os.Getenv(childVariable) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// loseProc goes on, from the beginning, where /proc and /dev are empty directories. It exits with status 3 if it may not.
func loseProc() {
	runtime.LockOSThread()
	self, err := os.Executable()
	if err == nil {
		err = unix.Unshare(unix.CLONE_NEWNS)
	}
	if err == nil {
		err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	}
	for _, dir := range []string{"/proc", "/dev"} {
		if err == nil {
			err = unix.Mount("none", dir, "tmpfs", 0, "")
		}
	}
	if err == nil {
		os.Unsetenv(procless)
		err = unix.Exec(self, os.Args, os.Environ())
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(3)
}

func requireRing(t *testing.T) {
	t.Helper()
	if _, err := uring.TrySetup(0); err != nil {
		if os.Getenv("RIO_TEST_REQUIRE") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

func TestDoctorSaysThatItWorksHere(t *testing.T) {
	requireRing(t)
	dir := t.TempDir()
	var out, errs bytes.Buffer
	if status := run([]string{dir}, &out, &errs); status != 0 || errs.Len() > 0 {
		t.Fatalf("status %d\n%s%s", status, &out, &errs)
	}
	page := out.String()
	if !strings.HasPrefix(page, "io_uring works here.\n") {
		t.Errorf("it begins with %.80q", page)
	}
	for _, o := range uring.Operations {
		l := regexp.MustCompile(fmt.Sprintf(`(?m)^  %d +%s +yes +%s$`, o.Op, o.Name, regexp.QuoteMeta(o.Use)))
		if !l.MatchString(page) {
			t.Errorf("no line says that %s (%d) is there, and for what", o.Name, o.Op)
		}
	}
	b, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	release := strings.TrimSpace(string(b))
	for _, s := range []string{
		`kernel +Linux ` + regexp.QuoteMeta(release), `seccomp +\w+`, `RLIMIT_MEMLOCK +(\d+ bytes|unlimited)`, `RLIMIT_NOFILE +\d+`,
		`kernel.io_uring_disabled +\S`, `rio\.New\(nil\) +iouring: `, `  8 +EXT_ARG +yes`, `  7 +SUBMIT_ALL +\w+`, `path +` + regexp.QuoteMeta(dir),
		`file system +\S`, `O_DIRECT +(yes|no)`, `  NOP, one at a time +\d+`, `  NOP, 64 at once +\d+`,
		`  read 4 KiB, from the page cache, one at a time +\d+ +\d+ +\d+\.\d\d`,
	} {
		if !regexp.MustCompile(`(?m)^` + s).MatchString(page) {
			t.Errorf("no line is like %q", s)
		}
	}
	if strings.Contains(page, "O_DIRECT          yes") && !regexp.MustCompile(`O_DIRECT, 64 at once +\d+ +\d+ +\d+\.\d\d`).MatchString(page) {
		t.Error("O_DIRECT was not measured")
	}
	if es, err := os.ReadDir(dir); len(es) > 0 || err != nil {
		t.Error("something was left:", es, err)
	}
	if t.Failed() {
		t.Log(page)
	}
}

func TestDoctorSpeaksJSON(t *testing.T) {
	requireRing(t)
	var out, errs bytes.Buffer
	if status := run([]string{"-json", t.TempDir()}, &out, &errs); status != 0 {
		t.Fatalf("status %d\n%s%s", status, &out, &errs)
	}
	var r report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if !r.Works || r.Kernel == "" || len(r.Opcodes) != len(uring.Operations) || len(r.Speed) < 3 || r.Speed[0].Ring <= 0 || r.Disk.FileSystem == "" {
		t.Errorf("%+v", r)
	}
	for _, f := range r.Features[:3] {
		if !f.Have {
			t.Errorf("%+v", f)
		}
	}
}

func TestDoctorNamesTheFilterThatForbidsIt(t *testing.T) {
	requireRing(t)
	for _, c := range []struct {
		call  string
		nr    int
		errno syscall.Errno
	}{
		{"io_uring_setup", 425, syscall.EPERM}, {"io_uring_setup", 425, syscall.ENOSYS},
		{"io_uring_enter", 426, syscall.EPERM}, {"io_uring_register", 427, syscall.EPERM},
	} {
		t.Run(fmt.Sprintf("%s %d", c.call, c.errno), func(t *testing.T) {
			cmd := exec.Command(os.Args[0], t.TempDir())
			cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d", forbid, c.nr, c.errno))
			b, err := cmd.Output()
			page := string(b)
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("%v\n%s", err, page)
			}
			first, _, _ := strings.Cut(page, "\n")
			if !strings.HasPrefix(first, "io_uring does not work here: ") || !strings.Contains(first, c.call) {
				t.Errorf("it begins with %q", first)
			}
			for _, s := range []string{"--security-opt seccomp=", "not measured: io_uring doesn't work", "rio.New(nil) runs on threads"} {
				if !strings.Contains(page, s) {
					t.Errorf("it doesn't say %q", s)
				}
			}
			if !regexp.MustCompile(`(?m)^seccomp +filter$`).MatchString(page) {
				t.Error("it doesn't say that there is a filter")
			}
			has := map[bool]string{true: "unknown", false: "yes"}[c.nr != 426]
			for _, o := range uring.Operations {
				if !regexp.MustCompile(fmt.Sprintf(`(?m)^  %d +%s +%s `, o.Op, o.Name, has)).MatchString(page) {
					t.Errorf("%s is not said to be there: %s", o.Name, has)
				}
			}
			if t.Failed() {
				t.Log(page)
			}
		})
	}
}

func TestDoctorThatIsInterruptedLeavesNothing(t *testing.T) {
	requireRing(t)
	dir := t.TempDir()
	left := func() (names []string) {
		es, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range es {
			names = append(names, e.Name())
		}
		return names
	}
	for range 5 {
		cmd := exec.Command(os.Args[0], dir)
		cmd.Env = append(os.Environ(), plainly+"=1")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(20 * time.Second); len(left()) == 0 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(50 * time.Millisecond) // at the beginning, or at the measuring
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
		if names := left(); len(names) > 0 {
			t.Fatal(names)
		}
	}
}

// sysfs takes no file from anybody.
func TestDirectoryThatTakesNoFileIsToldWithWhatToDo(t *testing.T) {
	if n, err := uring.FileSystem("/sys"); n != 0x62656572 || err != nil {
		t.Skipf("/sys is no sysfs: %#x, %v", n, err)
	}
	if d := examineDisk("/sys"); !strings.Contains(d.Error, "open /sys/") || !strings.Contains(d.Error, "rio-doctor PATH") {
		t.Errorf("%+v", d)
	}
}

// In a chroot, or a bare container, nothing is known of the sysctl, and nothing is said that contradicts itself.
func TestDoctorWithoutProcDoesNotGuess(t *testing.T) {
	requireRing(t)
	if uring.Race {
		t.Skip("the race detector wants /proc")
	}
	for _, filter := range []string{fmt.Sprintf("425 %d", syscall.EPERM), "", "425 kill"} {
		cmd := exec.Command(os.Args[0], t.TempDir())
		cmd.Env = append(os.Environ(), procless+"=1", plainly+"=1", forbid+"="+filter)
		b, err := cmd.Output()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() == 3 {
			t.Skipf("only root can take /proc away: %s", exit.Stderr)
		}
		page := string(b)
		first, _, _ := strings.Cut(page, "\n")
		says, not := []string{"io_uring works here.", "unknown: there is no /proc"}, []string{"before Linux 6.6"}
		switch filter {
		case "":
		case "425 kill":
			says[0] = "a seccomp filter kills whoever calls io_uring_setup"
		default:
			says = []string{"does not work here", "unknown: there is no /proc", "seccomp filter may forbid it", "kernel.io_uring_disabled may forbid it"}
			not = append(not, "Neither", "a seccomp filter forbids", "A seccomp filter forbids")
			if !strings.Contains(first, "seccomp or the sysctl kernel.io_uring_disabled") {
				t.Errorf("it begins with %q", first)
			}
		}
		for _, s := range says {
			if !strings.Contains(page, s) {
				t.Errorf("it doesn't say %q", s)
			}
		}
		for _, s := range not {
			if strings.Contains(page, s) {
				t.Errorf("it says %q", s)
			}
		}
		if t.Failed() {
			t.Fatalf("%v\n%s", err, page)
		}
	}
}

// underFilter runs the doctor in a process of its own, with what forbid says.
func underFilter(t *testing.T, filter string, env ...string) (page string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // killed threads leave a process that hangs
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], t.TempDir())
	cmd.Env = append(append(os.Environ(), forbid+"="+filter), env...)
	b, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

// A limit on locked memory may leave room for a small ring and for none of the library's.
func TestDoctorTriesWhatTheLibraryAsksFor(t *testing.T) {
	requireRing(t)
	if native := []byte{1, 0}; binary.NativeEndian.Uint16(native) != 1 {
		t.Skip("the filter is little-endian")
	}
	const nomem, limit = "cannot allocate memory", "RLIMIT_MEMLOCK, "
	for _, c := range []struct {
		name    string
		entries int
		status  int
		first   string
		says    []string
	}{
		{"New", entries, 1, "does not work here: io_uring_setup: " + nomem, []string{limit, `rio\.New\(nil\) +none: `, `SINGLE_ISSUER +yes`}},
		{"Serve", loopEntries, 0, "io_uring works here.", []string{"But Listener.Serve can't be.*" + nomem, limit, `rio\.New\(nil\) +iouring: `, `SINGLE_ISSUER +yes`}},
		{"flags", 1, 0, "io_uring works here.", []string{`SINGLE_ISSUER +unknown +Serve\n`, `SQPOLL +unknown`, "  unknown: io_uring_setup: " + nomem}},
	} {
		t.Run(c.name, func(t *testing.T) {
			page, status := underFilter(t, fmt.Sprintf("425 %d %d", syscall.ENOMEM, c.entries))
			first, _, _ := strings.Cut(page, "\n")
			if status != c.status || !strings.Contains(first, c.first) {
				t.Errorf("status %d, %q", status, first)
			}
			for _, s := range c.says {
				if !regexp.MustCompile(s).MatchString(page) {
					t.Errorf("it doesn't say %q", s)
				}
			}
			if t.Failed() {
				t.Log(page)
			}
		})
	}
}

// Where threads are asked for, New gives them, and io_uring works all the same; where they are not, it doesn't.
func TestDoctorLooksAtWhatNewGives(t *testing.T) {
	requireRing(t)
	t.Setenv("RIO_BACKEND", "threads")
	var out bytes.Buffer
	if status := run([]string{t.TempDir()}, &out, &out); status != 0 || !regexp.MustCompile(`rio\.New\(nil\) +threads: `).MatchString(out.String()) {
		t.Errorf("status %d\n%s", status, &out)
	}
}

// The doctor's sizes are the ones of New(nil) and of Serve: so it is told by the kernel (/proc/self/fdinfo).
func TestSizesAreTheLibrarys(t *testing.T) {
	requireRing(t)
	rings := func() (masks []string) {
		links, _ := filepath.Glob("/proc/self/fd/*")
		for _, l := range links {
			if to, _ := os.Readlink(l); to != "anon_inode:[io_uring]" {
				continue
			}
			b, err := os.ReadFile("/proc/self/fdinfo/" + filepath.Base(l))
			sq := regexp.MustCompile(`SqMask:\s+0x(\w+)`).FindSubmatch(b)
			cq := regexp.MustCompile(`CqMask:\s+0x(\w+)`).FindSubmatch(b)
			if sq == nil || cq == nil {
				t.Skip("this kernel doesn't tell the sizes of rings: ", err)
			}
			masks = append(masks, fmt.Sprintf("%s %s", sq[1], cq[1]))
		}
		return masks
	}
	if left := rings(); left != nil {
		t.Fatal("there are rings already: ", left)
	}
	r, err := rio.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	want := []string{fmt.Sprintf("%x %x", entries-1, cqEntries-1)}
	if got := rings(); !slices.Equal(got, want) {
		t.Errorf("New(nil) has %q, not %q", got, want)
	}
	l, err := r.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, end := context.WithCancel(t.Context())
	defer end()
	var got []string
	err = l.Serve(ctx, &rio.Server{Open: func(*rio.Stream) rio.Handler {
		got = rings()
		end()
		return nil
	}})
	for range (runtime.GOMAXPROCS(0) + 1) / 2 {
		want = append(want, fmt.Sprintf("%x %x", loopEntries-1, loopCQEntries-1))
	}
	slices.Sort(got)
	slices.Sort(want)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("Serve has %q, not %q: %v", got, want, err)
	}
}

// The filter doesn't refuse the call, but ends who makes it: the doctor lives, and says so.
func TestDoctorSurvivesTheFilterThatKills(t *testing.T) {
	requireRing(t)
	for _, c := range []struct{ call, filter string }{
		{"io_uring_setup", "425 kill"}, {"io_uring_setup", "425 killthread"},
		{"io_uring_enter", "426 kill"}, {"io_uring_register", "427 kill"}, {"io_uring_register", "427 killthread"},
	} {
		t.Run(c.filter, func(t *testing.T) {
			page, status := underFilter(t, c.filter)
			if first, _, _ := strings.Cut(page, "\n"); status != 1 || first != "io_uring does not work here: a seccomp filter kills whoever calls "+c.call {
				t.Errorf("status %d, %q", status, first)
			}
			for _, s := range []string{"SystemCallErrorNumber=EPERM", "RIO_BACKEND=threads", "SystemCallFilter=", "none: it would be killed", "not measured: "} {
				if !strings.Contains(page, s) {
					t.Errorf("it doesn't say %q", s)
				}
			}
			for _, s := range []string{" yes  ", "runs on threads: the same API"} {
				if strings.Contains(page, s) {
					t.Errorf("it says %q", s)
				}
			}
			if t.Failed() {
				t.Log(page)
			}
		})
	}
	page, status := underFilter(t, "425 kill", "RIO_BACKEND=threads")
	if !regexp.MustCompile(`rio\.New\(nil\) +threads: `).MatchString(page) || status != 1 {
		t.Errorf("with RIO_BACKEND=threads: status %d\n%s", status, page)
	}
}
