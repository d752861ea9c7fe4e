package rio

import "syscall"

const errCanceled = -int32(syscall.ECANCELED)

// cancel asks for o's end, if it is still the operation of that generation (0: whatever it is). Nothing resolves
// here but what the kernel doesn't have: the CQE of the operation says how it ended. why are phase bits that say
// on whose account.
func (r *Ring) cancel(o *op, gen uint64, why uint64) {
	r.lock()
	if phase, same := o.current(gen); !same || phase&(isDone|isHanded) != 0 {
		r.unlock()
		return
	}
	r.doom(o, why)
	r.unlock()
	r.started()
	r.flush()
	r.reap()
}

// doom marks o, and takes it out of where it is held back or asks the kernel for it. The kernel may miss it: a request
// between two states is in none of its lists, so the sweeper asks again until the CQE is there. Under both locks.
func (r *Ring) doom(o *op, why uint64) {
	if o.state.Or(isCancelled|why)&isCancelled == 0 {
		r.cancelling.Add(1)
	}
	switch {
	case o.in != nil && o.in.absorbs(o): // release will, when those CQEs are there
	case o.in != nil:
		r.cut(o.in, o)
	default:
		r.askCancel(o)
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
func (r *Ring) askCancel(o *op) {
	if !r.k.SQ.Has(1) || r.broken() != nil {
		return // the sweeper will
	}
	r.k.SQ.Claim().FillCancel(r.userData(o), controlData)
	r.publish(1)
}

// recancel asks once more for everything that was asked for and has not ended.
func (r *Ring) recancel() {
	r.lock()
	for i := range r.table {
		o := r.table[i].op
		if o != nil && o.in == nil && o.fate&(fateAbsorb|fateLost) == 0 && o.state.Load()&(isCancelled|isDone) == isCancelled {
			r.askCancel(o)
		}
	}
	r.unlock()
	r.flush()
	r.reap()
}

// cancelWhere cancels every operation that which picks.
func (r *Ring) cancelWhere(why uint64, which func(*op) bool) {
	r.lock()
	for i := range r.table {
		if o := r.table[i].op; o != nil && o.fate&fateLost == 0 && o.state.Load()&isDone == 0 && which(o) {
			r.doom(o, why)
		}
	}
	r.unlock()
	r.started()
	r.flush()
	r.reap()
}
