package rio_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-9c58b644/rio"
	"github.com/seed-9c58b644/rio/internal/uring/seccomptest"
)

// forbid is how a test has itself run where an io_uring system call fails: NUMBER=ERRNO.
const forbid = "RIO_TEST_FORBID"

// What has forbid set puts itself under a seccomp filter, as containers are.
func init() {
	var nr, errno uint32
	if n, _ := fmt.Sscanf(os.Getenv(forbid), "%d=%d", &nr, &errno); n != 2 {
		return
	}
	os.Setenv(forbid, "done")
	if err := seccomptest.Forbid(nr, syscall.Errno(errno)); err != nil {
		panic(err)
	}
}

const setup, enter, register = 425, 426, 427 // io_uring_*, the same on every architecture

// forbidden runs the calling test once more, where a system call fails; it reports whether this is that run.
func forbidden(t *testing.T, nr int, errno syscall.Errno) bool {
	t.Helper()
	if os.Getenv(forbid) == "done" {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "RIO_BACKEND=") && !strings.HasPrefix(v, "RIO_TEST_SIM=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d=%d", forbid, nr, errno), "RIO_TEST_ANY=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// wantFallback asserts that Auto has fallen back for errno, and works; that it says so; and that IOUring fails.
func wantFallback(t *testing.T, errno syscall.Errno, says string) {
	t.Helper()
	var log bytes.Buffer
	r := newRing(t, &rio.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	b, why := r.Backend()
	if b != rio.Threads || !strings.Contains(why, errno.Error()) || !strings.Contains(why, says) {
		t.Errorf("%v, %q; want threads, %q and %q", b, why, errno.Error(), says)
	}
	if n := strings.Count(log.String(), "on threads"); n != 1 || !strings.Contains(log.String(), errno.Error()) {
		t.Errorf("logged: %s", &log)
	}
	f := tempFile(t, "")
	chain := r.Chain()
	write := chain.WriteAt(f, []byte("a record"), 0)
	sync := chain.Fdatasync(f)
	if err := chain.Submit(); err != nil {
		t.Fatal(err)
	}
	ok(t, write)
	ok(t, sync)
	buf := make([]byte, 20)
	if n := ok(t, r.ReadAt(f, buf, 2)); string(buf[:n]) != "record" {
		t.Errorf("%q", buf[:n])
	}
	a, c := tcpPair(t)
	recv := r.Recv(a, buf)
	ok(t, r.Send(c, []byte("over a socket")))
	if n := ok(t, recv); string(buf[:n]) != "over a socket" {
		t.Errorf("%q", buf[:n])
	}
	if r, err := rio.New(&rio.Config{Backend: rio.IOUring}); !errors.Is(err, errno) {
		t.Errorf("IOUring: %v; want %v", err, errno)
		if err == nil {
			r.Close()
		}
	}
	for option, cfg := range map[string]*rio.Config{"SQPoll": {SQPoll: true}, "IOPoll": {IOPoll: true}, "SetupFlags": {SetupFlags: 1 << 4}} {
		if r, err := rio.New(cfg); !errors.Is(err, errno) || !strings.Contains(err.Error(), option) {
			t.Errorf("Auto with %s: %v", option, err)
			if err == nil {
				r.Close()
			}
		}
	}
}

func TestAutoFallsBackWhereSeccompForbidsSetup(t *testing.T) {
	if forbidden(t, setup, syscall.EPERM) {
		wantFallback(t, syscall.EPERM, "")
	}
}

func TestAutoFallsBackWhereSeccompDeniesEnter(t *testing.T) {
	if forbidden(t, enter, syscall.EACCES) {
		wantFallback(t, syscall.EACCES, "io_uring_enter")
	}
}

func TestAutoFallsBackWhereSeccompForbidsRegister(t *testing.T) {
	if forbidden(t, register, syscall.EPERM) {
		wantFallback(t, syscall.EPERM, "io_uring_register")
	}
}

func TestAutoFallsBackOnAnOldKernel(t *testing.T) {
	if forbidden(t, setup, syscall.ENOSYS) {
		wantFallback(t, syscall.ENOSYS, "no io_uring")
	}
}

// Want of memory or of descriptors passes: it is an error, not another backend.
func TestAutoDoesNotFallBackForWantOfMemory(t *testing.T) { wantNoFallback(t, syscall.ENOMEM) }

func TestAutoDoesNotFallBackForWantOfDescriptors(t *testing.T) { wantNoFallback(t, syscall.EMFILE) }

func wantNoFallback(t *testing.T, errno syscall.Errno) {
	t.Helper()
	if !forbidden(t, setup, errno) {
		return
	}
	r, err := rio.New(nil)
	if !errors.Is(err, errno) {
		t.Errorf("%v; want %v", err, errno)
	}
	if err == nil {
		r.Close()
	}
}

// Threads make the calls that every kernel has, and every filter allows.
func TestThreadsNeedNoPreadv2(t *testing.T)  { threadsWithout(t, unix.SYS_PREADV2) }
func TestThreadsNeedNoPwritev2(t *testing.T) { threadsWithout(t, unix.SYS_PWRITEV2) }

func threadsWithout(t *testing.T, nr int) {
	if !forbidden(t, nr, syscall.ENOSYS) {
		return
	}
	r := newRing(t, &rio.Config{Backend: rio.Threads})
	f := tempFile(t, "")
	ok(t, r.WriteAt(f, []byte("a record, and another"), 0))
	ok(t, r.WritevAt(f, [][]byte{[]byte("A"), []byte(" R")}, 0))
	own, err := r.NewFile(f)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	buf, all := make([]byte, 2), make([]byte, 30)
	if n := ok(t, r.ReadvAt(f, [][]byte{buf, all}, 0)); string(buf)+string(all[:n-2]) != "A Record, and another" {
		t.Errorf("%q, %q", buf, all[:n-2])
	}
	if n, err := own.Read(buf); n != 2 || err != nil || string(buf) != "A " {
		t.Error(n, err, buf)
	}
	if n, err := own.Write([]byte("w")); n != 1 || err != nil { // at the file's own position
		t.Error(n, err)
	}
	if n := ok(t, r.ReadAt(own, all, 0)); string(all[:n]) != "A wecord, and another" {
		t.Errorf("%q", all[:n])
	}
}
