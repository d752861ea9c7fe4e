package rio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// looping has a loop receive from c until it ends: its pieces, and its last error.
func looping(ctx context.Context, c *Conn) (pieces <-chan string, last <-chan error) {
	p, l := make(chan string, 100), make(chan error, 1)
	go func() {
		var end error
		for piece, err := range c.Received(ctx) {
			if end = err; err == nil {
				p <- string(piece)
			}
		}
		l <- end
	}()
	return p, l
}

// waitsOnPoller returns when so many wait there, and fails t if the ring has anything.
func waitsOnPoller(t *testing.T, r *Ring, n int) {
	t.Helper()
	until(t, fmt.Sprint(n, " wait on Go's poller"), func() bool { return r.waiting() == n })
	if r.inFlight() != 0 {
		t.Errorf("%d in flight", r.inFlight())
	}
}

func TestLoopsWaitOnGosPoller(t *testing.T) {
	r, c, peer := polling(t, nil)
	before := r.Stats().Submitted
	pieces, last := looping(t.Context(), c)
	for i := range 3 {
		waitsOnPoller(t, r, 1)
		fmt.Fprint(peer, "piece ", i)
		if p := <-pieces; p != fmt.Sprint("piece ", i) {
			t.Errorf("%q", p)
		}
	}
	peer.CloseWrite()
	if err := <-last; err != nil || len(pieces) != 0 {
		t.Error(err, len(pieces))
	}
	if n := r.Stats().Submitted; n != before {
		t.Errorf("%d were submitted", n-before)
	}
}

func TestLoopsThatWaitOnGosPollerHaveNoBuffer(t *testing.T) {
	r, _, _ := polling(t, nil)
	var made atomic.Int32
	before := receiving.New
	defer func() { receiving.New = before }()
	receiving.New = func() any {
		made.Add(1)
		return before()
	}
	const loops = 200
	for range loops {
		_, c, _ := listening(t, r, "tcp")
		_, last := looping(t.Context(), c)
		defer func() {
			c.Close()
			<-last
		}()
	}
	waitsOnPoller(t, r, loops)
	if n := made.Load(); n > loops*3/4 { // under the race detector a sync.Pool forgets some
		t.Errorf("%d buffers for %d loops", n, loops)
	}
}

// What ends a loop that waits in the ring ends one that waits on Go's poller.
func TestLoopsOnGosPollerEnd(t *testing.T) {
	for name, end := range map[string]struct {
		f    func(r *Ring, c *Conn, cancel func())
		want error
	}{
		"context": {func(_ *Ring, _ *Conn, cancel func()) { cancel() }, context.Canceled},
		"Close":   {func(_ *Ring, c *Conn, _ func()) { c.Close() }, net.ErrClosed},
		"Ring":    {func(r *Ring, _ *Conn, _ func()) { r.Close() }, ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			for range 50 {
				r, c, peer := polling(t, nil)
				ctx, cancel := context.WithCancel(t.Context())
				pieces, last := looping(ctx, c)
				peer.Write([]byte("x"))
				<-pieces // half of the time it waits by now
				end.f(r, c, cancel)
				if err := <-last; !errors.Is(err, end.want) {
					t.Errorf("%v; want %v", err, end.want)
				}
				cancel()
				if name == "context" { // and nobody else is
					got := reading(t, c, make([]byte, 1))
					peer.Write([]byte("x"))
					if g := <-got; g.n != 1 || g.err != nil {
						t.Error(g)
					}
				}
			}
		})
	}
}

// A loop's context is its own: behind the loop it ends no Read, and keeps nothing.
func TestTheContextOfALoopThatIsOverEndsNobody(t *testing.T) {
	r, c, peer := polling(t, nil)
	cancelled, cancel := context.WithCancel(t.Context())
	before := &justBefore{Context: cancelled, done: make(chan struct{}), do: func() {}}
	for _, ctx := range []context.Context{cancelled, before} {
		peer.Write([]byte("x"))
		for range c.Received(ctx) {
			break
		}
	}
	if n := before.stops.Load(); n != 1 {
		t.Errorf("its context was left alone %d times", n)
	}
	got := reading(t, c, make([]byte, 1))
	cancel()
	peer.Write([]byte("x"))
	if g := <-got; g.n != 1 || g.err != nil {
		t.Error(g)
	}
	waitsOnPoller(t, r, 0)
}

// The deadline is Read's alone, whenever it moves; and it is there again behind the loop.
func TestDeadlinesDontReachALoopOnGosPoller(t *testing.T) {
	r, c, peer := polling(t, nil)
	c.SetReadDeadline(time.Unix(1, 0))
	before := r.Stats().Submitted
	pieces, last := looping(t.Context(), c)
	for i, at := range []time.Time{{}, time.Unix(1, 0), time.Now().Add(time.Hour), time.Unix(1, 0)} {
		waitsOnPoller(t, r, 1)
		c.SetReadDeadline(at)
		waitsOnPoller(t, r, 1)
		fmt.Fprint(peer, i)
		if p := <-pieces; p != fmt.Sprint(i) {
			t.Errorf("%q", p)
		}
	}
	peer.Write([]byte("the last one"))
	<-pieces
	waitsOnPoller(t, r, 1)
	if n := r.Stats().Submitted; n != before {
		t.Errorf("%d were submitted: the loop had to wait in the ring", n-before)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read beside it: %v", err)
	}
	peer.CloseWrite()
	if err := <-last; err != nil {
		t.Error(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read: %v", err)
	}
	c.SetReadDeadline(time.Time{})
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("Read: %v", err)
	}
}

// Who reads beside a loop has its turn; the loop waits in the ring until it has had one piece there.
func TestALoopOnGosPollerGivesWay(t *testing.T) {
	r, c, peer := polling(t, nil)
	pieces, last := looping(t.Context(), c)
	for range 100 {
		waitsOnPoller(t, r, 1)
		buf := make([]byte, 1)
		read := reads(c, buf)
		until(t, "the Read waits on Go's poller, the loop in the ring", func() bool { return r.inFlight() == 1 && r.waiting() == 1 })
		for i, theirs := 0, true; theirs; i++ { // the faster one has it, the loop mostly if the machine has much to do
			peer.Write([]byte{byte(i)})
			select {
			case p := <-pieces:
				if p != string([]byte{byte(i)}) {
					t.Fatalf("the loop has %q; want %q", p, i)
				}
			case g := <-read:
				if theirs = false; g.n != 1 || g.err != nil || buf[0] != byte(i) {
					t.Fatal(g, buf, i)
				}
			}
			if i == 10000 {
				t.Fatal("the Read gets nothing")
			}
		}
		peer.Write([]byte("y"))
		if p := <-pieces; p != "y" {
			t.Fatalf("the loop has %q", p)
		}
	}
	peer.CloseWrite()
	if err := <-last; err != nil {
		t.Error(err)
	}
}

// A deadline that is still to come comes, behind a loop that was not to have one.
func TestADeadlineIsThereAgainBehindALoop(t *testing.T) {
	_, c, peer := polling(t, nil)
	peer.Write([]byte("x"))
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	for _, err := range c.Received(t.Context()) {
		if err != nil {
			t.Error(err)
		}
		break
	}
	within(t, "Read", func() {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read: %v", err)
		}
	})
}

// Who asks for the descriptor beside a loop that waits doesn't wait for that.
func TestRawReadsBesideALoopOnGosPoller(t *testing.T) {
	r, c, peer := polling(t, nil)
	_, last := looping(t.Context(), c)
	waitsOnPoller(t, r, 1)
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	within(t, "raw Read", func() {
		if err := raw.Read(func(uintptr) bool { return true }); err != nil {
			t.Error(err)
		}
	})
	peer.CloseWrite()
	if err := <-last; err != nil {
		t.Error(err)
	}
}

// A loop that has had a turn in the ring doesn't take that one's buffer along to where it waits.
func TestALoopThatComesFromTheRingHasNoBuffer(t *testing.T) {
	r, c, peer := polling(t, nil)
	TraceInFlight(true)
	defer TraceInFlight(false)
	ld := c.rd.loop(&c.handle, kindReceives)
	defer ld.leave()
	peer.Write([]byte("x"))
	if p, err := ld.received(t.Context()); string(p) != "x" || err != nil || ld.buf == nil {
		t.Fatalf("%q, %v: it was not asked for alone", p, err)
	}
	TraceInFlight(false)
	got := make(chan error, 1)
	go func() {
		_, err := ld.received(t.Context())
		got <- err
	}()
	waitsOnPoller(t, r, 1)
	if ld.buf != nil { // it has said that it waits after it was through with that
		t.Error("it has a buffer while it waits")
	}
	peer.Write([]byte("y"))
	if err := <-got; err != nil {
		t.Error(err)
	}
}

// Reads and loops go on in the ring where nothing can wait on the descriptor.
func TestWhatGosPollerDoesNotTakeWaitsInTheRing(t *testing.T) {
	_, c, peer := polling(t, nil)
	kept.files = append(kept.files, uring.Pollable(c.fd)) // the poller has it by now, and takes none twice
	for i := range 3 {
		peer.Write([]byte("xy"))
		if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Errorf("Read %d: %d, %v", i, n, err)
		}
		for p, err := range c.Received(t.Context()) {
			if string(p) != "y" || err != nil {
				t.Errorf("loop %d: %q, %v", i, p, err)
			}
			break
		}
	}
	if !c.rd.unready {
		t.Error("the poller has taken it")
	}
}

// kept are files that must not close their descriptors, which are others'.
var kept struct{ files []*os.File }

// A justBefore is a context that does something at the last moment before a loop waits on Go's poller.
type justBefore struct {
	context.Context
	done  chan struct{} // its own, or package context would not ask it
	do    func()
	stops atomic.Int32
}

func (j *justBefore) Done() <-chan struct{} { return j.done }

func (j *justBefore) AfterFunc(func()) (stop func() bool) {
	j.do()
	return func() bool { return j.stops.Add(1) == 1 }
}

// What would have woken a loop if it had waited already keeps it from that.
func TestALoopSeesWhatComesJustBeforeItWaits(t *testing.T) {
	r, c, peer := polling(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	pieces, last := looping(&justBefore{Context: ctx, done: make(chan struct{}), do: func() { c.rd.wanted.Add(1) }}, c)
	until(t, "it waits in the ring", func() bool { return r.inFlight() == 1 && r.waiting() == 0 })
	c.rd.wanted.Add(-1)
	peer.Write([]byte("x"))
	<-pieces
	waitsOnPoller(t, r, 1)
	peer.CloseWrite()
	if err := <-last; err != nil {
		t.Error(err)
	}
	r, c, _ = polling(t, nil)
	_, last = looping(&justBefore{Context: ctx, done: make(chan struct{}), do: cancel}, c)
	if err := <-last; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A loop on Go's poller begins with what one in the ring has left.
func TestALoopOnGosPollerBeginsWithWhatWasLeft(t *testing.T) {
	TraceInFlight(true)
	defer TraceInFlight(false)
	r := openRing(t, nil)
	if r.provide(); r.lacks(kindReceives) || !r.linux {
		t.Skip("no multishot receive here")
	}
	_, c, peer := listening(t, r, "tcp")
	leave(t, r, c, peer, 1, func() { peer.Write([]byte("what was left")) })
	TraceInFlight(false)
	peer.Write([]byte(" comes first"))
	peer.CloseWrite()
	var got []byte
	for p, err := range c.Received(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p...)
	}
	if string(got) != "what was left comes first" {
		t.Errorf("%q", got)
	}
}

// With several Ps, loops over Received that wait on Go's poller, in the ring, and Reads.
func BenchmarkWorthPollingInLoops(b *testing.B) {
	canCoop(b)
	byLoops := func(c *Conn, back func(p []byte) bool) {
		for p, err := range c.Received(b.Context()) {
			if err != nil || !back(p) {
				return
			}
		}
	}
	for _, connections := range []int{1, 64, 1000} {
		for _, way := range []string{"poller", "ring", "Read"} {
			b.Run(fmt.Sprintf("%s/%d", way, connections), func(b *testing.B) {
				withProcs(b, 2)
				r := ringFor(b)
				r.linux = way != "ring" && r.linux
				receive := byLoops
				if way == "Read" {
					receive = byReads
				}
				answerBy(b, r, connections, receive)
			})
		}
	}
}
