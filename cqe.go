package rio

import (
	"syscall"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// An entry of the table: user_data is an index into it and a generation, never a pointer.
type entry struct {
	op  *op
	gen uint32
}

// controlData is the user_data of requests that belong to no operation: cancels.
const controlData = 1<<64 - 1

func (r *Ring) userData(o *op) uint64 {
	return uint64(r.table[o.place].gen)<<32 | uint64(o.place)
}

// reap reads every CQE that is there, resolves what they end, and starts what was waiting for that. It reports whether
// there were any.
func (r *Ring) reap() bool {
	r.cq.mu.Lock()
	n := r.drain()
	r.cqUnlock()
	r.follow()
	return n > 0
}

// arm makes sure that the reaper hears of the next CQE. The notification goes on before the queue is looked at once
// more: the other way round, a CQE could come in between, and nobody would hear of it.
func (r *Ring) arm() {
	r.cq.mu.Lock()
	if !r.cq.gone {
		r.k.CQ.Notify(true)
		r.armed.Store(true)
	}
	r.drain()
	r.cqUnlock()
	r.follow()
}

// disarm ends that.
func (r *Ring) disarm() {
	r.cq.mu.Lock()
	if !r.cq.gone {
		r.armed.Store(false)
		r.k.CQ.Notify(false)
	}
	r.cqUnlock()
}

// cqUnlock shows the tickets that came back to those who take them, and unlocks cq.mu.
func (r *Ring) cqUnlock() {
	r.tickets.publish()
	w := &r.cq.work
	if len(w.again)+len(w.ready)+len(w.handed)+len(w.lent) > 0 || w.kick {
		r.todo.Store(true)
	}
	r.cq.mu.Unlock()
}

// lock takes both locks, in their order: whoever reads the CQ holds cq.mu and never takes sq.mu.
func (r *Ring) lock() {
	r.sq.mu.Lock()
	r.cq.mu.Lock()
}

func (r *Ring) unlock() {
	r.cqUnlock()
	r.sq.mu.Unlock()
}

// drain reads the CQ once. Under cq.mu; it takes no other lock, and leaves what needs one to follow.
func (r *Ring) drain() uint32 {
	if r.cq.gone {
		return 0
	}
	q := &r.k.CQ
	n := q.Ready()
	if uring.Race {
		r.edge.Load() // from who wrote the table: the detector sees no edge through the kernel
	}
	for range n {
		if c := q.Next(); c.UserData != controlData {
			r.arrive(c)
		}
	}
	if n > 0 {
		q.Done()
	}
	if r.k.SQ.Overflown() {
		r.cq.work.kick = true
	}
	return n
}

// arrive deals with one CQE. Under cq.mu.
func (r *Ring) arrive(c uring.CQE) {
	place := uint32(c.UserData)
	if uint64(place) >= uint64(len(r.table)) || r.table[place].gen != uint32(c.UserData>>32) || r.table[place].op == nil {
		panic("rio: a CQE arrived for an operation that is not in flight")
	}
	o := r.table[place].op
	switch {
	case o.fate&fateLost != 0:
		if o.kind == kindAccept && c.Res >= 0 {
			uring.CloseFD(int(c.Res))
		}
		r.letGo(o) // its waiter has had an error already
	case o.fate&fateAbsorb != 0:
		o.fate &^= fateAbsorb
		r.settle(o.in, true)
	case (c.Res < 0 || o.fate&fatePolling != 0) && r.again(o, c.Res):
		r.cq.work.again = append(r.cq.work.again, o)
	default:
		r.finish(o, c.Res)
	}
}

// finish ends o with res: the kernel has nothing of it any more. Under cq.mu.
func (r *Ring) finish(o *op, res int32) {
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
	if phase&isCancelled != 0 {
		r.cancelling.Add(-1)
		switch syscall.Errno(-res) {
		case syscall.EINTR, syscall.EAGAIN, syscall.EINPROGRESS, syscall.EALREADY:
			res = errCanceled // it has not happened, and would have been started again
		}
	}
	if o.bits&bitLinked != 0 || o.then != nil || r.link.op == o {
		r.pass(o, o.full(res))
	}
	switch {
	case o.kind == kindAccept && res >= 0:
		o.x.conn.arrive(r, int(res), o)
	case (o.kind == kindFsync || o.kind == kindFdatasync) && res < 0 && o.h != nil:
		o.h.noteSync(syscall.Errno(-res))
	}
	r.letGo(o)
	if r.profile != nil {
		r.profile.note(o, r)
	}
	if o.bits&bitFixed != 0 {
		// Who waits for it may close the file, and expects it to be closed then.
		o.state.Or(isHanded)
		r.cq.work.lent = append(r.cq.work.lent, loan{o, res})
		return
	}
	r.tell(o, res)
}

// pass tells those that are linked behind o how it ended. Under cq.mu.
func (r *Ring) pass(o *op, full bool) {
	if o.bits&bitLinked != 0 {
		if !full {
			o.next.fate |= fateBroken
		}
		o.next, o.bits = nil, o.bits&^bitLinked
	}
	if o.then != nil {
		r.settle(o.then, full)
		o.then = nil
	}
	if r.link.op == o {
		r.link.op, r.link.failed = nil, !full
	}
}

// letGo takes o out of the table and gives back all that it held. Under cq.mu.
func (r *Ring) letGo(o *op) {
	if o.addr != (uring.Addr{}) {
		o.pins.Release()
	}
	if o.h != nil && o.fate&fateLost == 0 {
		o.h.put()
	}
	r.table[o.place].op = nil
	if o.bits&bitQuiet != 0 {
		r.spare = append(r.spare, o.place)
		r.cq.quiet++
	} else {
		r.tickets.put(o.place)
		r.cq.completed++
		if o.epoch != nil {
			o.epoch.finished++
			o.epoch = nil
			if len(r.cq.epochs) > 1 {
				r.passEpochs()
			}
		}
	}
	if r.cq.idle != nil && r.inFlightLocked() == 0 {
		r.cq.idle.resolve(0)
		r.cq.idle = nil
	}
}
