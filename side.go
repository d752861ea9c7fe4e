package rio

import (
	"iter"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// sideLanes are a Ring's further lanes. They are opened when goroutines were seen to stand in line for the first one's
// lock in the kernel, or for the one P that does what the kernel ends at once for all of them; a program that has one goroutine
// at a time on the Ring never has any.
type sideLanes struct {
	open   atomic.Pointer[[]*lane]
	local  sync.Pool     // of *dealt: what the P that asks has got
	next   atomic.Uint32 // the lane of the next P that asks
	deal   atomic.Uint32 // how often lanes were dealt out anew
	mu     sync.Mutex    // who opens them
	most   int           // how many there may be; 0: none, or no more to be tried
	config uring.Config
	met    atomic.Bool // somebody has come to submit on the first lane while another did

	// The sweeper's.
	contended int
	begun     uint64 // on the first lane, when it last looked: what side lanes would carry, and its relay's wakes
	wakes     uint32
	uneven    int // for how many ticks a lane has had nothing to do, and another much
	patience  int // for how many it may
}

// spreadLanes has every Ring open so many side lanes at once, and take them in turn, whoever asks: so that tests meet all
// of them whatever the scheduler does.
var spreadLanes int

const (
	// maxLanes bounds memory and the work of the sweeper: more cores than that share.
	maxLanes = 16
	// contention is at how many more ticks of the sweeper than not somebody must have come to submit while another did, or many
	// have waited for each other, since the tick before, for there to be side lanes.
	contention = 32
)

// crowd is how many operations that side lanes would carry, of goroutines that wait for each other, are work enough for more
// than one P: from one tick to the next. Tests lower it.
var crowd uint64 = 256

func (s *sideLanes) init(kc uring.Config, backend Backend) {
	// A kernel thread that polls is there for one ring; a queue for a few operations is no place for many lanes; and threads
	// have no lock that would be worth it.
	if kc.Flags&(uring.SetupSQPoll|uring.SetupIOPoll) == 0 && kc.CQEntries >= 64 && backend != Threads {
		s.most = maxLanes - 1
	}
	s.config = kc
	s.config.Files, s.config.Coop = 0, false // who opens one has several Ps
}

// lanes are all of r's.
func (r *Ring) lanes() iter.Seq[*lane] {
	return func(yield func(*lane) bool) {
		if !yield(&r.lane) {
			return
		}
		for _, l := range r.sides() {
			if !yield(l) {
				return
			}
		}
	}
}

func (r *Ring) sides() []*lane {
	if p := r.side.open.Load(); p != nil {
		return *p
	}
	return nil
}

// route picks the lane for an operation of that kind on h: the one of the P that runs the caller, if any will do.
func (r *Ring) route(k kind, h *handle, ord Ordering) *lane {
	if r.side.open.Load() == nil {
		return &r.lane
	}
	return r.choose(k, h, ord)
}

// meet is called by who is about to submit. On the first lane it notes whether somebody else is at it, too.
func (l *lane) meet() {
	if l.submitting() > 1 {
		l.contend()
	}
}

func (l *lane) contend() {
	s := &l.ring.side
	if l == &l.ring.lane && s.open.Load() == nil && !s.met.Load() {
		s.met.Store(true)
	}
}

// weigh opens the side lanes if many were met lately, or many have waited for each other. Once a tick, however often: a thread
// that the system stops while it submits meets thousands.
func (r *Ring) weigh() {
	s := &r.side
	switch {
	case s.most == 0 || s.open.Load() != nil:
	case !s.gathers(&r.lane) && !s.met.Load():
		s.contended = max(s.contended-1, 0)
	case s.contended < contention:
		s.contended++
	case r.procs.Load() > 1:
		s.contended = 0
		r.widen(min(runtime.GOMAXPROCS(0)-1, s.most))
	}
}

// gathers reports whether l had much to do since it was last asked, for goroutines that wait for each other: the relay keeps
// these on one P. It is asked once a tick.
func (s *sideLanes) gathers(l *lane) bool {
	l.sq.mu.Lock()
	begun := l.sq.loose - min(l.sq.direct, l.sq.loose)
	l.sq.mu.Unlock()
	l.relay.mu.Lock()
	wakes := l.relay.wakes
	l.relay.mu.Unlock()
	n, woken := begun-min(s.begun, begun), uint64(wakes-s.wakes)
	s.begun, s.wakes = begun, wakes
	return n >= crowd && woken >= n/8
}

// widen opens n side lanes, or as many as the kernel has memory for.
func (r *Ring) widen(n int) {
	s := &r.side
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open.Load() != nil || n <= 0 || !r.use() { // Close waits for who uses the ring
		return
	}
	defer r.unuse(0)
	var opened []*lane
	kc := s.config
	kc.Event = r.k.Event
	for range n {
		k, err := uring.Open(kc)
		if err != nil {
			break
		}
		l := new(lane)
		l.init(r, k)
		opened = append(opened, l)
	}
	if opened == nil {
		s.most = 0
		return
	}
	// Who closes the Ring, or breaks it, either sees them or is seen.
	r.lock()
	for _, l := range opened {
		l.sq.refusal = r.sq.refusal
	}
	s.open.Store(&opened)
	r.unlock()
}
