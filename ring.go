package rio

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
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
	closed  bool
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
	return r, nil
}

// SubmitAll hands everything that was started so far to the kernel, and returns when it has it. It is never needed:
// waiting submits, and so does a millisecond.
func (r *Ring) SubmitAll() error {
	if r == nil {
		return invalid("SubmitAll", "nil Ring")
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

// Stats are a Ring's figures: places in use, and totals since New.
type Stats struct {
	InFlight  int    // operations started whose completion has not been read
	Capacity  int    // how many that may be
	Started   uint64 // operations
	Completed uint64 // operations
	Enters    uint64 // io_uring_enter system calls
	Submitted uint64 // SQEs the kernel took in them; not those an SQPOLL thread took
	Waits     uint64 // how often somebody had to wait for a place
	Overflows uint64 // how often the kernel had to keep completions back
}

// Stats returns the Ring's figures. What a Conn or Listener waits for by itself counts in Started and Completed only.
func (r *Ring) Stats() Stats {
	if r == nil {
		return Stats{}
	}
	r.lock()
	defer r.unlock()
	written := r.sq.written
	if !r.cq.gone {
		written -= uint64(r.k.SQ.Pending())
	}
	return Stats{
		InFlight: int(r.sq.started - r.cq.completed), Capacity: len(r.tickets.places),
		Started: r.sq.started + r.sq.quiet, Completed: r.cq.completed + r.cq.quiet,
		Enters: r.calls.Load() >> callShift, Submitted: written, Waits: r.tickets.waits, Overflows: r.overflows.Load(),
	}
}

// inFlight counts all that is in flight, with or without a Completion.
func (r *Ring) inFlight() uint64 {
	r.lock()
	defer r.unlock()
	return r.inFlightLocked()
}

func (r *Ring) inFlightLocked() uint64 {
	return r.sq.started + r.sq.quiet - r.cq.completed - r.cq.quiet
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

// broken returns what broke the ring, if anything has.
func (r *Ring) broken() error {
	if p := r.broke.Load(); p != nil {
		return *p
	}
	return nil
}

// fail breaks the ring: the kernel refuses to take what was published, and there is no way back. Every operation
// resolves with the error once; what the kernel may have of them stays pinned, for good.
func (r *Ring) fail(errno syscall.Errno) {
	err := os.NewSyscallError("io_uring_enter", errno)
	if !r.broke.CompareAndSwap(nil, &err) {
		return
	}
	r.lock()
	for i := range r.table {
		o := r.table[i].op
		if o == nil || o.fate&fateLost != 0 || o.state.Load()&isHanded != 0 {
			continue
		}
		o.fate |= fateLost
		if o.h != nil {
			o.h.put()
		}
		if o.state.Load()&isCancelled != 0 {
			r.cancelling.Add(-1)
		}
		r.tell(o, -int32(errno))
	}
	for r.tickets.first != nil {
		r.dismiss(errCanceled)
	}
	if r.cq.idle != nil {
		r.cq.idle.resolve(0)
		r.cq.idle = nil
	}
	r.unlock()
	r.follow()
}

// wrecks are closed Rings that broke with something in flight: the kernel may have some of it, so their memory stays.
var wrecks struct {
	mu    sync.Mutex
	rings []*Ring
}

// Close stops admission, submits what is queued, lets operations on regular files finish and cancels those that may wait
// for ever (they resolve with ErrClosed). It returns when the kernel has let go of every buffer and the ring's memory
// is unmapped. It may be called again. Descriptors that the Ring has opened stay open until their own Close.
func (r *Ring) Close() error {
	if r == nil {
		return invalid("Close", "nil Ring")
	}
	r.closeOnce.Do(func() { r.closeErr = r.shut() })
	return r.closeErr
}

func (r *Ring) shut() error {
	r.lock()
	r.sq.closed = true
	for r.tickets.first != nil {
		r.dismiss(errCanceled)
	}
	var idle *op
	if r.inFlightLocked() > 0 && r.broken() == nil {
		idle = &op{ring: r, bits: bitWaiter}
		idle.claim(0)
		r.cq.idle = idle
	}
	r.unlock()
	r.flush()
	r.cancelWhere(isRingClosed, func(o *op) bool { return o.bits&bitBounded == 0 })
	if idle != nil {
		r.await(idle, nil)
	}
	if r.broken() == nil {
		r.orphans.closeAll()
	}
	close(r.stop)
	<-r.sweeperGone
	r.k.Event.Close()
	<-r.reaperGone
	r.gone.Store(true)
	for r.calls.Load()&(1<<callShift-1) != 0 {
		runtime.Gosched()
	}
	r.follow()
	r.cq.mu.Lock()
	r.cq.gone = true
	r.cq.mu.Unlock()
	if r.profile != nil {
		r.profile.write(r)
	}
	if r.broken() != nil && r.inFlight() > 0 {
		wrecks.mu.Lock()
		wrecks.rings = append(wrecks.rings, r)
		wrecks.mu.Unlock()
		return r.broken()
	}
	return r.k.Close()
}
