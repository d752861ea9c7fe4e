package rio

import (
	"syscall"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// reap reads every CQE that is there, resolves what they end, and starts what was waiting for that. It reports whether
// there were any.
func (l *lane) reap() bool {
	l.cq.mu.Lock()
	n := l.drain()
	l.cqUnlock()
	l.follow()
	return n > 0
}

// drain reads the CQ once. Under cq.mu; it takes no other lock but leaves (see completions), and leaves what needs one to follow.
func (l *lane) drain() uint32 {
	if l.cq.gone {
		return 0
	}
	q := &l.k.CQ
	n := q.Ready()
	if uring.Race {
		l.edge.Load() // from who wrote the table: the detector sees no edge through the kernel
	}
	for range n {
		c := q.Next()
		if o := l.find(c.UserData); o != nil && o.endsPlainly(l, c.Res) {
			l.letGo(o) // finish would do no more
			if !o.resolvePlainly(c.Res) {
				o.resolve(c.Res)
			}
		} else if c.UserData != controlData {
			l.arrive(c)
		}
	}
	if n > 0 {
		q.Done()
	}
	if q.Lost() > 0 && l.ring.broke.Load() == nil { // what an enter says of that may be said to nobody
		l.cq.work.lost = true
	}
	if l.k.SQ.Overflown() {
		l.cq.work.kick = true
	}
	return n
}

// endsPlainly reports whether nobody waits for more than that o has succeeded. Under cq.mu.
func (o *op) endsPlainly(l *lane, res int32) bool {
	return res >= 0 && o.fate&^fateSocket == 0 && o.bits&^(bitBounded|bitQuiet) == 0 && kinds[o.kind].plain && o.then == nil && l.link.op != o &&
		l.profile == nil && !uring.Race && o.state.Load()&isCancelled == 0
}

// arrive deals with one CQE. Under cq.mu.
func (l *lane) arrive(c uring.CQE) {
	o := l.find(c.UserData)
	if o == nil {
		panic("rio: a CQE arrived for an operation that is not in flight")
	}
	switch {
	case o.fate&fateLost != 0:
		if (o.kind == kindAccept || o.kind == kindAccepts) && c.Res >= 0 {
			uring.CloseFD(int(c.Res))
		}
		if !c.More() {
			l.letGo(o) // its waiter has had an error already
		}
	case o.kind >= kindAccepts && o.fate&fatePolling == 0 && l.shot(o, &c):
	case o.fate&fateAbsorb != 0:
		o.fate &^= fateAbsorb
		l.settle(o.in, true)
	case (c.Res < 0 || o.polls()) && l.again(o, c.Res):
		l.cq.work.again = append(l.cq.work.again, o)
	default:
		l.finish(o, c.Res)
	}
}

// finish ends o with res: the kernel has nothing of it any more. Under cq.mu.
func (l *lane) finish(o *op, res int32) {
	if o.fate&fateLost != 0 {
		return // its waiter has had an error already
	}
	if o.fate&fatePolling != 0 && res >= 0 {
		res = -int32(syscall.EAGAIN) // what was polled for, not what o has done: it was not started again
	}
	if o.kind == kindConnect && res == -int32(syscall.EISCONN) && o.tries > 0 {
		res = 0 // it is the connection that was begun before
	}
	phase := o.state.Load()
	if o.tries == maxTries && res == errCanceled && phase&isCancelled == 0 {
		res = -int32(syscall.EAGAIN) // nobody has asked for its end
	}
	if phase&isCancelled != 0 {
		l.cancelling.Add(-1)
		switch syscall.Errno(-res) {
		case syscall.EINTR, syscall.EAGAIN, syscall.EINPROGRESS, syscall.EALREADY:
			res = errCanceled // it has not happened, and would have been started again
		}
	}
	if o.bits&bitLinked != 0 || o.then != nil || l.link.op == o {
		l.pass(o, o.full(res))
	}
	switch {
	case o.kind.accepts() && res == errCanceled && l.ring.linux:
		l.cq.work.gaveUp = true
	case o.kind == kindAccept && res >= 0:
		o.x.conn.arrive(l.ring, int(res), o)
	case (o.kind == kindFsync || o.kind == kindFdatasync || o.kind == kindSyncRange) && res < 0 && o.h != nil:
		o.h.noteSync(syscall.Errno(-res))
	}
	if res == -int32(syscall.EINVAL) && o.h != nil && o.misaligned() {
		o.fate |= fateMisaligned
	}
	if o.x != nil && res >= 0 {
		o.x.clear()
	}
	l.letGo(o)
	if l.profile != nil {
		l.profile.note(o, l.ring)
	}
	if o.bits&bitFixed != 0 {
		// Who waits for it may close the file, and expects it to be closed then.
		o.state.Or(isHanded)
		l.cq.work.lent = append(l.cq.work.lent, loan{o, res})
		return
	}
	l.tell(o, res)
}

// pass tells those that are linked behind o how it ended. Under cq.mu.
func (l *lane) pass(o *op, full bool) {
	if o.bits&bitLinked != 0 {
		if !full {
			o.next.fate |= fateBroken
		}
		o.next, o.bits = nil, o.bits&^bitLinked
	}
	if o.then != nil {
		l.settle(o.then, full)
		o.then = nil
	}
	if l.link.op == o {
		l.link.op, l.link.failed = nil, !full
	}
}

// letGo takes o out of the table and gives back all that it held. Under cq.mu.
func (l *lane) letGo(o *op) {
	if o.addr.Uint64() != 0 {
		o.pins.Release()
	}
	if o.h != nil {
		if o.h.direct && o.h.bounded {
			l.cq.direct++
		}
		if o.fate&fateLost == 0 {
			o.h.put()
		}
		o.h = nil
	}
	if o.bits&bitTraced != 0 {
		o.untrace()
	}
	l.table[o.place()].op = nil
	if o.bits&bitQuiet != 0 {
		l.spare = append(l.spare, o.place())
		l.cq.quiet++
	} else {
		l.places.put(o.place())
		l.cq.freed++
		l.cq.completed++
		if o.epoch != nil && o.bits&bitFixed == 0 {
			l.leaveEpoch(o)
		}
	}
	if l.cq.idle != nil && l.inFlightLocked() == 0 {
		l.cq.idle.resolve(0)
		l.cq.idle = nil
	}
}
