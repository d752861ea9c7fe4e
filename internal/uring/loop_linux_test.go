package uring

import (
	"bytes"
	"encoding/binary"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openLoop returns a Loop for this test's thread.
func openLoop(t *testing.T, plain bool) *Loop {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	l, err := OpenLoop(8, 64, plain, false, nil)
	if err != nil {
		if os.Getenv("RIO_TEST_REQUIRE") == "" {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func socketpair(t *testing.T) (a, b int) {
	t.Helper()
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(p[0])
		unix.Close(p[1])
	})
	return p[0], p[1]
}

// next waits for a CQE.
func (l *Loop) next(t *testing.T) CQE {
	t.Helper()
	for range 1000 {
		if l.CQ.Ready() > 0 {
			e := l.CQ.Next()
			l.CQ.Done()
			return e
		}
		if errno := l.Enter(1); errno != 0 && errno != unix.EINTR {
			t.Fatal(errno)
		}
	}
	t.Fatal("no CQE")
	return CQE{}
}

func TestProvidedBuffersGoRound(t *testing.T) {
	l := openLoop(t, false)
	a, b := socketpair(t)
	const n, size = 4, 4096
	bufs, err := l.Buffers(7, n, size)
	if err != nil {
		t.Skip(err) // before 5.19
	}
	defer bufs.Close(l)
	arm := func() {
		l.SQ.Claim().FillRecvMulti(int32(a), 7, 42)
		l.SQ.Publish()
	}
	arm()
	for i := range 70000 { // more than the 65536 of its indices
		var m [8]byte
		binary.NativeEndian.PutUint64(m[:], uint64(i))
		if _, err := unix.Write(b, m[:]); err != nil {
			t.Fatal(err)
		}
		e := l.next(t)
		id, ok := e.Buffer()
		if e.Res != 8 || !ok || e.UserData != 42 || !bytes.Equal(bufs.Bytes(id, 8), m[:]) {
			t.Fatalf("message %d: %+v", i, e)
		}
		bufs.Give(id)
		bufs.Publish()
		if !e.More() {
			arm()
		}
	}
	// Buffers that are not given back are used up, and nothing but those that were is overwritten.
	held := map[uint16]byte{}
	for i := range byte(n) {
		unix.Write(b, []byte{i})
		e := l.next(t)
		id, _ := e.Buffer()
		if e.Res != 1 || bufs.Bytes(id, 1)[0] != i {
			t.Fatalf("%+v", e)
		}
		if _, twice := held[id]; twice {
			t.Fatalf("buffer %d was taken twice", id)
		}
		held[id] = i
		if !e.More() {
			arm()
		}
	}
	unix.Write(b, []byte{99})
	if e := l.next(t); syscall.Errno(-e.Res) != unix.ENOBUFS || e.More() {
		t.Fatalf("without a buffer: %+v", e)
	}
	for id, want := range held {
		if got := bufs.Bytes(id, 1)[0]; got != want {
			t.Errorf("buffer %d holds %d, not %d", id, got, want)
		}
	}
	for id := range held {
		bufs.Give(id)
	}
	bufs.Publish()
	arm()
	e := l.next(t)
	if id, ok := e.Buffer(); e.Res != 1 || !ok || bufs.Bytes(id, 1)[0] != 99 {
		t.Errorf("with buffers again: %+v", e)
	} else {
		bufs.Give(id)
		bufs.Publish()
	}
	unix.Shutdown(b, unix.SHUT_WR)
	if e := l.next(t); e.Res != 0 || e.More() {
		t.Errorf("at the end of the stream: %+v", e)
	}
}

func TestBufferThatThereIsNoneOfIsAPanic(t *testing.T) {
	l := openLoop(t, false)
	bufs, err := l.Buffers(0, 2, 64)
	if err != nil {
		t.Skip(err)
	}
	defer bufs.Close(l)
	for _, f := range []func(){func() { bufs.Bytes(2, 1) }, func() { bufs.Bytes(0, 65) }} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		}()
	}
	if b := bufs.Bytes(1, 3); len(b) != 3 || cap(b) != 3 {
		t.Errorf("length %d, capacity %d", len(b), cap(b))
	}
}

func TestLoopIsWokenFromAnotherThread(t *testing.T) {
	for _, plain := range []bool{false, true} {
		l := openLoop(t, plain)
		w, err := NewWaker(false)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		for range 10 {
			l.SQ.Claim().Fill(OpRead, 0, w.FD, 0, w.Addr, 8, 0, 1)
			l.SQ.Publish()
			if errno := l.Enter(0); errno != 0 && errno != unix.EINTR || l.CQ.Ready() != 0 {
				t.Fatal("nobody has woken it:", errno, l.CQ.Ready())
			}
			go w.Wake()
			if e := l.next(t); e.Res != 8 || e.UserData != 1 {
				t.Fatalf("%+v", e)
			}
		}
	}
}

func TestTimeoutOfALoopEnds(t *testing.T) {
	l := openLoop(t, false)
	var pins Pins
	defer pins.Release()
	ts := new(Timespec)
	ts.Set(int64(time.Millisecond))
	l.SQ.Claim().FillTimeout(pins.Timespec(ts), 5)
	l.SQ.Publish()
	if e := l.next(t); syscall.Errno(-e.Res) != ETIME || e.UserData != 5 {
		t.Errorf("%+v", e)
	}
	ts.Set(int64(time.Hour))
	l.SQ.Claim().FillTimeout(pins.Timespec(ts), 6)
	l.SQ.Claim().FillCancel(6, 7)
	l.SQ.Publish()
	res := map[uint64]int32{}
	for range 2 {
		e := l.next(t)
		res[e.UserData] = e.Res
	}
	if syscall.Errno(-res[6]) != unix.ECANCELED || res[7] != 0 {
		t.Error(res)
	}
}
