package rio

import (
	"sync"
	"sync/atomic"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// A lane is one kernel ring and all that goes with it: its queues, its table, who waits on it. A Ring has one, and gets
// more when goroutines on several Ps want to submit at once, because a kernel ring is one lock in the kernel.
//
// The first lane carries everything. The others, the side lanes, carry only what needs no more than a place in a queue:
// NOPs, reads and writes that end by themselves, on handles of the Ring's own, without an Ordering. Tickets are the Ring's.
type lane struct {
	ring    *Ring
	k       *uring.Ring
	profile *profile // the Ring's
	noted   bool     // enters are counted by it, or are no plain ones: see uring.Ring.Plain

	_           apart
	sq          submission
	cq          completions
	places      places
	spare       spare
	table       []entry // written under both locks, its entries under either
	recancelled int     // where recancel goes on; under both
	link        link
	returned    atomic.Pointer[op] // loose ops whose results have been taken

	flushed   atomic.Uint32 // up to where somebody has undertaken to submit
	slowUntil atomic.Uint32 // see brief
	served    atomic.Uint64 // cq.direct, for who hasn't got its lock
	fed       uint64        // the leader's: sq.direct, when it last let others run
	heldBack  atomic.Bool   // something is not published yet
	crowded   atomic.Bool   // because it found no room
	todo      atomic.Bool   // follow has something to do

	leaders    atomic.Int32 // 1 while there is one, who sees to all: he waits in the kernel, or stands in line
	yielding   atomic.Bool  // the leader lets others run, and submits what they leave
	parked     atomic.Int32
	watchers   atomic.Int32 // who relies on the notification: the parked, Done, a sleeping sweeper
	armed      atomic.Bool
	cancelling atomic.Int32 // operations that a cancel was asked for and that have not ended

	calls     atomic.Uint64 // enters<<callShift | aloneBit | goroutines that use the kernel's ring
	gone      atomic.Bool
	edge      atomic.Uint32 // for the race detector: from publish to drain
	overflows atomic.Uint64
	onBrief   func()        // of tests: see briefly
	onFeed    func(int) int // of tests: see feed

	scheduler scheduler
	relay     relay
	swept     swept // the sweeper's
	_         apart
}

// apart is between what one P writes and what others read: in one cache line each would wait for the other.
type apart [64]byte

// submission is the SQ's side. Its lock is held for a few hundred nanoseconds, and never in a system call.
type submission struct {
	mu      sync.Mutex
	refusal error    // why nothing can be started any more
	follow  bool     // the last operation was started with Link
	pool    opPool   // ops to be used again
	tickets uint32   // at hand; see tickets
	backlog []train  // what found no room in the SQ
	later   later    // what is not to be submitted all at once
	files   []uint32 // free places in the table of registered files
	epoch   *epoch   // the current one
	started uint64
	direct  uint64 // those on devices
	loose   uint64 // those that end by themselves, and neither follow others nor are followed
	written uint64 // SQEs
	quiet   uint64 // those without a Completion
	instant uint64 // operations that ended without the ring
}

// completions is the CQ's side. Who holds its lock takes no other lane's, nor sq.mu: only leaves, the relay's, the orphans', pprof's,
// and under the race detector the witnesses', with a channel that somebody has ready who needs no lock.
type completions struct {
	mu        sync.Mutex
	gone      bool // unmapped
	epochs    []*epoch
	work      work
	freed     uint32 // tickets that came back and have not been given back yet
	completed uint64
	direct    uint64 // those on devices
	quiet     uint64
	idle      *op // Close waits: resolves when nothing is in flight
}

func (l *lane) init(r *Ring, k *uring.Ring) {
	e := &epoch{}
	l.ring, l.k, l.profile = r, k, r.profile
	l.noted = l.profile != nil || !k.Plain()
	l.table = make([]entry, k.CQ.Entries())
	l.places.init(k.CQ.Entries())
	l.sq.epoch, l.cq.epochs = e, []*epoch{e}
	for i := k.Files - 1; i >= 0; i-- {
		l.sq.files = append(l.sq.files, uint32(i))
	}
	l.flushed.Store(k.SQ.Tail())
	l.slowUntil.Store(k.SQ.Tail())
	l.relay.procs, l.relay.long = &r.procs, longLine
	l.swept.note(l)
}

// callShift is where in lane.calls the enters begin.
const callShift = 24

// aloneBit is the one of lane.calls that says that the one who uses the kernel's ring wants nobody else to: see brief.go. Below it
// is how many do.
const aloneBit = 1 << (callShift - 1)

// use begins something that needs the kernel's ring, and keeps Close from unmapping it meanwhile.
func (l *lane) use() bool {
	if l.calls.Add(1)&aloneBit != 0 {
		l.afterYou()
	}
	if !l.gone.Load() {
		return true
	}
	l.unuse(0)
	return false
}

// unuse ends it, after so many enters.
func (l *lane) unuse(enters int) { l.calls.Add(uint64(enters)<<callShift - 1) }

// users is how many use the kernel's ring.
func (l *lane) users() int { return int(l.calls.Load() & (aloneBit - 1)) }

// cqUnlock shows the tickets that came back to those who take them, and unlocks cq.mu.
func (l *lane) cqUnlock() {
	if n := l.cq.freed; n > 0 {
		l.cq.freed = 0
		if l.cq.direct != l.served.Load() {
			l.served.Store(l.cq.direct)
		}
		l.ring.tickets.put(n)
	}
	w := &l.cq.work
	if len(w.again)+len(w.ready)+len(w.handed)+len(w.lent)+len(w.gates) > 0 || w.kick || w.lost || w.gaveUp {
		l.todo.Store(true)
	}
	l.cq.mu.Unlock()
}

// lock takes both locks, in their order: whoever reads the CQ holds cq.mu and never takes sq.mu.
func (l *lane) lock() {
	l.sq.mu.Lock()
	l.cq.mu.Lock()
}

func (l *lane) unlock() {
	l.cqUnlock()
	l.sq.mu.Unlock()
}
