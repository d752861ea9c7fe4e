package rio

import "github.com/seed-9c58b644/rio/internal/uring"

// work is what reading the CQ has made possible, and a lock or a system call is needed for. Under cq.mu.
type work struct {
	again  []*op    // to be started once more
	ready  []*group // wait for nothing any more
	gates  []*group // of the first lane, waited for what a side lane had
	handed []handed // results on their way to a witness
	lent   []loan   // ended, their files still to be taken out of the table
	kick   bool     // the kernel keeps CQEs back that found no room
	gaveUp bool     // an accept was cancelled: see exclusive.go
	lost   bool     // it has dropped some, for want of memory
	odd    bool     // the kernel gives something up again and again
}

// handed is a result that a witness passes on; see race.go.
type handed struct {
	seen chan<- verdict
	verdict
}

// A loan is an operation on a lent descriptor, and its result.
type loan struct {
	o   *op
	res int32
}

// follow does what reading the CQ has left behind, and gives tickets that came back to those in line. No lock is held.
func (l *lane) follow() {
	for l.todo.Load() {
		l.todo.Store(false)
		l.lock()
		w := l.cq.work
		l.cq.work = work{}
		if len(w.lent) > 0 { // first: what waits for one of these doesn't begin before it is over
			l.unlock()
			l.repay(w.lent)
			l.lock()
		}
		for len(w.ready) > 0 {
			for _, g := range w.ready {
				l.release(g)
			}
			if w.ready = nil; len(l.cq.work.lent) == 0 { // or the next turn does it
				w.ready, l.cq.work.ready = l.cq.work.ready, nil
			}
		}
		abroad := w.again[:0]
		for _, o := range w.again {
			switch {
			case o.fate&fateLost != 0:
			case o.state.Load()&isCancelled != 0:
				l.finish(o, errCanceled)
			case o.bits&(bitForeign|bitFixed) == bitForeign:
				abroad = append(abroad, o)
			default:
				l.send(train{first: o, last: o, n: 1})
			}
		}
		l.unlock()
		for _, h := range w.handed {
			h.seen <- h.verdict
		}
		l.ring.openGates(w.gates)
		for _, o := range abroad {
			l.ring.resubmit(o)
		}
		if w.lost {
			l.ring.fail(uring.EBADR)
		}
		if w.kick {
			l.kick()
		}
		if w.gaveUp {
			restartAccepts()
		}
		if w.odd && l.ring.odd.CompareAndSwap(false, true) {
			l.ring.log.Warn("rio: the kernel ends operations by itself, again and again; has it no workers (RLIMIT_NPROC, pids.max)?")
		}
		l.flush()
		l.cq.mu.Lock()
		l.drain()
		l.cqUnlock()
	}
	if l.ring.tickets.waiting.Load() > 0 {
		l.ring.grant()
	}
}

// repay takes lent descriptors back, and resolves the operations on them.
func (l *lane) repay(lent []loan) {
	if len(lent) == 0 {
		return
	}
	for _, n := range lent {
		l.ring.takeBack(n.o.x.place)
	}
	l.cq.mu.Lock()
	for _, n := range lent {
		if n.o.epoch != nil {
			l.leaveEpoch(n.o)
		}
		l.tell(n.o, n.res)
	}
	l.cqUnlock()
}

// kick makes the kernel write the CQEs that it keeps back.
func (l *lane) kick() {
	if l.use() {
		l.overflows.Add(1)
		l.k.Events()
		l.unuse(1)
	}
}
