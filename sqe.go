package rio

import (
	"os"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// begin starts the operation c: from here on the ring has it, until its CQE. Of the ring's own handles it makes system calls only for
// what can be done at once, for a socket's family, and for what is due (see due, many and attend); it blocks if there is no ticket.
func (r *Ring) begin(c *call, ord Ordering) (o *op, gen uint64, err error) {
	if err := r.made(kinds[c.kind].name); err != nil {
		return nil, 0, err
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
	if h != nil && h.socket && ord == None {
		if o, gen, done := r.leftOver(c); done {
			return o, gen, nil
		}
	}
	if c.kind == kindRead && !c.tried && ord == None && h.mayBeNow(c, false) {
		if o, gen, done := r.doNow(c, h); done {
			return o, gen, nil
		}
	}
	return r.route(c.kind, h, ord).beginOn(h, c, ord)
}

// beginOn is begin for a handle of the ring's own, or for no file at all.
func (l *lane) beginOn(h *handle, c *call, ord Ordering) (o *op, gen uint64, err error) {
	if h != nil {
		if c.plain = c.plain || h.socket; c.kind == kindConnect {
			if err = h.domain(c); err != nil {
				return nil, 0, err
			}
		}
	}
	if l.sq.mu.Lock(); l.sq.refusal != nil || !c.quiet && !l.ticket() && !l.stock() {
		if err = l.queueUp(c); err != nil {
			return nil, 0, err
		}
	}
	// Not before it has its ticket, because Close waits for what has got the handle; and under the lock, because what
	// Close cancels is what it finds in the table.
	if h != nil && !h.get() {
		l.sq.mu.Unlock()
		l.ring.giveBack(c)
		return nil, 0, os.NewSyscallError(kinds[c.kind].name, h.closedError())
	}
	o = l.prepare(c, h)
	gen = uint64(o.born)
	l.place(o, ord, c.quiet || c.alone)
	due, many := h != nil && h.direct && l.due(), l.many()
	l.sq.mu.Unlock()
	if l.wanted() || l.ring.wanted() {
		l.attend()
	}
	if due || many {
		l.flush()
	}
	if many {
		l.reap()
	}
	return o, gen, nil
}

// place puts o among what was started before it. alone says that it is nobody's successor. Under sq.mu.
func (l *lane) place(o *op, ord Ordering, alone bool) {
	l.join(o)
	if ord != None || l.sq.follow && !alone {
		l.order(o, ord)
		return
	}
	if o.bits&bitQuiet != 0 && l.putOff(o) {
		return
	}
	var s *uring.SQE
	if len(l.sq.backlog) == 0 {
		s = l.k.SQ.TryClaim()
	}
	if s == nil {
		l.send(train{first: o, last: o, n: 1})
		return
	}
	if o.bits&bitBounded != 0 {
		l.sq.loose++
	}
	// As write does for a train: this is the usual one, and a train is not worth building for it.
	if !o.isBrief() {
		l.notBrief(0) // it is claimed already
	}
	if o.isUsual() {
		o.fillUsual(s, 0, o.data)
	} else {
		o.fillSQE(s, o.data)
	}
	l.publish(1)
}

// join counts o among what a Drain waits for. That is done where it goes among the others, lest an operation that is still
// being prepared waits for one that waits for it.
func (l *lane) join(o *op) {
	if o.bits&bitQuiet == 0 {
		o.epoch = l.sq.epoch
		o.epoch.started++
	}
}

// queueUp waits for a ticket. It is called with sq.mu held, and returns so unless there is an error.
func (l *lane) queueUp(c *call) error {
	err := l.sq.refusal
	l.sq.mu.Unlock()
	if err != nil {
		return err
	}
	if err = l.ring.admit(1, 0); err != nil || l == &l.ring.lane {
		return err
	}
	l.ring.sq.mu.Unlock()
	l.sq.mu.Lock()
	if err = l.sq.refusal; err != nil {
		l.sq.mu.Unlock()
		l.ring.giveBack(c)
	}
	return err
}

// refuse says why nothing can be started any more. Under sq.mu.
func (l *lane) refuse() error { return l.sq.refusal }

// prepare writes c into an op and that into the table. Under sq.mu; there is a ticket.
func (l *lane) prepare(c *call, h *handle) *op {
	loose := c.kind == kindAccept // what it has accepted is closed when it was dropped
	o := l.sq.pool.take(loose)
	if o == nil {
		o = l.seekOp(loose)
	}
	o.kind, o.bits, o.fate, o.tries, o.naps, o.dozes, o.ends = c.kind, 0, 0, 0, 0, false, false
	o.fd, o.addr, o.off, o.n, o.opf, o.held = -1, uring.Addr{}, 0, 0, 0, 0
	if h != nil {
		o.h, o.fd = h, int32(h.fd)
		if h.bounded {
			o.bits |= bitBounded
			o.ends = true
			if h.direct {
				l.sq.direct++
			}
		} else if h.socket {
			o.fate |= fateSocket
		}
	}
	if c.kind == kindNop {
		o.bits |= bitBounded // as fill would
	} else {
		o.fill(c)
	}
	var place uint32
	if c.quiet {
		o.bits |= bitQuiet
		l.cq.mu.Lock()
		place = l.placeQuiet()
		l.cqUnlock()
		l.sq.quiet++
	} else {
		place = l.places.take()
		l.sq.started++
	}
	e := &l.table[place]
	e.op = o
	e.gen++
	o.data = userData(e.gen, place)
	if inflight.on.Load() {
		o.trace()
	}
	if l.profile != nil {
		o.began = int64(time.Since(l.ring.born))
	}
	if uring.Race {
		raceStart(c.kind)
		o.startWitness(c)
	}
	return o
}
