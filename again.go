package rio

import (
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// maxTries is how often an operation is started again before its error is believed.
const maxTries = 255

// again decides whether o, whose CQE says res, has to be started once more. Under cq.mu.
func (l *lane) again(o *op, res int32) bool {
	cancelled := o.state.Load()&isCancelled != 0
	errno := syscall.Errno(-res)
	switch {
	case o.dozes: // then it is begun again, or polls again; if it was cancelled, follow knows
		o.dozes = false
		o.fate &^= fatePolling
		o.naps, o.tries = min(o.naps+1, uint8(len(l.ring.naps.ts)-1)), 0
		return errno == uring.ETIME || errno == syscall.ECANCELED && !cancelled
	case o.polls() && res >= 0 && !o.ready(res):
		o.dozes = !cancelled
		return o.dozes
	}
	if o.fate&fatePolling != 0 || o.kind == kindPoll {
		o.naps = 0
	}
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

// naps are how long what was polled for in vain waits, the longer the more often: a peer that has ended its stream (POLLRDHUP) is always
// told of, whatever is polled for, and may take nothing for as long as it likes. To poll again at once would be to go round in circles.
type naps struct {
	ts   [5]uring.Timespec
	at   [5]uring.Addr
	pins uring.Pins
}

const firstNap = 5 * time.Millisecond

func (n *naps) init() {
	for i := range n.ts {
		n.ts[i].Set(int64(firstNap << i))
		n.at[i] = n.pins.Timespec(&n.ts[i])
	}
}

// polls reports whether o's CQE is a poll's.
func (o *op) polls() bool { return o.fate&fatePolling != 0 || o.kind == kindPoll }

// ready reports whether events, which a poll has brought, are what o waits for.
func (o *op) ready(events int32) bool {
	want := kinds[o.kind].poll
	if o.kind == kindPoll {
		want = o.opf
	}
	return uring.OpFlags(events)&(want|uring.PollErr|uring.PollHup|uring.PollNval) != 0
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
