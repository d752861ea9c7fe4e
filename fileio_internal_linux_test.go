package rio

import (
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A read that goes by the ring, of what a server answers for, is one that Close waits for: the kernel has its buffer.
func TestCloseWaitsForReadsOfRemoteFiles(t *testing.T) {
	r := openRing(t, nil)
	var p [2]int
	if err := syscall.Pipe2(p[:], syscall.O_CLOEXEC); err != nil { // not O_NONBLOCK, as remote files aren't either
		t.Fatal(err)
	}
	w := os.NewFile(uintptr(p[1]), "pipe")
	f, err := r.NewFile(os.NewFile(uintptr(p[0]), "pipe"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	t.Cleanup(func() { w.Close() })  // first, or who reads still would hold Close up
	f.remote, f.bounded = true, true // the server is w
	TraceInFlight(true)
	defer TraceInFlight(false)
	before := inflight.Count()
	read, closed := make(chan error), make(chan error)
	go func() {
		n, err := f.Read(make([]byte, 1))
		if n != 1 {
			t.Error(n)
		}
		read <- err
	}()
	until(t, "it reads", func() bool { return r.reads.now.Load() == 1 })
	until(t, "it is among what is in flight", func() bool { return inflight.Count() == before+1 })
	go func() { closed <- r.Close() }()
	until(t, "Close has begun", r.closing.Load)
	select {
	case <-closed:
		t.Error("Close didn't wait")
	case <-time.After(20 * time.Millisecond):
	}
	w.Write([]byte("x"))
	if err := <-read; err != nil {
		t.Error(err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if n := inflight.Count(); n != before {
		t.Errorf("%d in flight", n)
	}
	if _, err := f.Read(make([]byte, 1)); err == nil {
		t.Error("it reads on a closed Ring")
	}
}

// Seek, Read and Write stand in line where there is a position.
func TestWhatHasAPosition(t *testing.T) {
	r := openRing(t, nil)
	if r.portable {
		t.Skip("it is the os.File's")
	}
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	regular, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	zero, err := os.Open("/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	for want, files := range map[bool][]*os.File{true: {regular, zero}, false: {os.NewFile(uintptr(fd), "eventfd")}} {
		for _, of := range files {
			f, err := r.NewFile(of)
			if err != nil {
				t.Fatal(err)
			}
			if f.placed != want {
				t.Errorf("%s: %v", of.Name(), f.placed)
			}
			if line := f.writeTurn(); (line == &f.pos) != want {
				t.Errorf("%s: its Writes don't stand where they should", of.Name())
			}
			f.Close()
			of.Close()
		}
	}
}
