package rio_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-9c58b644/rio"
)

func TestOpenFileWhereThereIsNoDirectIO(t *testing.T) {
	r := newRing(t, nil)
	_, want := os.OpenFile("/proc/self/status", os.O_RDONLY|rio.O_DIRECT, 0)
	if want == nil {
		t.Skip("/proc has O_DIRECT here")
	}
	f, err := r.OpenFile("/proc/self/status", os.O_RDONLY|rio.O_DIRECT, 0)
	pe := (*fs.PathError)(nil)
	if f != nil || !errors.As(err, &pe) || pe.Path != "/proc/self/status" || !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), "O_DIRECT") {
		t.Errorf("%v, %v; want a PathError with EINVAL that names O_DIRECT", f, err)
	}
}

func TestFileMethodsOnADirectFile(t *testing.T) {
	r := newRing(t, nil)
	name, want := directFile(t)
	f := openOn(t, r, name, os.O_RDWR|rio.O_DIRECT)
	buf := rio.Aligned(8192, 0)
	if n, err := f.ReadAt(buf, 4096); n != 8192 || err != nil || string(buf) != string(want[4096:][:8192]) {
		t.Error(n, err)
	}
	if n, err := f.Read(buf[:4096]); n != 4096 || err != nil || string(buf[:4096]) != string(want[:4096]) {
		t.Error(n, err)
	}
	if n, err := f.WriteAt(buf[:4096], 8192); n != 4096 || err != nil {
		t.Error(n, err)
	}
	copy(want[8192:][:4096], want)
	wantContent(t, name, want)
	_, err := f.ReadAt(buf[1:4097], 0)
	pe := (*fs.PathError)(nil)
	if !errors.As(err, &pe) || !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), "alignment") {
		t.Errorf("unaligned: %v; want a PathError that has a word about alignment", err)
	}
}

func TestAlignmentIsWhatDirectIONeeds(t *testing.T) {
	r := newRing(t, nil)
	name, want := directFile(t)
	f := openOn(t, r, name, os.O_RDWR|rio.O_DIRECT)
	mem, off, err := f.Alignment()
	if errors.Is(err, errors.ErrUnsupported) {
		if olderThan(t, 6, 1) {
			t.Skip("STATX_DIOALIGN came with 6.1: ", err)
		}
		lacking(t, "%v", err)
	}
	if err != nil || mem < 1 || mem&(mem-1) != 0 || off < 1 || off&(off-1) != 0 {
		t.Fatal(mem, off, err)
	}
	buf := rio.Aligned(off+mem, 8192)[mem:] // no more aligned than it has to be
	wantInt(t, "read", r.ReadAt(f, buf[:off], int64(off)), off)
	if string(buf[:off]) != string(want[off:][:off]) {
		t.Error("read something else")
	}
	f.Close()
	if _, _, err := f.Alignment(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v; want os.ErrClosed", err)
	}
	in, _ := pipeOn(t, r)
	var pe *fs.PathError
	if _, _, err := in.Alignment(); !errors.Is(err, errors.ErrUnsupported) || !errors.As(err, &pe) || pe.Path != in.Name() {
		t.Errorf("of a pipe: %v; want ErrUnsupported, and its name", err)
	}
}

// lockedBy asks who has an fcntl lock on the file, through a descriptor that must stay open: closing it would drop the
// locks that this process has.
func lockedBy(t *testing.T, other *os.File) bool {
	t.Helper()
	lk := unix.Flock_t{Type: unix.F_WRLCK, Len: 1} // an open file description's lock conflicts with the process's own
	var err error
	withFD(t, other, func(fd int) { err = unix.FcntlFlock(uintptr(fd), unix.F_OFD_GETLK, &lk) })
	if err != nil {
		t.Fatal(err)
	}
	return lk.Type != unix.F_UNLCK
}

func TestFcntlLocksSurviveNewFile(t *testing.T) {
	r := newRing(t, nil)
	name := fileOf(t, letters(100))
	other, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	of, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	lk := unix.Flock_t{Type: unix.F_WRLCK, Len: 1}
	withFD(t, of, func(fd int) { err = unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &lk) })
	if err != nil {
		t.Fatal(err)
	}
	f, err := r.NewFile(of)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !lockedBy(t, other) {
		t.Fatal("NewFile has dropped the lock")
	}
	b := make([]byte, 8)
	for range 3 {
		if _, err := f.ReadAt(b, 0); err != nil {
			t.Fatal(err)
		}
		wantInt(t, "read", r.ReadAt(f, b, 0), 8)
		chain := r.Chain()
		read := chain.ReadAt(f, b, 0)
		chain.Submit()
		wantInt(t, "read", read, 8)
	}
	if !lockedBy(t, other) {
		t.Fatal("an operation has dropped the lock")
	}
	of.Close() // harmless
	if !lockedBy(t, other) {
		t.Error("closing the os.File has dropped the lock")
	}
	f.Close()
	if lockedBy(t, other) {
		t.Error("Close has kept the lock")
	}
}

func TestFcntlLocksSurviveOperationsOnAnOsFile(t *testing.T) {
	r := newRing(t, nil)
	name := fileOf(t, letters(100))
	other, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	of, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer of.Close()
	lk := unix.Flock_t{Type: unix.F_WRLCK, Len: 1}
	withFD(t, of, func(fd int) { err = unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &lk) })
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 8)
	wantInt(t, "plain", r.ReadAt(of, b, 0), 8)
	wantInt(t, "drained", r.ReadAt(of, b, 0, rio.Drain), 8)
	linked := r.ReadAt(of, b, 0, rio.Link)
	if _, err := r.Fsync(of).Wait(); err != nil {
		t.Error(err)
	}
	wantInt(t, "linked", linked, 8)
	chain := r.Chain()
	read := chain.ReadAt(of, b, 0)
	sync := chain.Fdatasync(of)
	if err := chain.Submit(); err != nil {
		t.Error(err)
	}
	wantInt(t, "in a chain", read, 8)
	if _, err := sync.Wait(); err != nil {
		t.Error(err)
	}
	if err := r.SubmitAll(); err != nil { // whatever is still to be taken back
		t.Error(err)
	}
	if !lockedBy(t, other) {
		t.Error("the lock is lost")
	}
}

// brokenDisk is a block device whose writes fail: a loop device on memory that was sealed since.
func brokenDisk(t *testing.T) string {
	t.Helper()
	ctl, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		lacking(t, "needs a loop device: %v", err)
	}
	defer ctl.Close()
	mem, err := unix.MemfdCreate("disk", unix.MFD_ALLOW_SEALING|unix.MFD_CLOEXEC)
	if err != nil {
		lacking(t, "memfd_create: %v", err)
	}
	defer unix.Close(mem)
	if err := unix.Ftruncate(mem, 1<<20); err != nil {
		t.Fatal(err)
	}
	for try := 0; ; try++ {
		var n int
		withFD(t, ctl, func(fd int) { n, err = unix.IoctlRetInt(fd, unix.LOOP_CTL_GET_FREE) })
		if err != nil {
			lacking(t, "LOOP_CTL_GET_FREE: %v", err)
		}
		name := fmt.Sprintf("/dev/loop%d", n)
		dev, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			lacking(t, "%v", err)
		}
		cfg := unix.LoopConfig{Fd: uint32(mem), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
		withFD(t, dev, func(fd int) { err = unix.IoctlLoopConfigure(fd, &cfg) })
		if err == unix.EBUSY && try < 10 { // somebody else was faster
			dev.Close()
			continue
		}
		if err != nil {
			dev.Close()
			lacking(t, "%s: LOOP_CONFIGURE: %v", name, err)
		}
		t.Cleanup(func() { dev.Close() }) // the last one to close it clears it
		if _, err := unix.FcntlInt(uintptr(mem), unix.F_ADD_SEALS, unix.F_SEAL_FUTURE_WRITE); err != nil {
			lacking(t, "F_SEAL_FUTURE_WRITE: %v", err)
		}
		return name
	}
}

func TestTheErrorOfASyncStays(t *testing.T) {
	name := brokenDisk(t)
	eachWay(t, func(t *testing.T, w *opWay) {
		f := w.open(t, name, os.O_RDWR)
		plain, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer plain.Close()
		for _, sync := range []func(syscall.Conn) rio.Completion[struct{}]{w.fsync, w.fdatasync} {
			wantInt(t, "write", w.writeAt(f, letters(4096), 0), 4096)
			if _, err := sync(f).Wait(); !errors.Is(err, syscall.EIO) {
				t.Fatalf("sync: %v; want EIO", err)
			}
		}
		if w.on != "own" {
			return
		}
		// The kernel has forgotten it, the File hasn't.
		if err := plain.Sync(); err != nil && !errors.Is(err, syscall.EIO) {
			t.Fatal(err)
		}
		own := f.(*rio.File)
		for range 3 {
			for what, err := range map[string]error{"Sync": own.Sync(), "Datasync": own.Datasync()} {
				if pe := (*fs.PathError)(nil); !errors.Is(err, syscall.EIO) || !errors.As(err, &pe) || pe.Path != name {
					t.Errorf("%s after that: %v; want a PathError with EIO", what, err)
				}
			}
		}
		fresh := openOn(t, w.r, name, os.O_RDWR)
		if err := fresh.Sync(); err != nil {
			t.Errorf("another File: %v", err)
		}
		if n, err := fresh.Write(letters(4096)); n != 4096 || err != nil {
			t.Fatal(n, err)
		}
		if err := fresh.Datasync(); !errors.Is(err, syscall.EIO) {
			t.Errorf("Datasync: %v; want EIO", err)
		}
		if err := fresh.Sync(); !errors.Is(err, syscall.EIO) {
			t.Errorf("Sync after it: %v; want EIO", err)
		}
	})
}

// A chain that ends in a sync reports the sync's failure, and what hangs on it doesn't run.
func TestNothingFollowsAFailedSync(t *testing.T) {
	name := brokenDisk(t)
	r := newRing(t, nil)
	f := openOn(t, r, name, os.O_RDWR)
	after := fileOf(t, nil)
	g := openOn(t, r, after, os.O_RDWR)
	chain := r.Chain()
	write := chain.WriteAt(f, letters(4096), 0)
	sync := chain.Fsync(f)
	commit := chain.WriteAt(g, []byte("committed"), 0)
	if err := chain.Submit(); err != nil {
		t.Fatal(err)
	}
	wantInt(t, "write", write, 4096)
	wantErrno(t, "fsync", sync, syscall.EIO)
	wantErrno(t, "pwrite", commit, syscall.ECANCELED)
	wantContent(t, after, nil)
}

func TestFilesWithoutAnEnd(t *testing.T) {
	r := newRing(t, nil)
	zero := openOn(t, r, "/dev/zero", os.O_RDONLY)
	b := []byte("####")
	if n, err := zero.Read(b); n != 4 || err != nil || string(b) != "\x00\x00\x00\x00" {
		t.Error(n, err)
	}
	full := openOn(t, r, "/dev/full", os.O_WRONLY)
	n, err := full.Write(b)
	if pe := (*fs.PathError)(nil); n != 0 || !errors.Is(err, syscall.ENOSPC) || !errors.As(err, &pe) || pe.Op != "write" {
		t.Errorf("/dev/full: %d, %v; want ENOSPC", n, err)
	}
}
