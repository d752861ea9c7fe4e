package rio

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"
)

// Corners of the loops over Received and Conns, and of what they leave.

// A request that has ended before who began it looks again is not the one that is armed: whoever stopped the next would ask for
// the end of that, and wait for ever.
func TestARequestThatEndsAtOnceIsNotTheArmedOne(t *testing.T) {
	r := multishots(t)
	_, c, peer := listening(t, r, "tcp4")
	in := c.rd.open(r, kindReceives)
	if err := in.arm(&c.handle); err != nil { // armed is not set: it has ended by then
		t.Fatal(err)
	}
	in.lane.cq.mu.Lock()
	if in.req != nil {
		t.Error("it is taken for the one that is armed")
	}
	in.lane.cqUnlock()
	peer.CloseWrite()
	until(t, "it ends", func() bool {
		r.reap()
		return r.inFlight() == 0
	})
}

// What a receive is into when the Ring breaks is the kernel's: nobody else may receive into it.
func TestTheBufferOfALoopOfABrokenRingIsNobodyElses(t *testing.T) {
	r := openRing(t, nil)
	_, c, _ := listening(t, r, "tcp4")
	loop := c.rd.loop(&c.handle, kindReceives)
	loop.leave()
	if buf := receiving.Get().(*[receivingSize]byte); buf == nil {
		t.Error("a loop that had no buffer leaves one")
	}
	loop = c.rd.loop(&c.handle, kindReceives)
	loop.into()
	r.fail(syscall.EIO)
	loop.leave()
	for range 4 {
		if buf := receiving.Get().(*[receivingSize]byte); buf == loop.buf {
			t.Fatal("it is given to somebody else")
		}
	}
}

// A loop whose request has found no provided buffer receives into one of its own, once: another request would find none either, and
// by then they may be back.
func TestALoopThatFoundNoBufferAsksForOneAlone(t *testing.T) {
	r := multishots(t)
	_, c, peer := listening(t, r, "tcp4")
	peer.Write([]byte("1"))
	turn := 0
	for p, err := range c.Received(t.Context()) {
		if turn++; string(p) != fmt.Sprint(turn) || err != nil {
			t.Fatalf("turn %d: %q, %v", turn, p, err)
		}
		in := c.rd.inbox.Load()
		in.lane.cq.mu.Lock()
		if in.armed != (turn == 3) || in.starved {
			t.Errorf("turn %d, armed: %v, starved: %v", turn, in.armed, in.starved)
		}
		in.starved = turn == 1
		in.lane.cqUnlock()
		if turn == 3 {
			break
		}
		fmt.Fprint(peer, turn+1)
	}
}

// Who closes a Conn under a loop leaves none of the buffers with what nobody has had.
func TestCloseUnderALoopGivesTheBuffersBack(t *testing.T) {
	r := multishots(t)
	_, c, peer := listening(t, r, "tcp4")
	peer.Write([]byte("1"))
	turn := 0
	for p, err := range c.Received(t.Context()) {
		if turn++; string(p) != fmt.Sprint(turn) || err != nil {
			t.Fatalf("turn %d: %q, %v", turn, p, err)
		}
		if turn == 3 {
			peer.Write([]byte("4"))
			c.rd.arrives(t, r, 1)
			peer.Write([]byte("5"))
			c.rd.arrives(t, r, 2)
			c.Close()
			break
		}
		fmt.Fprint(peer, turn+1)
	}
	returned(t, r)
}

// An error that nobody has heard of is no connection to be closed with the Listener, and not what the next Accept hears.
func TestAnAcceptThatHasFailedIsForgottenWithItsLoop(t *testing.T) {
	r := openRing(t, nil)
	l, _, _ := listening(t, r, "tcp4")
	in := l.in.open(r, kindAccepts)
	fails := func() {
		in.lane.cq.mu.Lock()
		in.shots = append(in.shots, shot{errno: syscall.EMFILE})
		in.lane.cqUnlock()
	}
	loop := l.in.loop(&l.handle, kindAccepts)
	fails()
	loop.leave()
	peer, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	fails()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// Of a Ring that is closed, or broken, nobody gets what a loop has left: what comes behind it he would not get either.
func TestAClosedRingHandsOutNothingThatALoopHasLeft(t *testing.T) {
	for _, end := range []struct {
		how  func(r *Ring)
		want error
	}{
		{func(r *Ring) { r.Close() }, ErrClosed},
		{func(r *Ring) { r.fail(syscall.EIO) }, syscall.EIO},
	} {
		r := multishots(t)
		_, c, peer := listening(t, r, "tcp4")
		leave(t, r, c, peer, 1, func() { peer.Write([]byte("4")) })
		end.how(r)
		if n, err := r.Recv(c, make([]byte, 1)).Wait(); n != 0 || !errors.Is(err, end.want) {
			t.Errorf("%d, %v; want %v", n, err, end.want)
		}
	}
}

// Nothing of the operation that an op stood for before is left when it stands for what a loop has left.
func TestWhatALoopHasLeftIsNoEarlierOperation(t *testing.T) {
	firstLaneOnly(t)
	r := multishots(t)
	_, c, peer := listening(t, r, "tcp4")
	leave(t, r, c, peer, 1, func() { peer.Write([]byte("4")) })
	r.lock()
	for _, o := range r.sq.pool.ops {
		if o.isFree() {
			o.kind, o.bits, o.fate, o.ends = kindFsync, bitBounded|bitQuiet, fateBroken|fateMisaligned, true
		}
	}
	r.unlock()
	buf := make([]byte, 1)
	read := r.Recv(c, buf)
	if o := read.o; o.kind != kindRecv || o.bits != 0 || o.fate != 0 || o.ends {
		t.Errorf("kind %d, bits %b, fate %b, it ends by itself: %v", o.kind, o.bits, o.fate, o.ends)
	}
	if n, err := read.Wait(); n != 1 || buf[0] != '4' || err != nil {
		t.Error(n, buf, err)
	}
}
