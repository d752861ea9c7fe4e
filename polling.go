package rio

import (
	"context"
	"errors"
	"os"
	"time"
)

// With several Ps a loop over Received waits on Go's poller, as a Read does (readiness.go). Meanwhile it has the half's turn.
// Who wants that, and the end of its context, wake it by way of the deadline, which it has none of its own: then it waits in
// the ring.

// takeTurn locks turn.
func (d *half) takeTurn() {
	if d.turn.TryLock() {
		return
	}
	d.wanted.Add(1)
	d.wakeLoop()
	d.turn.Lock()
	d.wanted.Add(-1)
}

// wakeLoop wakes the loop that waits on the poller, if there is one. Why, it sees: wanted, or its context.
func (d *half) wakeLoop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.looping && !d.woken {
		d.woken = true
		d.ready.Load().setDeadline(time.Unix(1, 0))
	}
}

// setLooping has a loop wait on w, whatever the deadline, or ends that.
func (d *half) setLooping(w *readiness, on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.looping = on
	if d.woken || !d.at.IsZero() {
		at := d.at
		if on {
			at = time.Time{}
		}
		w.setDeadline(at)
	}
	d.woken = false
}

// poll is the next piece, by way of Go's poller; ok is false if the ring is to wait for it.
func (t *taker) poll(ctx context.Context) (s shot, ok bool, err error) {
	d, in := t.d, t.in
	if in.kind != kindReceives || !t.h.r.byPoller() || d.wanted.Load() > 0 || !d.turn.TryLock() {
		return s, false, nil
	}
	defer d.turn.Unlock()
	in.lane.cq.mu.Lock()
	others := in.any() || in.armed || in.singles > 0
	in.lane.cqUnlock()
	if others {
		return s, false, nil
	}
	w := d.waitable(t.h)
	if w == nil {
		return s, false, nil
	}
	if t.unwatch == nil && ctx.Done() != nil {
		t.unwatch = context.AfterFunc(ctx, d.wakeLoop)
	}
	d.setLooping(w, true)
	defer d.setLooping(w, false)
	if d.wanted.Load() > 0 || ctx.Err() != nil || t.h.r.closing.Load() {
		return s, false, nil // nobody else says so to who begins to wait just now
	}
	if t.buf != nil { // of a turn in the ring
		receiving.Put(t.buf)
		t.buf = nil
	}
	var buf *[receivingSize]byte
	var n int
	if t.never {
		n, err = w.read(t.into())
	} else {
		buf, n, err = w.receive()
	}
	if err == nil {
		w.rest(t.h.r)
	}
	switch {
	case err == nil && t.never:
		t.first = false
		s.p = t.into()[:n:n]
	case err == nil:
		t.buf, t.polled, t.first = buf, true, false
		s.p = buf[:n:n]
	case t.h.closed():
		err = t.h.closedError()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return s, false, nil
	}
	return s, true, err
}
