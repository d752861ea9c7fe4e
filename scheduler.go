package rio

import (
	"runtime"
	"sync/atomic"
	"time"
)

// A scheduler is what a lane has learned of Go's: whether it pays to let others run before submitting, and whether who
// lets go of its P gets it back soon. Both are guesses that are made from what happened the last times; they are read and
// written without a lock, for a wrong one costs time and nothing else.
type scheduler struct {
	gain atomic.Int32 // how often more to yield, because others had submitted something then
	slow atomic.Int32 // how often in a row that took long
	shy  atomic.Int32 // how often more not to, because of that
	fear atomic.Int32 // how long shy is to last the next time
}

const (
	gainFor = 8
	// probe is how often who is alone finds out whether it still is: once in so many operations.
	probe = 4096
	// sample is how often a yield is timed.
	sample = 8
	// What runs for longer than this for each operation that comes of it is somebody's computation, which goes on until the
	// scheduler's own preemption, after 10 ms.
	stranger = 100 * time.Microsecond
	patient  = 2 * time.Millisecond
	enough   = 3 // in a row: other processes make some of them slow, too
	minFear  = 64
	maxFear  = 1 << 14
)

// gains reports whether it paid to yield lately, or whether to try.
func (s *scheduler) gains(l *lane) bool { return s.gain.Load() > 0 || l.flushed.Load()%probe == 0 }

// yield lets others run: so many of l's relay, if there is an o, which the caller has claimed, or whatever is runnable. inTurn
// says that it was woken by the relay, and has to pass on.
func (s *scheduler) yield(l *lane, o *op, behind int) (inTurn bool) {
	if n := s.shy.Load(); n > 0 {
		s.shy.Store(n - 1)
		return false
	}
	before := l.flushed.Load()
	if before%sample == 0 || s.slow.Load() > 0 {
		inTurn = s.timed(l, o, behind)
	} else {
		inTurn = l.letRun(o, behind)
	}
	submitted := l.flushed.Load() - before
	switch n := s.gain.Load(); {
	case submitted > 0 || l.parked.Load() > 0:
		if n != gainFor {
			s.gain.Store(gainFor)
		}
	case n > 0:
		s.gain.Store(n - 1)
	}
	return inTurn
}

// letRun is yield without its lessons.
func (l *lane) letRun(o *op, behind int) (inTurn bool) {
	if o != nil && l.relay.active.Load() {
		if l.wakeable(o); l.relay.join(o.wake, behind) {
			<-o.wake
			return true
		}
	}
	runtime.Gosched()
	return false
}

// timed yields and looks at the clock, which costs as much as the rest.
func (s *scheduler) timed(l *lane, o *op, behind int) (inTurn bool) {
	before, began := l.writtenSQEs(), time.Now()
	inTurn = l.letRun(o, behind)
	took, queued := time.Since(began), l.writtenSQEs()-before
	if took > patient && took/time.Duration(queued+1) > stranger {
		if n := s.slow.Load() + 1; n < enough {
			s.slow.Store(n)
			return inTurn
		}
		fear := min(max(2*s.fear.Load(), minFear), maxFear)
		s.fear.Store(fear)
		s.shy.Store(fear)
		return inTurn
	}
	if s.slow.Load() > 0 {
		s.slow.Store(0)
		s.fear.Store(0)
	}
	return inTurn
}

// crowds makes the caller one more leader, if the CPUs are taken: who parks then gets a P back late.
func (s *scheduler) crowds(l *lane) bool {
	if s.shy.Load() == 0 {
		return false
	}
	l.leaders.Add(1)
	return true
}

// writtenSQEs is how many operations have reached the queue so far.
func (l *lane) writtenSQEs() uint64 {
	l.sq.mu.Lock()
	defer l.sq.mu.Unlock()
	return l.sq.written
}
