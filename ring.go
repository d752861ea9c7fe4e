package rio

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-9c58b644/rio/internal/hook"
	"github.com/seed-9c58b644/rio/internal/uring"
)

// A Ring is an io_uring. Any number of goroutines may use it. Start as many as you like, but one is mostly enough: the
// goroutines of a Ring help each other.
type Ring struct {
	lane // the first one
	side sideLanes

	backend Backend
	because string

	tickets   tickets
	profile   *profile
	log       *slog.Logger
	born      time.Time
	doneMu    sync.Mutex
	orphans   orphans
	services  services // Listener.Serve
	broke     atomic.Pointer[error]
	closing   atomic.Bool
	following atomic.Bool // sq.follow, to be seen from the side lanes
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
}

// New sets up a Ring (io_uring_setup(2)); a nil Config means the defaults. The error names the cause: the sysctl or
// seccomp filter that forbids it (EPERM), an old kernel (ENOSYS), the limit on locked memory (ENOMEM), an option that
// this kernel doesn't have. On other systems than Linux it is errors.ErrUnsupported.
func New(cfg *Config) (*Ring, error) { return newOn(cfg, kernelOfTests) }

// newOn is New on a kernel that may not be Linux.
func newOn(cfg *Config, on hook.Kernel) (*Ring, error) {
	kc, err := cfg.kernel()
	if err != nil {
		return nil, err
	}
	backend, by, err := cfg.choose()
	if err != nil {
		return nil, err
	}
	if backend == Threads {
		return nil, fmt.Errorf("rio: New: %s asks for threads: %w", by, errors.ErrUnsupported)
	}
	if by == "" {
		by = "io_uring can be had"
	}
	kc.Kernel, kc.Manual = on.Make, on.Manual
	k, err := uring.Open(kc)
	if err != nil {
		return nil, err
	}
	r := &Ring{
		backend: IOUring, because: by,
		born: time.Now(), fresh: make(chan chan struct{}, 4), stop: make(chan struct{}),
		wakeSweeper: make(chan struct{}, 1), sweeperGone: make(chan struct{}), reaperGone: make(chan struct{}),
	}
	if cfg != nil && cfg.Profile != nil {
		r.profile = &profile{w: cfg.Profile}
	}
	r.procs.Store(int32(runtime.GOMAXPROCS(0)))
	r.lane.init(r, k)
	r.side.init(kc)
	r.tickets.init(k.CQ.Entries())
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
// thread has been told. It is never needed: waiting submits, and so does a millisecond.
func (r *Ring) SubmitAll() error {
	if err := r.made("SubmitAll"); err != nil {
		return err
	}
	for l := range r.lanes() {
		l.flush()
		if l.use() {
			l.unuse(l.submit(l.k.SQ.Tail()))
		}
		l.reap()
	}
	r.sq.mu.Lock()
	defer r.sq.mu.Unlock()
	return r.refuse()
}
