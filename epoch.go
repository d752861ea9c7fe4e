package rio

import "slices"

// An epoch is what was started between two Drains. One with a gate may begin when all earlier ones have ended.
type epoch struct {
	started  uint64 // under sq.mu; it stands still once there is a later epoch
	finished uint64 // under cq.mu
	gate     *group
}

// newEpoch begins an epoch with o, unless everything before o has ended.
func (l *lane) newEpoch(o *op, g *group) bool {
	o.epoch.started--
	idle := l.allEnded()
	switch last := o.epoch; {
	case idle:
	case last != l.cq.epochs[0] && last.started == last.finished:
		last.gate = g // all that was in it was given up before it could begin
	default:
		l.forgetEpochs()
		o.epoch = &epoch{gate: g}
		l.sq.epoch = o.epoch
		l.cq.epochs = append(l.cq.epochs, o.epoch)
	}
	o.epoch.started++
	return !idle
}

// forgetEpochs forgets those that somebody has given up all of, before it could begin, but for the last. Their started stands still.
func (l *lane) forgetEpochs() {
	kept := l.cq.epochs[:1]
	for _, e := range l.cq.epochs[1:] {
		if e == l.sq.epoch || e.started != e.finished {
			kept = append(kept, e)
		}
	}
	clear(l.cq.epochs[len(kept):])
	l.cq.epochs = kept
}

// leaveEpoch is called when o has ended; of what is lent, when that has been taken back. Under cq.mu.
func (l *lane) leaveEpoch(o *op) {
	o.epoch.finished++
	o.epoch = nil
	if len(l.cq.epochs) > 1 {
		l.passEpochs()
	}
}

// allEnded reports whether everything that was started on l has ended. Under both locks.
func (l *lane) allEnded() bool {
	return !slices.ContainsFunc(l.cq.epochs, func(e *epoch) bool { return e.started != e.finished })
}

// gate makes g, of the first lane, wait for what was started on the side lane l so far. It reports whether there is any.
// Under the first lane's locks.
func (l *lane) gate(g *group) bool {
	l.lock()
	defer l.unlock()
	idle := l.allEnded()
	if !idle {
		l.sq.epoch = &epoch{gate: g}
		l.cq.epochs = append(l.cq.epochs, l.sq.epoch)
	}
	return !idle
}

// openGates tells groups of the first lane that what they waited for on a side lane has ended.
func (r *Ring) openGates(gates []*group) {
	if len(gates) == 0 {
		return
	}
	r.lock()
	for _, g := range gates {
		r.settle(g, true)
	}
	r.unlock()
	r.follow()
}

// passEpochs opens the gates of the epochs whose predecessors have all ended. Under cq.mu.
func (l *lane) passEpochs() {
	passed := 0
	for ; passed < len(l.cq.epochs)-1 && l.cq.epochs[passed].started == l.cq.epochs[passed].finished; passed++ {
		e := l.cq.epochs[passed+1]
		switch {
		case e.gate == nil:
		case l == &l.ring.lane:
			l.settle(e.gate, true)
		default:
			l.cq.work.gates = append(l.cq.work.gates, e.gate)
		}
		e.gate = nil
	}
	l.cq.epochs = slices.Delete(l.cq.epochs, 0, passed)
}
