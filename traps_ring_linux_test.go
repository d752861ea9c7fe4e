package rio_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-9c58b644/rio"
)

// mappings counts this process's mappings of io_uring memory.
func mappings(t *testing.T) int {
	b, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(b), "io_uring")
}

func TestCloseLeavesNoMappingsAndNoDescriptors(t *testing.T) {
	fds, maps := len(openFDs()), mappings(t)
	r := newRing(t, nil)
	if mappings(t) <= maps {
		t.Fatal("an open ring has no mapping: the test sees nothing")
	}
	r.Nop()
	r.Close()
	if n := mappings(t); n != maps {
		t.Errorf("%d mappings are left", n-maps)
	}
	if n := len(openFDs()); n > fds {
		t.Errorf("%d descriptors are left", n-fds)
	}
	// A New that fails leaves nothing either.
	if r, err := rio.New(&rio.Config{SetupFlags: 1 << 30}); err == nil {
		r.Close()
		t.Fatal("an unknown flag was taken")
	}
	if n := mappings(t); n != maps {
		t.Errorf("%d mappings are left", n-maps)
	}
}

// Everything of package net and every pipe is O_NONBLOCK; operations wait all the same.
func TestNonblockingDescriptorsWait(t *testing.T) {
	shapes(t, func(t *testing.T, r *rio.Ring) {
		for _, block := range []bool{false, true} {
			var p [2]int
			flags := unix.O_CLOEXEC
			if !block {
				flags |= unix.O_NONBLOCK
			}
			if err := unix.Pipe2(p[:], flags); err != nil {
				t.Fatal(err)
			}
			pr, pw := os.NewFile(uintptr(p[0]), "r"), os.NewFile(uintptr(p[1]), "w")
			b := make([]byte, 8)
			c := r.ReadAt(pr, b, 0)
			v := c.Done()
			select {
			case <-v:
				t.Fatal("an empty pipe was read")
			default:
			}
			pending(t, c)
			unix.Write(p[1], []byte("8 bytes."))
			if n := ok(t, c); n != 8 || string(b) != "8 bytes." {
				t.Fatalf("%d %q", n, b)
			}
			// And a write to a full pipe.
			size, err := unix.FcntlInt(uintptr(p[1]), unix.F_GETPIPE_SZ, 0)
			if err != nil {
				t.Fatal(err)
			}
			if n := ok(t, r.WriteAt(pw, make([]byte, size), 0)); n != size {
				t.Fatal(n)
			}
			w := r.WriteAt(pw, []byte("x"), 0)
			pending(t, w)
			for got := 0; got < size; {
				n, err := unix.Read(p[0], make([]byte, size))
				if err != nil {
					t.Fatal(err)
				}
				got += n
			}
			if n := ok(t, w); n != 1 {
				t.Fatal(n)
			}
			pr.Close()
			pw.Close()
		}
	})
}

// An operation that was started outside a bubble or inside is waited for inside; the Ring is outside.
func TestSynctestBubble(t *testing.T) {
	r := newRing(t, nil)
	pr, pw := tempPipe(t)
	f := tempFile(t, "abc")
	outside := r.ReadAt(pr, make([]byte, 1), 0)
	late := make(chan struct{})
	go func() { // outside the bubble, by the real clock
		<-late
		for range 6 {
			time.Sleep(2 * time.Millisecond)
			pw.Write([]byte("p"))
		}
	}()
	close(late)
	synctest.Test(t, func(t *testing.T) {
		ok(t, outside)
		for range 3 { // parked, or as leader
			if n := ok(t, r.ReadAt(pr, make([]byte, 1), 0)); n != 1 {
				t.Fatal(n)
			}
		}
		c := r.ReadAt(pr, make([]byte, 1), 0)
		<-c.Done()
		ok(t, c)
		if n, err := r.ReadAt(pr, make([]byte, 1), 0).WaitContext(t.Context()); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if n := ok(t, r.ReadAt(f, make([]byte, 3), 0, rio.Drain)); n != 3 {
			t.Fatal(n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := r.ReadAt(pr, make([]byte, 1), 0).WaitContext(ctx); err != context.Canceled {
			t.Fatal(err)
		}
		var many []rio.Completion[struct{}]
		for range 2000 { // more than there are places
			many = append(many, r.Nop())
		}
		for _, c := range many {
			ok(t, c)
		}
	})
}

// More than one transfer can move: short for the Ring's operation, in full for File's methods.
func TestHugeTransfers(t *testing.T) {
	if testing.Short() {
		t.Skip("it reads gigabytes")
	}
	const limit = 0x7ffff000
	big := int64(limit + 1<<20)
	size := int(big)
	if int64(size) != big {
		t.Skip("an address space of 32 bits")
	}
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		t.Skip(err)
	}
	defer unix.Munmap(mem)
	r := newRing(t, nil)
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	// /dev/null takes everything without looking: no memory is touched.
	w, next := r.WriteAt(null, mem, 0, rio.Link), r.Nop()
	fails(t, next, syscall.ECANCELED)
	if n := ok(t, w); n != limit {
		t.Errorf("%d bytes, not %d", n, limit)
	}
	c := r.Chain()
	w, next = c.WriteAt(null, mem, 0), c.Nop()
	submit(t, c)
	fails(t, next, syscall.ECANCELED)
	if n := ok(t, w); n != limit {
		t.Errorf("%d bytes, not %d", n, limit)
	}
	vw, next := r.WritevAt(null, [][]byte{mem[:size/2], mem[size/2:]}, 0, rio.Link), r.Nop()
	fails(t, next, syscall.ECANCELED)
	if n := ok(t, vw); n != limit {
		t.Errorf("%d bytes, not %d", n, limit)
	}
	h := own(t, r, null)
	if n, err := h.Write(mem); n != size || err != nil {
		t.Errorf("Write wrote %d bytes of %d, %v", n, size, err)
	}
}

// A process's fcntl locks go away when it closes any descriptor of the file: the Ring may not even duplicate it.
func TestForeignFilesKeepTheirLocks(t *testing.T) {
	name := filepath.Join(t.TempDir(), "locked")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rc, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	rc.Control(func(fd uintptr) {
		err = unix.FcntlFlock(fd, unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Whence: 0, Start: 0, Len: 100})
	})
	if err != nil {
		t.Fatal(err)
	}
	locked := func(when string) {
		t.Helper()
		if !lockedForOthers(t, name) {
			t.Fatal("the lock is gone " + when)
		}
	}
	locked("at the start")
	r, err := rio.New(&rio.Config{Depth: 8})
	if err != nil {
		t.Fatal(err)
	}
	ok(t, r.WriteAt(f, []byte("x"), 0))
	ok(t, r.Fsync(f))
	locked("after a plain operation")
	a, b := r.WriteAt(f, []byte("x"), 0, rio.Link), r.WriteAt(f, []byte("y"), 0, rio.Drain)
	ok(t, b)
	ok(t, a)
	c := r.Chain()
	c.WriteAt(f, []byte("x"), 0)
	last := c.Fdatasync(f)
	submit(t, c)
	ok(t, last)
	locked("after linked ones")
	h, err := r.NewFile(f)
	if err != nil {
		t.Fatal(err)
	}
	ok(t, r.WriteAt(h, []byte("x"), 0))
	locked("after NewFile")
	r.Close()
	locked("after Ring.Close")
	h.Close()
}

// lockedForOthers asks from an open file description of its own, whose locks are not the process's.
func lockedForOthers(t *testing.T, name string) bool {
	if os.Getenv("RIO_TEST_LOCK") != "" {
		return false
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestLockHelper$", "-test.v")
	cmd.Env = append(os.Environ(), "RIO_TEST_LOCK="+name)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return strings.Contains(string(out), "lock: taken")
}

// TestLockHelper is the other process.
func TestLockHelper(t *testing.T) {
	name := os.Getenv("RIO_TEST_LOCK")
	if name == "" {
		t.Skip("it is for TestForeignFilesKeepTheirLocks")
	}
	fd, err := unix.Open(name, unix.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	l := unix.Flock_t{Type: unix.F_WRLCK, Whence: 0, Start: 0, Len: 100}
	if err := unix.FcntlFlock(uintptr(fd), unix.F_GETLK, &l); err != nil {
		t.Fatal(err)
	}
	if l.Type == unix.F_UNLCK {
		fmt.Println("lock: free")
	} else {
		fmt.Println("lock: taken")
	}
}

// A refused connect ends its chain.
func TestRefusedConnectEndsItsChain(t *testing.T) {
	r := newRing(t, nil)
	l, err := r.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddrPort(l.Addr().String())
	l.Close()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	sock := os.NewFile(uintptr(fd), "socket")
	defer sock.Close()
	f := tempFile(t, ".")
	c := r.Chain()
	con, after := c.Connect(sock, addr), c.WriteAt(f, []byte("X"), 0)
	submit(t, c)
	fails(t, con, syscall.ECONNREFUSED)
	fails(t, after, syscall.ECANCELED)
	if got := content(t, f); got != "." {
		t.Fatal(got)
	}
}

// The limit on locked memory is that of one user: root is not asked, so the test drops it in a process of its own.
func TestRingsWithinTheMemlockLimit(t *testing.T) {
	if os.Getenv("RIO_TEST_MEMLOCK") != "" {
		if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 8 << 20, Max: 8 << 20}); err != nil {
			t.Fatal(err)
		}
		for i := range 200 {
			r, err := rio.New(&rio.Config{Depth: 4096})
			if err != nil {
				t.Fatalf("ring %d: %v", i, err)
			}
			r.Close()
		}
		var open []*rio.Ring
		for range 200 { // all at once: the error names the limit
			r, err := rio.New(&rio.Config{Depth: 4096})
			if err != nil {
				if !errors.Is(err, syscall.ENOMEM) || !strings.Contains(err.Error(), "RLIMIT_MEMLOCK") {
					t.Error(err)
				}
				break
			}
			open = append(open, r)
		}
		for _, r := range open {
			r.Close()
		}
		return
	}
	if os.Getuid() != 0 {
		t.Skip("it needs root, to become somebody else")
	}
	if testing.Short() {
		t.Skip("it opens hundreds of rings")
	}
	exe, dir := os.Args[0], t.TempDir()
	b, err := os.ReadFile(exe) // the other user may not be able to get at it where it is
	if err != nil {
		t.Fatal(err)
	}
	exe = filepath.Join(dir, "t.test")
	if err := os.WriteFile(exe, b, 0o755); err != nil {
		t.Fatal(err)
	}
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		os.Chmod(d, 0o755)
	}
	cmd := exec.Command(exe, "-test.run=^TestRingsWithinTheMemlockLimit$", "-test.timeout=60s")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "RIO_TEST_MEMLOCK=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
