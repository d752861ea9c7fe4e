package rio

import (
	"os"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// begin starts the operation c: from here on the ring has it, until its CQE. It makes no system call for the ring's
// own handles; it blocks if there is no ticket.
func (r *Ring) begin(c *call, ord Ordering) (o *op, gen uint64, err error) {
	if err := r.made(kinds[c.kind].name); err != nil {
		return nil, 0, err
	}
	if c.kind == kindNop && ord == None {
		return r.beginOn(nil, c, None) // there is nothing to check or to find
	}
	if err := c.check(ord); err != nil {
		return nil, 0, err
	}
	if all := c.waitAll(); ord&Link != 0 && all != 0 {
		c.mode |= all
	}
	h, foreign, err := r.target(c)
	if err != nil {
		return nil, 0, err
	}
	if foreign != nil {
		return r.beginForeign(c, foreign, ord)
	}
	return r.beginOn(h, c, ord)
}

// beginOn is begin for a handle of the ring's own, or for no file at all.
func (r *Ring) beginOn(h *handle, c *call, ord Ordering) (o *op, gen uint64, err error) {
	if h != nil {
		if c.plain = c.plain || h.socket; c.kind == kindConnect {
			err = h.domain(c)
		}
	}
	if err == nil {
		err = r.enroll(c)
	}
	if err != nil {
		return nil, 0, err
	}
	// Not before it has its ticket, because Close waits for what has got the handle; and under the lock, because what
	// Close cancels is what it finds in the table.
	if h != nil && !h.get() {
		r.sq.mu.Unlock()
		r.grant()
		return nil, 0, os.NewSyscallError(kinds[c.kind].name, h.closedError())
	}
	o = r.prepare(c, h)
	gen = o.gen()
	r.place(o, ord, c.quiet || c.alone)
	r.sq.mu.Unlock()
	r.started()
	return o, gen, nil
}

// place puts o among what was started before it. alone says that it is nobody's successor. Under sq.mu.
func (r *Ring) place(o *op, ord Ordering, alone bool) {
	r.join(o)
	if ord == None && (!r.sq.follow || alone) {
		r.send(train{first: o, last: o, n: 1})
	} else {
		r.order(o, ord)
	}
}

// join counts o among what a Drain waits for. That is done where it goes among the others, lest an operation that is still
// being prepared waits for one that waits for it.
func (r *Ring) join(o *op) {
	if o.bits&bitQuiet == 0 {
		o.epoch = r.sq.epoch
		o.epoch.started++
	}
}

// enroll returns with sq.mu held, and a ticket to be had, unless there is an error.
func (r *Ring) enroll(c *call) error {
	r.sq.mu.Lock()
	t := &r.tickets
	if r.sq.refusal == nil && (c.quiet || t.first == nil && t.free() > 0) {
		return nil
	}
	err := r.sq.refusal
	r.sq.mu.Unlock()
	if err != nil {
		return err
	}
	return r.admit(1, 0)
}

// refuse says why nothing can be started any more. Under sq.mu.
func (r *Ring) refuse() error { return r.sq.refusal }

// prepare writes c into an op and that into the table. Under sq.mu; there is a ticket.
func (r *Ring) prepare(c *call, h *handle) *op {
	o := r.newOp()
	o.kind, o.bits, o.fate, o.tries, o.h = c.kind, 0, 0, 0, h
	o.fd, o.addr, o.off, o.n, o.opf, o.epoch = -1, uring.Addr{}, 0, 0, 0, nil
	if h != nil {
		o.fd = int32(h.fd)
		if h.bounded {
			o.bits |= bitBounded
		}
	}
	o.fill(c)
	if c.quiet {
		o.bits |= bitQuiet
		r.cq.mu.Lock()
		o.place = r.placeQuiet()
		r.cqUnlock()
		r.sq.quiet++
	} else {
		o.place = r.tickets.take()
		r.sq.started++
	}
	e := &r.table[o.place]
	e.op = o
	e.gen++
	if r.profile != nil {
		o.began = int64(time.Since(r.born))
	}
	if uring.Race {
		raceStart(c.kind)
		o.startWitness(c)
	}
	return o
}

// A train is a run of ops, linked by next, that goes to the kernel in one piece: each is IO_LINKed to the one before.
type train struct {
	first, last *op
	n           uint32
}

// send writes t's SQEs and publishes them, all at once: the kernel's own tail moves when the last one is written. What
// finds no room goes out with the next flush. Under sq.mu.
func (r *Ring) send(t train) {
	if len(r.sq.backlog) > 0 || !r.k.SQ.Has(t.n) {
		r.sq.backlog = append(r.sq.backlog, t)
		r.heldBack.Store(true)
		r.crowded.Store(true)
		return
	}
	r.write(t)
}

func (r *Ring) write(t train) {
	for o := t.first; o != t.last; o = o.next {
		o.bits |= bitLinked
		o.fillSQE(r.k.SQ.Claim(), r.userData(o))
	}
	t.last.bits &^= bitLinked
	t.last.fillSQE(r.k.SQ.Claim(), r.userData(t.last))
	r.publish(t.n)
}

// publish shows the kernel n more SQEs. Under sq.mu.
func (r *Ring) publish(n uint32) {
	if uring.Race {
		r.edge.Add(1)
	}
	r.sq.written += uint64(n)
	r.k.SQ.Publish()
}

// started is called after something was sent, without locks: the sweeper may have to be woken, room to be made.
func (r *Ring) started() {
	if r.asleep.Load() {
		r.nudge()
	}
	if r.crowded.Load() {
		r.flush()
	}
	r.follow()
}
