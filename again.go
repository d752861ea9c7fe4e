package rio

import (
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

const (
	// maxTries is how often an operation that the kernel gives up by itself is started again before that is believed.
	maxTries = 255
	// oddTries is after how many of these the log is told.
	oddTries = 64
	// vainTries is how often what others were faster for is tried at once.
	vainTries = 16
)

// again decides whether o, whose CQE says res, has to be started once more. Under cq.mu.
func (l *lane) again(o *op, res int32) bool {
	cancelled := o.state.Load()&isCancelled != 0
	errno := syscall.Errno(-res)
	switch {
	case o.dozes: // then it is begun again, or polls again; if it was cancelled, follow knows
		o.dozes = false
		o.fate &^= fatePolling
		o.naps, o.tries = min(o.naps+1, numNaps-1), 1
		return errno == uring.ETIME || errno == syscall.ECANCELED && !cancelled
	case o.polls() && res >= 0 && !o.ready(res):
		o.dozes = !cancelled
		return o.dozes
	case o.fate&fatePolling != 0:
		switch {
		case cancelled:
			return false
		case res >= 0:
			if o.fate &^= fatePolling; o.kind.accepts() {
				o.naps = 0 // others were faster; of anything else it may be that it is ready for ever, and takes nothing
			}
		case errno == syscall.EINVAL: // so a terminal says if many poll it
			o.dozes = true
		case errno != syscall.ECANCELED:
			return false
		}
		return true
	}
	if res >= 0 || cancelled {
		return false
	}
	switch errno {
	case syscall.ECANCELED: // Nobody asked for it: the thread that submitted it has ended, or no worker could be had. Nothing was done yet.
		if o.fate&fateBroken != 0 || o.tries == maxTries {
			return false
		}
		if !o.kind.accepts() { // those are begun again as often as others give up
			o.tries++
		}
		l.cq.work.odd = l.cq.work.odd || o.tries == oddTries
	case syscall.EINTR: // a signal, or, from a userfaultfd, that there is nothing yet
		o.hesitate()
	case syscall.EAGAIN, syscall.EINPROGRESS, syscall.EALREADY:
		// The descriptor is O_NONBLOCK, and this kernel takes it at its word; or it is a send (MSG_DONTWAIT).
		if kinds[o.kind].poll == 0 || errno != syscall.EAGAIN && o.kind != kindConnect {
			return false
		}
		if o.fate |= fatePolling; errno == syscall.EAGAIN {
			o.hesitate() // others are faster again and again, or it says that it is ready and is not
		}
	default:
		return false
	}
	o.tries = max(o.tries, 1) // who begins it again sees that it isn't new
	l.recouple(o)
	return true
}

// hesitate counts one more try of o in vain; behind some it naps.
func (o *op) hesitate() {
	if o.tries < vainTries {
		o.tries++
	} else {
		o.dozes = true
	}
}

// naps are how long what was polled for in vain waits, the longer the more often: a peer that has ended its stream (POLLRDHUP) is always
// told of, whatever is polled for, and may take nothing for as long as it likes. To poll again at once would be to go round in circles,
// and what the kernel polls for by itself goes to a worker after 128 of these, a thread for each peer: so no send waits there but a linked one.
// They begin short, as the peer may be taking what there is, and get twice as long, at most: who reads at any speed has something to read.
var naps struct {
	ts   [numNaps]uring.Timespec
	at   [numNaps]uring.Addr
	pins uring.Pins // for ever
}

const (
	numNaps  = 11
	firstNap = 100 * time.Microsecond
)

func init() {
	for i := range naps.ts {
		naps.ts[i].Set(int64(firstNap << i))
		naps.at[i] = naps.pins.Timespec(&naps.ts[i])
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
