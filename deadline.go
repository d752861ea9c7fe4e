package rio

import (
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"weak"
)

// A half is one direction of a Conn, or a Listener: one operation at a time, and a deadline for it.
type half struct {
	turn sync.Mutex // who holds it has the operation

	mu      sync.Mutex
	at      time.Time                 // the deadline; zero: none
	inbox   atomic.Pointer[inbox]     // of the loops; nil if there was none
	ready   atomic.Pointer[readiness] // what waits on Go's poller do; nil if there was none
	wanted  atomic.Int32              // who waits for the turn
	unready bool                      // nothing can wait on ready; under turn
	looping bool                      // a loop waits on ready; under mu
	woken   bool                      // that is to end: ready has a deadline for it; likewise
	often   uint8                     // how many sends were done at once; under turn

	// What follows is not looked at for each message.
	timer *time.Timer
	op    *op // the operation that a deadline cancels
	gen   uint64
	moved func(time.Time) // is told where the deadline is, for who waits without an operation; nil if nobody does
}

// setDeadline moves the deadline, for the operation that is pending too.
func (d *half) setDeadline(t time.Time) {
	d.mu.Lock()
	d.at = t
	if w := d.ready.Load(); w != nil && !d.looping {
		w.setDeadline(t)
	}
	if d.moved != nil {
		d.moved(t)
	}
	left := time.Until(t)
	switch {
	case t.IsZero():
		if d.timer != nil {
			d.timer.Stop()
		}
	case left <= 0:
		if d.timer != nil {
			d.timer.Stop()
		}
		defer d.strike()
	case d.timer == nil:
		w := weak.Make(d) // or what it is the half of would never be finalized
		d.timer = time.AfterFunc(left, func() {
			if d := w.Value(); d != nil {
				d.expire()
			}
		})
	default:
		d.timer.Reset(left)
	}
	d.mu.Unlock()
}

// expire is what the timer calls; it may come from a deadline that was moved since.
func (d *half) expire() {
	d.mu.Lock()
	if d.at.IsZero() {
		d.mu.Unlock()
		return
	}
	if left := time.Until(d.at); left > 0 {
		d.timer.Reset(left)
		d.mu.Unlock()
		return
	}
	d.mu.Unlock()
	d.strike()
}

// strike cancels what is pending.
func (d *half) strike() {
	d.mu.Lock()
	o, gen := d.op, d.gen
	d.mu.Unlock()
	if o != nil {
		o.lane.cancel(o, gen, 0)
	}
}

// set makes o what a deadline cancels; it reports whether the deadline has passed already.
func (d *half) set(o *op, gen uint64) (late bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.op, d.gen = o, gen
	return d.passed()
}

// follow has moved called with the deadline, and whenever that moves; with nil that ends, and what it was called for has none.
func (d *half) follow(moved func(time.Time)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if moved == nil {
		d.moved(time.Time{})
	} else {
		moved(d.at)
	}
	d.moved = moved
}

func (d *half) passed() bool { return !d.at.IsZero() && time.Until(d.at) <= 0 }

func (d *half) expired() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.passed()
}

// over says why nothing more can be done in this direction: h is closed, or the deadline has passed.
func (d *half) over(h *handle) error {
	if h.closed() {
		return h.closedError()
	}
	if d.expired() {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// run runs one operation on h, up to the deadline. The caller has the turn, and finishes what is returned with take.
func (d *half) run(h *handle, c *call) (*op, error) {
	c.quiet = true
	for {
		if err := d.over(h); err != nil {
			return nil, err
		}
		o, gen, err := h.r.beginOn(h, c, None)
		if err != nil {
			return nil, err
		}
		o.claim(gen)
		if d.set(o, gen) {
			o.lane.cancel(o, gen, 0)
		}
		o.lane.await(o, nil)
		d.set(nil, 0)
		if o.res != errCanceled || o.state.Load()&(isRingClosed|isFileClosed) != 0 {
			return o, nil
		}
		o.acquire()
		o.retire()
		o.lane.recycle(o)
		// The deadline has passed, or was moved after it had: look again.
	}
}

// plainError is err, or what it says of a call if that is no errno: a net.OpError names the operation, but of an errno package net
// names the call, too.
func plainError(err error) error {
	if se, ok := err.(*os.SyscallError); ok {
		if _, ok := se.Err.(syscall.Errno); !ok {
			return se.Err
		}
	}
	return err
}

// SetDeadline, SetReadDeadline and SetWriteDeadline set when Read and Write give up with os.ErrDeadlineExceeded, pending
// ones too; a zero time means never. Operations of Ring on c are not affected.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline is SetDeadline for Read.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(t, false) }

// SetWriteDeadline is SetDeadline for Write.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(t, true) }

func (c *Conn) setDeadline(t time.Time, write bool) error {
	if c == nil || c.r == nil {
		return invalid("set deadline", "nil Conn")
	}
	if err := c.refusal(); err != nil {
		return c.setError(err)
	}
	if write {
		c.wr.setDeadline(t)
	} else {
		c.rd.setDeadline(t)
	}
	return nil
}
