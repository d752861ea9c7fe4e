package rio

import "syscall"

// maxTries is how often an operation is started again before its error is believed.
const maxTries = 255

// again decides whether o, whose CQE says res, has to be started once more. Under cq.mu.
func (l *lane) again(o *op, res int32) bool {
	cancelled := o.state.Load()&isCancelled != 0
	errno := syscall.Errno(-res)
	if o.fate&fatePolling != 0 {
		if cancelled || res < 0 && errno != syscall.ECANCELED || o.tries == maxTries {
			return false
		}
		if res >= 0 {
			o.fate &^= fatePolling
		}
		o.tries++
		return true
	}
	if res >= 0 || cancelled || o.tries == maxTries {
		return false
	}
	switch errno {
	case syscall.ECANCELED, syscall.EINTR:
		// Nobody asked for it: the thread that submitted it has ended, or had a signal. Nothing was done yet.
		if o.fate&fateBroken != 0 {
			return false
		}
	case syscall.EAGAIN, syscall.EINPROGRESS, syscall.EALREADY:
		// The descriptor is O_NONBLOCK, and this kernel takes it at its word.
		if kinds[o.kind].poll == 0 || errno != syscall.EAGAIN && o.kind != kindConnect {
			return false
		}
		o.fate |= fatePolling
	default:
		return false
	}
	if !o.kind.accepts() || errno != syscall.ECANCELED { // those are begun again as often as others give up
		o.tries++
	}
	l.recouple(o)
	return true
}

// recouple hangs what the kernel had linked behind o on it once more: o is started again, and its failure has ended
// the chain. Those behind it end with an ECANCELED each, which doesn't count. Under cq.mu.
func (l *lane) recouple(o *op) {
	if o.bits&bitLinked == 0 {
		return
	}
	g := &group{train: train{first: o.next}, waits: 1}
	for p := o.next; p != nil; p = p.next {
		p.in, p.fate = g, p.fate|fateAbsorb
		g.last = p
		g.n++
		g.waits++
	}
	o.then, o.next, o.bits = g, nil, o.bits&^bitLinked
}
