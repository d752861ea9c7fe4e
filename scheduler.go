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
	few  atomic.Bool  // they are too few for that: see submitFor
	slow atomic.Int32 // that letting others run takes long: two for each time that it has, one less for each that it has not
	shy  atomic.Int32 // how often more not to, because of that
	fear atomic.Int32 // how long shy was to last the last time

	enter  atomic.Int64 // what one with few takes, nanoseconds
	trials atomic.Int32 // how often few was tried anew, and nobody was there
	breaks breaks
}

const (
	gainFor = 8
	// Who is alone finds out whether it still is: once in 2^probe operations.
	probe = 12
	// One in 2^sample yields is timed; each, once one has taken long.
	sample = 3
	// What runs for longer than this for each operation that comes of it is somebody's computation, which goes on until the
	// scheduler's own preemption, after 10 ms.
	stranger = 100 * time.Microsecond
	patient  = 2 * time.Millisecond
	enough   = 6 // of slow: other processes make some of them take long, too
	minFear  = 256
	maxFear  = 1 << 14
	// One in 2^glance of those whose calls are short looks whether it is time for a break.
	glance = 4
)

// gains reports whether it paid to yield lately, or whether to try.
func (s *scheduler) gains(l *lane) bool { return s.gain.Load() > 0 || oneIn(probe, l.flushed.Load()) }

// oneIn is true for one in 2^bits of numbers, whatever the steps they come in.
func oneIn(bits int, n uint32) bool {
	n = (n ^ n>>16) * 0x85ebca6b
	n = (n ^ n>>13) * 0xc2b2ae35
	return n>>(32-bits) == 0
}

// yield lets others run: so many of l's relay, if there is an o, which the caller has claimed, or whatever is runnable, unless
// that may be a computation. inTurn says that it was woken by the relay, and has to pass on.
func (s *scheduler) yield(l *lane, o *op, behind int) (inTurn bool) {
	before := l.flushed.Load()
	switch n := s.shy.Load(); {
	case o != nil && l.stand(o, behind):
		inTurn = true
	case n > 0:
		s.shy.Store(n - 1)
		return false
	case oneIn(sample, before) || s.slow.Load() > 0 || s.fear.Load() > 0:
		s.timed(l)
	default:
		runtime.Gosched()
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

// stand has o's owner sleep in the line of l's relay, if there is one, until its turn comes.
func (l *lane) stand(o *op, behind int) bool {
	if !l.relay.active.Load() {
		return false
	}
	if l.wakeable(o); !l.relay.join(o.wake, behind) {
		return false
	}
	<-o.wake
	return true
}

// timed lets whatever is runnable run, and looks at the clock, which costs as much as the rest.
func (s *scheduler) timed(l *lane) {
	before, began := l.queuedSQEs(), time.Now()
	runtime.Gosched()
	took, queued := time.Since(began), l.queuedSQEs()-before
	if took > patient && took/time.Duration(queued+1) > stranger {
		s.slowly()
	} else {
		s.soon()
	}
}

// slowly is called when that took long. Who has come to know that is shy after one more time.
func (s *scheduler) slowly() {
	if n := s.slow.Load() + 2; n < enough && s.fear.Load() == 0 {
		s.slow.Store(n)
		return
	}
	fear := min(max(2*s.fear.Load(), minFear), maxFear)
	s.slow.Store(0)
	s.fear.Store(fear)
	s.shy.Store(fear)
}

// soon is called when it didn't.
func (s *scheduler) soon() {
	if n := s.slow.Load(); n > 0 {
		s.slow.Store(n - 1)
	}
	if fear := s.fear.Load(); fear > 0 {
		if fear -= fear / 8; fear < minFear/2 {
			fear = 0
		}
		s.fear.Store(fear)
	}
}

// mindOthers lets one in so many look whether it is time to let others run.
func (l *lane) mindOthers() {
	if oneIn(glance, l.flushed.Load()) {
		l.takeBreak()
	}
}

// takeBreak lets others run if it is time to.
func (l *lane) takeBreak() { l.scheduler.breaks.look(l.ring) }

// queuedSQEs grows with each operation that reaches the queue, or is put off.
func (l *lane) queuedSQEs() uint64 {
	l.sq.mu.Lock()
	defer l.sq.mu.Unlock()
	return l.sq.written + l.sq.later.pushed
}

// breaks are when others are let run though that gains nothing: after a slice, and later if it takes long. Somebody who goes from
// one system call to the next without that for 10 ms is taken for one who computes: the runtime's monitor takes his P away in
// each call it comes upon, for nobody, and comes by every 20 us from then on. One of those who share them takes each: where
// many Ps make calls on one lane, a P has its break less often.
type breaks struct {
	next  atomic.Int64 // in the Ring's life
	pause atomic.Int64
}

const (
	slice    = 4 * time.Millisecond
	maxSlice = 4 * time.Second
)

// look takes one if it is time to. Nobody else does meanwhile, who would see it take long, too.
func (b *breaks) look(r *Ring) {
	now, next := int64(time.Since(r.born)), b.next.Load()
	if now >= next && b.next.CompareAndSwap(next, now+int64(maxSlice)) {
		b.take(r)
	}
}

// take takes one in any case.
func (b *breaks) take(r *Ring) {
	began := time.Since(r.born)
	runtime.Gosched()
	now, pause := time.Since(r.born), slice
	if now-began > patient {
		pause = min(8*max(slice, time.Duration(b.pause.Load())), maxSlice)
	}
	b.pause.Store(int64(pause))
	b.next.Store(int64(now + pause))
}

// postpone puts the next one off: the caller has slept, and is in nobody's way.
func (b *breaks) postpone(r *Ring) { b.next.Store(int64(time.Since(r.born) + slice)) }
