package rio

import (
	"context"
	"runtime"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// A taker is a loop over what a Conn receives or a Listener accepts. Its first one it asks for alone; if it comes back for
// more it has the kernel go on by itself, until the loop is left; but not where it is Go's poller that waits (polling.go).
type taker struct {
	d       *half
	h       *handle
	in      *inbox
	w       op // what it waits for
	buf     *[receivingSize]byte
	big     []byte // as buf, for the largest datagram
	piece   shot   // the loop's until its next turn
	first   bool
	polled  bool        // buf came by way of the poller
	unwatch func() bool // ends what tells it of its context there
	never   bool        // more than one: datagrams may be larger than a provided buffer
}

func (d *half) loop(h *handle, k kind) *taker {
	t := &taker{d: d, h: h, in: d.open(h.r, k), first: true}
	l := t.in.lane
	t.w.lane, t.w.bits = l, bitWaiter
	l.cq.mu.Lock()
	t.in.loops++
	l.cqUnlock()
	return t
}

// next returns the next shot; or an operation that has ended, to be finished with take.
func (t *taker) next(ctx context.Context) (s shot, o *op, err error) {
	in, l := t.in, t.in.lane
	for {
		if err := ctx.Err(); err != nil {
			return s, nil, err // nothing is submitted
		}
		if t.h.closed() {
			return s, nil, t.h.closedError()
		}
		if s, ok, err := t.poll(ctx); ok {
			return s, nil, err
		}
		l.cq.mu.Lock()
		switch {
		case in.any() && !l.ring.closing.Load():
			s = in.take()
			l.cqUnlock()
			if uring.Race {
				uring.RaceJoin() // what the peer did before it sent is seen, as with package net
			}
			return s, nil, nil
		case in.unsure:
			in.look(t.h, &t.w)
			continue
		case in.armed:
			in.expect(&t.w)
			l.cqUnlock()
			if !l.await(&t.w, ctx) {
				in.forget(&t.w)
			}
			continue
		}
		polls := in.kind == kindReceives && l.ring.byPoller() // again after this one
		single := t.first || t.never || polls || l.ring.lacks(in.kind) || in.starved || in.singles > 0 || !t.d.turn.TryLock()
		in.armed = !single
		if single {
			in.singles++
		}
		l.cqUnlock()
		if single {
			o, err := t.single(ctx)
			return s, o, err
		}
		err = in.arm(t.h)
		t.d.turn.Unlock()
		if err != nil {
			return s, nil, err
		}
	}
}

// into is what a receive of t's own is into.
func (t *taker) into() []byte {
	switch {
	case t.never && t.big == nil:
		t.big = make([]byte, datagramSize)
		fallthrough
	case t.never:
		return t.big
	case t.buf == nil:
		t.buf = receiving.Get().(*[receivingSize]byte)
	}
	return t.buf[:]
}

// single asks for one alone. By then the provided buffers may be back.
func (t *taker) single(ctx context.Context) (*op, error) {
	c := call{kind: kindAccept}
	if t.in.kind == kindReceives {
		c = call{kind: kindRecv, buf: t.into()}
	}
	t.first = false
	o, err := t.in.lane.ring.runContext(ctx, t.h, &c)
	l := t.in.lane
	l.cq.mu.Lock()
	t.in.singles--
	t.in.starved = false
	l.cqUnlock()
	return o, err
}

// arm begins a request. The caller has the turn, and has set armed.
func (in *inbox) arm(h *handle) error {
	l := in.lane
	if in.kind == kindReceives {
		l.ring.provide()
	}
	var o *op
	var gen uint64
	var err error
	lacks := l.ring.lacks(in.kind)
	if !lacks {
		o, gen, err = l.beginOn(h, &call{kind: in.kind, quiet: true, in: in}, None)
	}
	l.cq.mu.Lock()
	if lacks || err != nil {
		in.disarmed()
	} else if in.armed { // it may have ended already
		in.req, in.gen = o, gen
	}
	l.cqUnlock()
	return err
}

// giveBack takes back what the loop was given.
func (t *taker) giveBack() {
	if uring.Race {
		for i := range t.piece.p {
			t.piece.p[i] = 0xdb // who has kept it sees that, or a DATA RACE report
		}
	}
	if l := t.in.lane; t.piece.lent {
		l.cq.mu.Lock()
		t.in.giveBack(t.piece)
		l.cqUnlock()
	}
	t.piece = shot{}
	if t.polled {
		receiving.Put(t.buf)
		t.buf, t.polled = nil, false
	}
}

// leave is the end of the loop: nothing of it is left in the kernel. What has arrived and nobody has had is the next one's.
func (t *taker) leave() {
	t.giveBack()
	if t.unwatch != nil {
		t.unwatch()
	}
	in, l := t.in, t.in.lane
	l.cq.mu.Lock()
	in.loops--
	last := in.loops == 0
	l.cqUnlock()
	if last {
		in.stop(&t.w)
		l.cq.mu.Lock()
		in.keep()
		l.cqUnlock()
	}
	if t.buf != nil && l.ring.broken() == nil { // otherwise the kernel may have it still
		receiving.Put(t.buf)
	}
}

// stop ends the request that is armed, and returns when the kernel has let go of it. w waits for that.
func (in *inbox) stop(w *op) {
	l := in.lane
	l.cq.mu.Lock()
	for n := in.ended; in.armed && in.ended == n; l.cq.mu.Lock() {
		req, gen := in.req, in.gen
		if req == nil { // it is just being begun
			l.cqUnlock()
			runtime.Gosched()
			continue
		}
		in.expect(w)
		l.cqUnlock()
		l.cancel(req, gen, 0)
		l.await(w, nil)
		in.forget(w)
	}
	l.cqUnlock()
}
