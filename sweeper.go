package rio

import (
	"runtime"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// The sweeper is for operations that nobody waits for: they reach the kernel within about a millisecond, two where others are
// at work, and their CQEs are read. It ticks while there is traffic, so that starting an operation costs one atomic load on its
// account; when it falls asleep with something in flight it leaves the notification on.

const (
	tick    = time.Millisecond
	restful = 10 // ticks without traffic before it falls asleep
	recount = 64 // every so many ticks it counts the Ps: asking takes the runtime's lock
)

func (r *Ring) sweeper() {
	defer close(r.sweeperGone)
	t := time.NewTicker(tick)
	defer t.Stop()
	var last uint32
	for {
		backoff, next := 1, 1
		for quiet, n := 0, 0; quiet < restful; n++ {
			if n%recount == 0 {
				r.procs.Store(int32(runtime.GOMAXPROCS(0)))
			}
			select {
			case <-t.C:
			case <-r.stop:
				return
			}
			busy, cancelling, all := r.sweep(n >= next)
			switch {
			case !cancelling || !all:
				backoff, next = 1, n+1
			case n >= next:
				backoff = min(backoff*2, 64)
				next = n + backoff
			}
			if now := r.tails(); now != last || busy {
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

// sweep is one tick. It reports whether there was anything to do, and whether cancels are under way, which it repeats if
// it is told to, and then whether all.
func (r *Ring) sweep(recancel bool) (busy, cancelling, all bool) {
	all = true
	r.weigh()
	r.even()
	defer r.side.met.Store(false) // it meets others, too
	for l := range r.lanes() {
		if !l.swept.leaves(l) {
			l.flush()
		}
		if l.polls() {
			l.poll()
			busy = true
		}
		busy = l.swept.leavesUnread(l) || l.reap() || l.heldBack.Load() || busy
		if l.cancelling.Load() > 0 {
			if recancel {
				all = l.recancel() && all
			}
			busy, cancelling = true, true
		}
		l.swept.note(l)
	}
	return busy, cancelling, all
}

// swept is how a lane was left by the last tick. Where others are at work it is better left to them: all at once, and on the
// processor that has it in its cache. Nothing is left for longer than to the next tick.
type swept struct {
	tail, flushed uint32
	read          uint32 // up to where completions were
	unread        bool   // they were left to others
}

// flood is how many operations started between two ticks somebody will wait for soon.
const flood = 256

func (s *swept) note(l *lane) {
	s.tail, s.flushed, s.read = l.k.SQ.Tail(), l.flushed.Load(), l.k.CQ.Head()
}

// leaves reports whether to leave submitting to others: one has done so since the last tick, or will when all is started.
func (s *swept) leaves(l *lane) bool {
	now := l.flushed.Load()
	return int32(now-s.tail) >= 0 && (now != s.flushed || l.k.SQ.Tail()-s.tail >= flood)
}

// leavesUnread reports whether to leave completions to others: one has read some since the last tick, or will when he has
// submitted.
func (s *swept) leavesUnread(l *lane) bool {
	s.unread = !s.unread && (l.k.CQ.Head() != s.read || l.submitting() > 0)
	return s.unread
}

// tails moves whenever something is started, unless that is held back.
func (r *Ring) tails() (sum uint32) {
	for l := range r.lanes() {
		sum += l.k.SQ.Tail()
	}
	return sum
}

// rest sleeps until there is traffic again. An operation that is started meanwhile sees asleep; one that was started
// before it was set shows in the tail, or is held back.
func (r *Ring) rest(t *time.Ticker, last uint32) bool {
	t.Stop()
	defer t.Reset(tick)
	r.asleep.Store(true)
	for l := range r.lanes() {
		if l.heldBack.Load() || l.cancelling.Load() > 0 {
			r.asleep.Store(false)
			return true
		}
		l.watchers.Add(1)
		defer l.watchers.Add(-1)
		if l.busy() && l.leaders.Load() == 0 {
			l.arm()
		}
	}
	if r.tails() != last {
		r.asleep.Store(false)
		return true
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
func (l *lane) polls() bool { return l.k.Flags&uring.SetupIOPoll != 0 && l.busy() }

// busy reports whether anything is in flight on l.
func (l *lane) busy() bool {
	l.lock()
	defer l.unlock()
	return l.inFlightLocked() > 0
}

// catchUp has the kernel do what waits for this thread to enter it, with IORING_SETUP_COOP_TASKRUN: who spins never would.
func (l *lane) catchUp() {
	if l.k.Flags&uring.SetupTaskrunFlag != 0 && l.use() {
		enters := 0
		if l.k.SQ.TaskWork() {
			l.k.Events()
			enters = 1
		}
		l.unuse(enters)
	}
}

// poll looks for polled completions.
func (l *lane) poll() {
	if l.use() {
		l.k.Events()
		l.unuse(1)
	}
}
