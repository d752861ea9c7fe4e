package rio

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// polling is a Ring whose Conns wait on Go's poller, and a Conn of it.
func polling(t *testing.T, cfg *Config) (r *Ring, c *Conn, peer *net.TCPConn) {
	t.Helper()
	if runtime.GOMAXPROCS(0) == 1 {
		t.Skip("with one P Conns wait in the ring")
	}
	r = openRing(t, cfg)
	if !r.linux {
		t.Skip("not on an io_uring")
	}
	_, c, peer = listening(t, r, "tcp")
	return r, c, peer
}

// waiting is how many Reads wait on Go's poller.
func (r *Ring) waiting() int {
	var s Stats
	r.waits.count(&s)
	return int(s.Started - s.Completed)
}

type received struct {
	n   int
	err error
}

// reads has c read into p.
func reads(c *Conn, p []byte) <-chan received {
	got := make(chan received, 1)
	go func() {
		n, err := c.Read(p)
		got <- received{n, err}
	}()
	return got
}

// reading is reads, and returns when it waits on Go's poller.
func reading(t *testing.T, c *Conn, p []byte) <-chan received {
	t.Helper()
	got := reads(c, p)
	until(t, "a Read waits on Go's poller", func() bool { return c.r.waiting() == 1 })
	return got
}

func TestWithSeveralPsReadsWaitOnGosPoller(t *testing.T) {
	r, c, peer := polling(t, nil)
	before := r.Stats()
	buf := make([]byte, 16)
	for i := range 3 {
		got := reading(t, c, buf)
		text := bytes.Repeat([]byte{byte('a' + i)}, i+1)
		if _, err := peer.Write(text); err != nil {
			t.Fatal(err)
		}
		if g := <-got; g.err != nil || !bytes.Equal(buf[:g.n], text) {
			t.Errorf("Read: %q, %v; want %q", buf[:g.n], g.err, text)
		}
	}
	after := r.Stats()
	if after.Submitted != before.Submitted || after.Started != before.Started+3 || after.Completed != before.Completed+3 {
		t.Errorf("before: %+v, after: %+v", before, after)
	}
	peer.CloseWrite()
	if n, err := c.Read(buf); n != 0 || err != io.EOF {
		t.Error("at the end:", n, err)
	}
}

func TestWhatWantsToSeeEveryOperationSeesReads(t *testing.T) {
	for name, cfg := range map[string]*Config{"a Profile": {Profile: io.Discard}, "TraceInFlight": nil} {
		r, c, peer := polling(t, cfg)
		TraceInFlight(cfg == nil)
		got := reads(c, make([]byte, 1))
		until(t, name+": it waits in the ring", func() bool { return r.inFlight() == 1 })
		TraceInFlight(false)
		peer.Write([]byte("x"))
		if g := <-got; g.n != 1 || g.err != nil {
			t.Error(name, g)
		}
	}
}

func TestWithOnePReadsWaitInTheRing(t *testing.T) {
	r, c, peer := polling(t, nil)
	got := reading(t, c, make([]byte, 1)) // it can wait on both
	peer.Write([]byte("x"))
	<-got
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	until(t, "the sweeper sleeps", r.asleep.Load) // it looks when it wakes up
	r.Nop().Wait()
	until(t, "the Ring sees that there is one P", func() bool { return r.procs.Load() == 1 })
	second := reads(c, make([]byte, 1))
	until(t, "it waits in the ring", func() bool { return r.inFlight() == 1 })
	if n := r.waiting(); n != 0 {
		t.Errorf("%d wait on Go's poller", n)
	}
	peer.Write([]byte("x"))
	if g := <-second; g.n != 1 || g.err != nil {
		t.Error(g)
	}
}

// A Write goes to the ring with one P, but under the race detector.
func TestWhereWritesGo(t *testing.T) {
	for _, procs := range []int{1, 2} {
		func() {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			r := openRing(t, nil)
			if !r.linux {
				t.Skip("not on an io_uring")
			}
			_, c, peer := listening(t, r, "tcp")
			before := r.Stats().Started
			if n, err := c.Write([]byte("abc")); n != 3 || err != nil {
				t.Fatal(n, err)
			}
			buf := make([]byte, 3)
			if _, err := io.ReadFull(peer, buf); err != nil || string(buf) != "abc" {
				t.Errorf("%q, %v", buf, err)
			}
			started, want := r.Stats().Started-before, uint64(0)
			if procs == 1 && !uring.Race {
				want = 1
			}
			if started != want {
				t.Errorf("%d Ps: %d operations in the ring, want %d", procs, started, want)
			}
		}()
	}
}

// Whatever a deadline does while the Ring is being closed: nobody waits afterwards.
func TestTheRingsCloseEndsReadsOnGosPoller(t *testing.T) {
	for range 20 {
		r, c, _ := polling(t, nil)
		got := reading(t, c, make([]byte, 1))
		stop := make(chan struct{})
		moved := make(chan struct{})
		go func() {
			defer close(moved)
			for {
				select {
				case <-stop:
					return
				default:
					c.SetReadDeadline(time.Time{})
					c.SetReadDeadline(time.Now().Add(time.Hour))
				}
			}
		}()
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if s := r.Stats(); s.Started != s.Completed {
			t.Errorf("after Close: %+v", s)
		}
		if g := <-got; g.n != 0 || !errors.Is(g.err, ErrClosed) {
			t.Errorf("Read: %d, %v", g.n, g.err)
		}
		close(stop)
		<-moved
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, ErrClosed) {
			t.Errorf("another Read: %v", err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// NewConn makes a socket O_NONBLOCK, as net.FileConn does, and it stays so.
func TestConnsAreNonblocking(t *testing.T) {
	for _, nonblock := range []int{0, syscall.SOCK_NONBLOCK} {
		r, _, _ := polling(t, nil)
		fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|nonblock, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer syscall.Close(fds[1])
		c, err := r.NewConn(os.NewFile(uintptr(fds[0]), "a socket"))
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 8)
		got := reading(t, c, buf)
		if uring.FileFlags(c.fd)&syscall.O_NONBLOCK == 0 {
			t.Errorf("it isn't O_NONBLOCK; before it was %#x", nonblock)
		}
		syscall.Write(fds[1], []byte("hello"))
		if g := <-got; g.err != nil || string(buf[:g.n]) != "hello" {
			t.Error(g, buf)
		}
		got = reading(t, c, buf)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if g := <-got; !errors.Is(g.err, net.ErrClosed) {
			t.Error(g)
		}
		if _, err := syscall.Write(fds[1], []byte("x")); err != syscall.EPIPE {
			t.Errorf("its descriptor is open: %v", err)
		}
	}
}

// What waits on Go's poller doesn't keep a Conn that was forgotten.
func TestAForgottenConnThatHasReadIsClosed(t *testing.T) {
	r, c, peer := polling(t, nil)
	got := reading(t, c, make([]byte, 1))
	peer.Write([]byte("x"))
	<-got
	func() {
		d := &Conn{sotype: c.sotype}
		fd, err := syscall.Dup(c.fd)
		if err != nil {
			t.Fatal(err)
		}
		d.own(r, fd)
		got := reading(t, d, make([]byte, 1))
		peer.Write([]byte("y"))
		<-got
	}()
	c.Close()
	gone := make(chan error, 1)
	go func() {
		_, err := peer.Read(make([]byte, 1))
		gone <- err
	}()
	until(t, "the peer sees that all is closed", func() bool {
		runtime.GC()
		select {
		case err := <-gone:
			return err == io.EOF || errors.Is(err, syscall.ECONNRESET)
		default:
			return false
		}
	})
	until(t, "the Ring doesn't know of it any more", func() bool {
		r.waits.mu.Lock()
		defer r.waits.mu.Unlock()
		return len(r.waits.m) == 0
	})
}
