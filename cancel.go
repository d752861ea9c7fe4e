package rio

import "syscall"

const errCanceled = -int32(syscall.ECANCELED)

// cancel asks for o's end, if it is still the operation of that generation (0: whatever it is). Nothing resolves
// here but what the kernel doesn't have: the CQE of the operation says how it ended. why are phase bits that say
// on whose account.
func (l *lane) cancel(o *op, gen uint64, why uint64) {
	l.lock()
	if phase, same := o.current(gen); !same || phase&(isDone|isHanded) != 0 {
		l.unlock()
		return
	}
	if o.bits&bitWaiter != 0 { // for an inbox
		o.resolve(errCanceled)
		l.unlock()
		return
	}
	l.doom(o, why)
	l.unlock()
	l.started()
	l.flush()
	l.reap()
}

// doom marks o, and takes it out of where it is held back or asks the kernel for it. The kernel may miss it: a request
// between two states is in none of its lists, so the sweeper asks again until the CQE is there. Under both locks.
func (l *lane) doom(o *op, why uint64) {
	if o.state.Or(isCancelled|why)&isCancelled == 0 {
		l.cancelling.Add(1)
	}
	switch {
	case o.in != nil && o.in.absorbs(o): // release will, when those CQEs are there
	case o.in != nil:
		l.cut(o.in, o)
	case o.fate&fateLater != 0:
		l.finish(o, errCanceled)
	default:
		l.askCancel(o)
	}
}

// absorbs reports whether the CQE of o, or of one behind it, is still to come, though it is held back again.
func (g *group) absorbs(o *op) bool {
	for ; o != nil; o = o.next {
		if o.fate&fateAbsorb != 0 {
			return true
		}
	}
	return false
}

// askCancel queues a cancel for o. It takes no ticket: it may only get into the queue if there is room, and its own CQE
// is the one more that the kernel keeps (IORING_FEAT_NODROP) should there be none in the CQ. Under both locks.
func (l *lane) askCancel(o *op) {
	if !l.k.SQ.Has(1) || l.ring.broken() != nil {
		return // the sweeper will
	}
	l.notBrief(1)
	l.k.SQ.Claim().FillCancel(o.data, controlData)
	l.publish(1)
}

// recancel asks once more for everything that was asked for and has not ended. It reports whether that was everything: not, if
// the queue stays full, because others are submitting (or IORING_SETUP_SQPOLL's thread is); then the next one goes on where it stopped.
func (l *lane) recancel() (all bool) {
	for left, room := -1, true; room && left != 0; {
		l.lock()
		if left < 0 {
			left = len(l.table)
		}
		room = l.k.SQ.Has(1)
		for ; left > 0 && l.k.SQ.Has(1); left-- {
			o := l.table[l.recancelled%len(l.table)].op
			l.recancelled++
			if o != nil && o.in == nil && o.fate&fateAbsorb == 0 && o.state.Load()&(isCancelled|isDone) == isCancelled {
				l.askCancel(o)
			}
		}
		all = left == 0
		l.unlock()
		l.flush()
		l.reap()
	}
	return all
}

// cancelWhere cancels every operation that which picks.
func (l *lane) cancelWhere(why uint64, which func(*op) bool) {
	l.lock()
	for i := range l.table {
		if o := l.table[i].op; o != nil && o.fate&fateLost == 0 && o.state.Load()&isDone == 0 && which(o) {
			l.doom(o, why)
		}
	}
	l.unlock()
	l.started()
	l.flush()
	l.reap()
}
