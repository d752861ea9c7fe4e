package rio

import (
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// The sweeper is for operations that nobody waits for: they reach the kernel within about a millisecond, and their CQEs
// are read. It ticks while there is traffic, so that starting an operation costs one atomic load on its account; when
// it falls asleep with something in flight it leaves the notification on.

const (
	tick    = time.Millisecond
	restful = 10 // ticks without traffic before it falls asleep
)

func (r *Ring) sweeper() {
	defer close(r.sweeperGone)
	t := time.NewTicker(tick)
	defer t.Stop()
	var last uint32
	for {
		backoff, next := 1, 1
		for quiet, n := 0, 0; quiet < restful; n++ {
			select {
			case <-t.C:
			case <-r.stop:
				return
			}
			r.flush()
			if r.polls() {
				r.poll()
			}
			busy := r.reap()
			if r.cancelling.Load() > 0 {
				if n >= next {
					r.recancel()
					backoff = min(backoff*2, 64)
					next = n + backoff
				}
				busy = true
			} else {
				backoff, next = 1, n+1
			}
			if now := r.k.SQ.Tail(); now != last || busy || r.heldBack.Load() || r.polls() {
				last, quiet = now, 0
			} else {
				quiet++
			}
		}
		if !r.rest(t, last) {
			return
		}
	}
}

// rest sleeps until there is traffic again. An operation that is started meanwhile sees asleep; one that was started
// before it was set shows in the tail.
func (r *Ring) rest(t *time.Ticker, last uint32) bool {
	t.Stop()
	defer t.Reset(tick)
	r.asleep.Store(true)
	if r.k.SQ.Tail() != last || r.heldBack.Load() || r.cancelling.Load() > 0 {
		r.asleep.Store(false)
		return true
	}
	r.watchers.Add(1)
	defer r.watchers.Add(-1)
	if r.inFlight() > 0 && !r.leader.Load() {
		r.arm()
	}
	select {
	case <-r.wakeSweeper:
	case <-r.stop:
		return false
	}
	return true
}

// nudge wakes the sweeper. One of those who see it asleep does so.
func (r *Ring) nudge() {
	if r.asleep.CompareAndSwap(true, false) {
		select {
		case r.wakeSweeper <- struct{}{}:
		default: // it is being woken
		}
	}
}

// polls reports whether completions have to be polled for (IORING_SETUP_IOPOLL) and there are some to come.
func (r *Ring) polls() bool { return r.k.Flags&uring.SetupIOPoll != 0 && r.inFlight() > 0 }

// poll looks for polled completions.
func (r *Ring) poll() {
	if r.use() {
		r.k.Events()
		r.unuse(1)
	}
}
