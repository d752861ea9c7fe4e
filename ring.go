package rio

import (
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-9c58b644/rio/internal/hook"
	"github.com/seed-9c58b644/rio/internal/uring"
)

// A Ring is an io_uring, or does the same without (Backend). Any number of goroutines may use it. Start as many as you like,
// but one is mostly enough: the goroutines of a Ring help each other.
type Ring struct {
	lane // the first one
	side sideLanes

	backend Backend
	because string

	loopKernel func(*uring.Queues) uring.Kernel // what Serve's loops run on; nil: Linux
	portable   bool                             // its handles' descriptors are Virtuals
	linux      bool                             // it is an io_uring

	tickets   tickets
	log       *slog.Logger
	born      time.Time
	doneMu    sync.Mutex
	orphans   orphans
	provided  provided // for the loops of Conns
	memories  memories // Buffers
	atOnce    atOnce
	hands     byHand
	services  services // Listener.Serve
	waits     waits    // of Conns
	broke     atomic.Pointer[error]
	closing   atomic.Bool
	following atomic.Bool // sq.follow, to be seen from the side lanes
	acceptor  atomic.Bool // it is one of acceptors
	fresh     chan chan struct{}
	seens     chan chan verdict // under the race detector
	closeOnce sync.Once
	closeErr  error

	ordered byte // for the race detector: from every witness to whoever waits for an ordered operation
	turns   turns

	procs       atomic.Int32 // GOMAXPROCS, as the sweeper last saw it
	asleep      atomic.Bool  // the sweeper
	wakeSweeper chan struct{}
	stop        chan struct{}
	sweeperGone chan struct{}
	reaperGone  chan struct{}

	netpoll netpoll
	reads   byHand       // reads without the ring that may take long
	logs    bool         // somebody hears of the log
	told    atomic.Int64 // when it last did of the line for places, in the Ring's life
	odd     atomic.Bool  // what is odd has been told
}

// New sets up a Ring; a nil Config means the defaults. It is an io_uring (io_uring_setup(2)) where that can be had, and
// threads elsewhere: see Backend. The error names the cause: the limit on locked memory (ENOMEM), an option that this kernel
// doesn't have, or that needs io_uring; with IOUring also the sysctl or seccomp filter that forbids it (EPERM), an old kernel
// (ENOSYS), or another system than Linux (errors.ErrUnsupported). What it takes is given back by Close, and by nothing else.
func New(cfg *Config) (*Ring, error) { return newOn(cfg, kernelOfTests) }

// newOn is New on a kernel that may not be Linux.
func newOn(cfg *Config, on hook.Kernel) (*Ring, error) {
	kc, err := cfg.kernel()
	if err != nil {
		return nil, err
	}
	kc.Kernel, kc.Manual = on.Make, on.Manual
	r := &Ring{
		born: time.Now(), fresh: make(chan chan struct{}, 4), stop: make(chan struct{}),
		hands:       byHand{idle: make(chan struct{}, 1)},
		reads:       byHand{idle: make(chan struct{}, 1)},
		wakeSweeper: make(chan struct{}, 1), sweeperGone: make(chan struct{}), reaperGone: make(chan struct{}),
	}
	if on.Make == nil {
		err = r.open(cfg, &kc)
	} else {
		r.backend, r.because = IOUring, "a simulated one"
		r.k, err = uring.Open(kc)
	}
	if err != nil {
		return nil, err
	}
	if cfg != nil && cfg.Profile != nil {
		r.profile = &profile{w: cfg.Profile}
	}
	r.procs.Store(int32(runtime.GOMAXPROCS(0)))
	r.lane.init(r, r.k)
	r.side.init(kc, r.backend)
	r.tickets.init(r.k.CQ.Entries())
	r.logTo(cfg)
	if kc.Manual {
		close(r.sweeperGone) // it sleeps never, so nobody wakes it
	} else {
		go r.sweeper()
	}
	go r.reaper()
	go r.mint()
	if uring.Race {
		r.seens = make(chan chan verdict, 4)
		go r.mintSeen()
	}
	if spreadLanes > 0 && r.side.most > 0 {
		r.widen(spreadLanes)
	}
	return r, nil
}

// SubmitAll hands everything that was started so far to the kernel, and returns when it has it; with SQPoll, when its
// thread has been told. It is never needed: waiting submits, and so does a millisecond or two.
func (r *Ring) SubmitAll() error {
	if err := r.made("SubmitAll"); err != nil {
		return err
	}
	for l := range r.lanes() {
		for l.flush(); l.putsOff(); l.flush() {
			l.reap()
		}
		if l.use() {
			l.unuse(l.submit(l.k.SQ.Tail()))
		}
		l.reap()
	}
	r.sq.mu.Lock()
	defer r.sq.mu.Unlock()
	return r.refuse()
}
