package rio

// work is what reading the CQ has made possible, and a lock or a system call is needed for. Under cq.mu.
type work struct {
	again  []*op    // to be started once more
	ready  []*group // wait for nothing any more
	handed []handed // results on their way to a witness
	lent   []loan   // ended, their files still to be taken out of the table
	kick   bool     // the kernel keeps CQEs back that found no room
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
func (r *Ring) follow() {
	for r.todo.Load() {
		r.todo.Store(false)
		r.lock()
		w := r.cq.work
		r.cq.work = work{}
		for len(w.ready) > 0 {
			for _, g := range w.ready {
				r.release(g)
			}
			w.ready, r.cq.work.ready = r.cq.work.ready, nil
		}
		abroad := w.again[:0]
		for _, o := range w.again {
			switch {
			case o.fate&fateLost != 0:
			case o.state.Load()&isCancelled != 0:
				r.finish(o, errCanceled)
			case o.bits&(bitForeign|bitFixed) == bitForeign:
				abroad = append(abroad, o)
			default:
				r.send(train{first: o, last: o, n: 1})
			}
		}
		r.unlock()
		for _, h := range w.handed {
			h.seen <- h.verdict
		}
		r.repay(w.lent)
		for _, o := range abroad {
			r.resubmit(o)
		}
		if w.kick {
			r.kick()
		}
		r.flush()
		r.cq.mu.Lock()
		r.drain()
		r.cqUnlock()
	}
	if r.tickets.waiting.Load() > 0 {
		r.grant()
	}
}

// repay takes lent descriptors back, and resolves the operations on them.
func (r *Ring) repay(lent []loan) {
	if len(lent) == 0 {
		return
	}
	for _, l := range lent {
		r.takeBack(l.o.x.place)
	}
	r.cq.mu.Lock()
	for _, l := range lent {
		r.tell(l.o, l.res)
	}
	r.cqUnlock()
}

// kick makes the kernel write the CQEs that it keeps back.
func (r *Ring) kick() {
	if r.use() {
		r.overflows.Add(1)
		r.k.Events()
		r.unuse(1)
	}
}
