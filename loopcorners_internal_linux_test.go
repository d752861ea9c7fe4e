package rio

import (
	"errors"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// Corners of Serve's loops, one of which the test runs by hand.

// alone is a loop that nobody runs, of a Listener that serves nobody.
func alone(t *testing.T) *loop {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	r := openRing(t, nil)
	l, err := r.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	v := newService(l, &Server{Loops: 1, Open: func(*Stream) Handler { return echoes{} }})
	v.running = v.loops
	return v.loops[0]
}

// joined is a connection, of which a loop may have one end.
func joined(t *testing.T) (fd int32, peer int) {
	t.Helper()
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(p[1]) })
	return int32(p[0]), p[1]
}

// isLeft fails t unless the peer of a connection hears that nobody has it any more.
func isLeft(t *testing.T, peer int) {
	t.Helper()
	if n, err := unix.Read(peer, make([]byte, 1)); n != 0 || err != nil {
		t.Errorf("the peer of a connection that a loop was given reads %d, %v", n, err)
	}
}

// A loop that the kernel refuses to serve closes what it was given and had not looked at.
func TestAWreckedLoopClosesWhatItWasGiven(t *testing.T) {
	l := alone(t)
	fd, peer := joined(t)
	if !l.hand(fd) {
		t.Fatal("it takes nothing")
	}
	l.wreck(syscall.EIO)
	brokenLoops.mu.Lock()
	brokenLoops.all = brokenLoops.all[:len(brokenLoops.all)-1] // nobody has anything of it
	brokenLoops.mu.Unlock()
	isLeft(t, peer)
	if fd, _ := joined(t); l.hand(fd) {
		t.Error("it takes more")
	} else {
		unix.Close(int(fd))
	}
	if err := l.v.err; !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
}

// A loop is not over while it has been given something that it has not looked at.
func TestALoopThatEndsClosesWhatItWasGiven(t *testing.T) {
	l := alone(t)
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
	defer l.close()
	l.armWaker()
	l.v.end(nil)
	l.settle()
	if !l.ending {
		t.Fatal("it doesn't end")
	}
	fd, peer := joined(t)
	if !l.hand(fd) { // after it has looked, and before it is over
		t.Fatal("it takes nothing")
	}
	if l.over() {
		t.Fatal("it is over")
	}
	until(t, "it is over", func() bool {
		if l.settle(); l.over() {
			return true
		}
		if errno := l.enter(0); errno != 0 {
			t.Error(errno)
		}
		l.awake()
		l.reap()
		return false
	})
	isLeft(t, peer)
	if fd, _ := joined(t); l.hand(fd) {
		t.Error("it takes more")
	} else {
		unix.Close(int(fd))
	}
}

// A stuckKernel takes nothing.
type stuckKernel struct{}

func (stuckKernel) Enter(_, _, _ uint32, _ time.Duration) (int, syscall.Errno) {
	return 0, syscall.EAGAIN
}
func (stuckKernel) SetFile(uint32, int) error { return nil }
func (stuckKernel) Close() error              { return nil }

// When the kernel takes nothing and the queue is full of what Streams want, there is room for all that the loop itself may have to write.
func TestStreamsLeaveALoopThePlacesThatItNeeds(t *testing.T) {
	l := alone(t)
	l.v.l.r.loopKernel = func(*uring.Queues) uring.Kernel { return stuckKernel{} }
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
	defer l.close()
	fd, peer := joined(t)
	defer unix.Close(int(fd))
	unix.Shutdown(peer, unix.SHUT_WR)
	for full := false; !full; {
		c := &Stream{loop: l, fd: fd, h: echoes{}}
		c.id = l.seats.take(c)
		if full = !l.advance(c); !full {
			l.watch(c)
			c.has &^= isHeard // it was quiet since
		}
	}
	l.look() // each has ended: a cancel for it, as long as there is room
	if c := l.lookout.streams; len(c) == 0 || c[len(c)-1].has&isRecvCancelled != 0 {
		t.Error("the queue is not full")
	}
	before := l.k.SQ.Claimed()
	func() {
		defer func() {
			if p := recover(); p != nil {
				t.Error(p)
			}
		}()
		l.armWaker()
		l.intake.arm()
		l.armLookout()
		l.end()
		for _, s := range l.seats.all {
			l.drop(s.c)
		}
		l.seats, l.intake.armed = seats{}, false
		l.over()
	}()
	if n := l.k.SQ.Claimed() - before; n != loopReserve {
		t.Errorf("%d of %d were written", n, loopReserve)
	}
}

// breaker is a Handler that aborts when something comes, and finds at once that the peer has gone.
type breaker struct{ closed chan error }

func (b breaker) Data(s *Stream, _ []byte) {
	s.Abort()
	s.fail(syscall.ECONNRESET) // as for the CQE of a send, behind this one
}
func (b breaker) Closed(_ *Stream, err error) { b.closed <- err }

// Abort is why a Stream ends, though its socket fails before the loop has come to that.
func TestAbortIsWhyThoughThePeerResets(t *testing.T) {
	b := breaker{make(chan error, 1)}
	handled(t, b, func(_ *loop, c net.Conn) {
		c.Write([]byte("x"))
		if err := <-b.closed; !errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
	})
}
