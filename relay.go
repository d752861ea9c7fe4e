package rio

import (
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// A relay wakes those whose operations have ended one after the other: each wakes the next as the first thing it does. The
// runtime gives the P of who wakes to who is woken, and others can't take that goroutine so soon. So a lane's waiters, and
// the operations they start next, stay on one thread for as long as each runs for a moment only: many submissions become
// one, and no completion has to be carried to another CPU. If all were woken at once, idle Ps would take half of them.
//
// With one P that would go on for as long as the line doesn't end, and nobody else run who has been let wait: the runtime takes all
// of them for one goroutine that goes on, and looks at its other queue between goroutines only. So after a turn who is to wake
// the next lets others run first.
//
// Where one of them runs for longer, the next must not wait for that: then they are woken all at once, for a while, unless there
// is no other P to run on.
//
//	somebody is in line  =>  somebody was woken who has not passed yet
type relay struct {
	active atomic.Bool // somebody was woken who has not passed yet; written under mu
	isLong atomic.Bool // longLine were in line, and half of that still are; likewise
	mu     sync.Mutex
	line   []chan struct{}
	head   int // of line
	wakes  uint32
	woken  time.Time     // when the one who is to pass was, if that is looked at; zero otherwise
	began  time.Time     // a turn of all of them; zero: not known yet
	slow   int           // how many in a row have taken long
	wide   int           // how many more to wake at once, because of that
	fear   int           // how many that was the last time
	procs  *atomic.Int32 // the Ring's
	long   int           // longLine; 0: no line is
}

const (
	// turn is how long all may run, as long as the runtime lets a goroutine.
	turn = 10 * time.Millisecond
	// brief is how long it may take from one to the next: longer than an operation takes to be started.
	brief = 5 * time.Microsecond
	// timedWake is how many are woken for each whose time is taken.
	timedWake  = 16
	enoughSlow = 3 // in a row: interrupts make some of them slow, too
	minWide    = 64
	maxWide    = 1 << 14
	longLine   = 512 // so many in line won't run before what they touch has left the processor's cache
)

// wake wakes who sleeps on ch, now or in turn. Who has been woken passes.
func (r *relay) wake(ch chan struct{}) {
	if uring.Race { // the detector would take it for an order between them
		ch <- struct{}{}
		return
	}
	r.mu.Lock()
	switch {
	case r.wide > 0:
		r.wide--
	case r.active.Load():
		r.push(ch, last)
		r.mu.Unlock()
		return
	default:
		r.active.Store(true)
		r.stamp()
	}
	r.mu.Unlock()
	ch <- struct{}{}
}

// join puts ch, whose owner is about to sleep on it, into the line, behind at most so many; false if there is none.
func (r *relay) join(ch chan struct{}, behind int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.active.Load() {
		return false
	}
	r.push(ch, behind)
	return true
}

// last is behind all.
const last = math.MaxInt

// push puts ch into the line, behind at most so many. Under mu.
func (r *relay) push(ch chan struct{}, behind int) {
	if len(r.line) == cap(r.line) && r.head >= len(r.line)/2 {
		r.line = slices.Delete(r.line, 0, r.head) // it may never be empty
		r.head = 0
	}
	at := len(r.line)
	if behind < at-r.head {
		at = r.head + behind
	}
	r.line = slices.Insert(r.line, at, ch)
	if len(r.line)-r.head == r.long {
		r.isLong.Store(true)
	}
}

// pass wakes the next; if there is none, it reports that the relay has come to its end.
func (r *relay) pass() (end bool) {
	r.mu.Lock()
	var all []chan struct{}
	over := false
	if !r.woken.IsZero() {
		now := time.Now()
		over = r.turnIsOver(now)
		switch {
		case now.Sub(r.woken) <= brief || r.procs.Load() == 1:
			r.slow, r.fear = 0, 0
		case r.slow < enoughSlow-1:
			r.slow++
		default:
			r.slow = 0
			r.fear = min(max(2*r.fear, minWide), maxWide)
			r.wide = r.fear
			all = append(all, r.line[r.head:]...)
			r.head = len(r.line)
		}
		r.woken = time.Time{}
	}
	if over && r.head < len(r.line) {
		r.mu.Unlock()
		runtime.Gosched() // nobody else passes meanwhile
		r.mu.Lock()
	}
	var next chan struct{}
	if r.head == len(r.line) {
		r.line, r.head, r.began = r.line[:0], 0, time.Time{}
		r.active.Store(false)
	} else {
		next = r.line[r.head]
		r.head++
		r.stamp()
	}
	if r.isLong.Load() && len(r.line)-r.head <= r.long/2 {
		r.isLong.Store(false)
	}
	r.mu.Unlock()
	for _, ch := range all {
		ch <- struct{}{}
	}
	if next != nil {
		next <- struct{}{}
	}
	return next == nil
}

// turnIsOver reports whether it is time to let others run; then the next turn begins. Under mu.
func (r *relay) turnIsOver(now time.Time) bool {
	switch {
	case r.procs.Load() > 1:
	case r.began.IsZero():
		r.began = now
	case now.Sub(r.began) > turn:
		r.began = time.Time{}
		return true
	}
	return false
}

// stamp takes the time of one in so many. Under mu.
func (r *relay) stamp() {
	if r.wakes++; r.wakes%timedWake == 0 {
		r.woken = time.Now()
	}
}
