package rio

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// A Ring is an io_uring. Any number of goroutines may use it. Start as many as you like, but one is mostly enough: the
// goroutines of a Ring help each other.
type Ring struct {
	k *uring.Ring

	sq        submission
	cq        completions
	tickets   tickets
	spare     spare
	table     []entry // written under both locks, its entries under either
	link      link
	profile   *profile
	born      time.Time
	returned  atomic.Pointer[op] // ops whose results have been taken
	doneMu    sync.Mutex
	orphans   orphans
	broke     atomic.Pointer[error]
	fresh     chan chan struct{}
	seens     chan chan verdict // under the race detector
	closeOnce sync.Once
	closeErr  error

	flushed  atomic.Uint32 // up to where somebody has undertaken to submit
	heldBack atomic.Bool   // something is not published yet
	crowded  atomic.Bool   // because it found no room
	todo     atomic.Bool   // follow has something to do

	leader     atomic.Bool
	parked     atomic.Int32
	watchers   atomic.Int32 // who relies on the notification: the parked, Done, a sleeping sweeper
	armed      atomic.Bool
	cancelling atomic.Int32 // operations that a cancel was asked for and that have not ended

	calls     atomic.Uint64 // enters<<callShift | goroutines that use the kernel's ring
	gone      atomic.Bool
	edge      atomic.Uint32 // for the race detector: from publish to drain
	ordered   byte          // likewise: from every witness to whoever waits for an ordered operation
	overflows atomic.Uint64

	asleep      atomic.Bool // the sweeper
	wakeSweeper chan struct{}
	stop        chan struct{}
	sweeperGone chan struct{}
	reaperGone  chan struct{}
}

// submission is the SQ's side. Its lock is held for a few hundred nanoseconds, and never in a system call.
type submission struct {
	mu      sync.Mutex
	refusal error    // why nothing can be started any more
	follow  bool     // the last operation was started with Link
	free    *op      // ops to be used again
	backlog []train  // what found no room in the SQ
	files   []uint32 // free places in the table of registered files
	epoch   *epoch   // the current one
	started uint64
	written uint64 // SQEs
	quiet   uint64 // those without a Completion
}

// completions is the CQ's side. Who holds its lock takes no other.
type completions struct {
	mu        sync.Mutex
	gone      bool // unmapped
	epochs    []*epoch
	work      work
	completed uint64
	quiet     uint64
	turn      chan struct{} // of the witness before the next one; see race.go
	idle      *op           // Close waits: resolves when nothing is in flight
}

// New sets up a Ring (io_uring_setup(2)); a nil Config means the defaults. The error names the cause: the sysctl or
// seccomp filter that forbids it (EPERM), an old kernel (ENOSYS), the limit on locked memory (ENOMEM), an option that
// this kernel doesn't have. On other systems than Linux it is errors.ErrUnsupported.
func New(cfg *Config) (*Ring, error) {
	kc, err := cfg.kernel()
	if err != nil {
		return nil, err
	}
	k, err := uring.Open(kc)
	if err != nil {
		return nil, err
	}
	n := k.CQ.Entries()
	e := &epoch{}
	r := &Ring{
		k: k, born: time.Now(), table: make([]entry, n),
		fresh: make(chan chan struct{}, 4), stop: make(chan struct{}), wakeSweeper: make(chan struct{}, 1),
		sweeperGone: make(chan struct{}), reaperGone: make(chan struct{}),
		sq: submission{epoch: e}, cq: completions{epochs: []*epoch{e}},
	}
	if cfg != nil && cfg.Profile != nil {
		r.profile = &profile{w: cfg.Profile}
	}
	r.tickets.init(n)
	for i := k.Files - 1; i >= 0; i-- {
		r.sq.files = append(r.sq.files, uint32(i))
	}
	r.flushed.Store(k.SQ.Tail())
	go r.sweeper()
	go r.reaper()
	go r.mint()
	if uring.Race {
		r.seens = make(chan chan verdict, 4)
		go r.mintSeen()
	}
	return r, nil
}

// SubmitAll hands everything that was started so far to the kernel, and returns when it has it; with SQPoll, when its
// thread has been told. It is never needed: waiting submits, and so does a millisecond.
func (r *Ring) SubmitAll() error {
	if err := r.made("SubmitAll"); err != nil {
		return err
	}
	r.flush()
	if r.use() {
		r.unuse(r.submit(r.k.SQ.Tail()))
	}
	r.reap()
	r.sq.mu.Lock()
	defer r.sq.mu.Unlock()
	return r.refuse()
}

// callShift is where in Ring.calls the enters begin.
const callShift = 24

// use begins something that needs the kernel's ring, and keeps Close from unmapping it meanwhile.
func (r *Ring) use() bool {
	r.calls.Add(1)
	if !r.gone.Load() {
		return true
	}
	r.unuse(0)
	return false
}

// unuse ends it, after so many enters.
func (r *Ring) unuse(enters int) { r.calls.Add(uint64(enters)<<callShift - 1) }
