package rio

import (
	"sync/atomic"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// An op is one operation, from the call that starts it to the Wait that takes its result.
//
//	free ──start──▶ pending ──CQE──▶ done ──take──▶ free
//
// While it is pending the ring's table holds it, and with it everything that the kernel may touch: the pinned buffer (the
// Ring has those of Buffers), the side structures, the handle. Nobody but the CQE ends that. Its generation counts how
// often it was used; a Completion remembers the one it was given, so that it can never see another operation's result.
// After the last one it is not used again.
type op struct {
	state atomic.Uint64 // generation<<genShift | what a plain result is<<resShift | phase bits
	lane  *lane
	born  uint32 // the generation it was last started in: one that is in the next, and held by nobody, is free. Under sq.mu.
	held  uint16 // its buffer is registered memory, in the place before this one of the kernel's table; 0: it is not
	x     *extra
	h     *handle
	pins  uring.Pins

	// Under cq.mu once it has its place in the order; who ties it to others holds both locks: see order.go. Before that and after
	// its end they belong to who has it: under sq.mu, but for giveUp, whose op is nobody else's.
	next  *op    // the next one in its group, on a free list, or in the queue for tickets
	then  *group // what begins when this one has succeeded
	epoch *epoch

	addr  uring.Addr
	off   uint64
	data  uint64       // user_data: see userData
	seen  chan verdict // under the race detector: the result's way to the witness
	res   int32
	fd    int32
	n     uint32 // sqe.len
	opf   uring.OpFlags
	kind  kind
	bits  marks
	fate  marks // as bits, but written where the CQE is read, too
	tries uint8 // how often it was started again
	ends  bool  // it is on a regular file or a disk, and ends by itself; unlike bits never written again
	dozes bool  // a timeout is in flight, in its place; written where the CQE is read
	naps  uint8 // how often that was, or 10

	// What follows is seldom touched.
	in    *group        // the group it is held back in; as next
	wake  chan struct{} // a parked waiter sleeps here; made when first needed, then kept
	done  chan struct{} // what Done returned, if hasDone is set
	began int64         // for Profile: nanoseconds
	edge  byte          // the race detector knows the witness by its address
}

// Phase bits of op.state.
const (
	isClaimed    uint64 = 1 << iota // a Wait owns the result
	isParked                        // somebody sleeps on wake
	hasDone                         // done is to be closed
	isCancelled                     // a cancel has been asked for
	isRingClosed                    // by Ring.Close
	isFileClosed                    // by the handle's Close
	isHanded                        // the CQE has been read; its lent file is still to be taken back, or its witness to speak
	isDone
	isPlain  // the state says all that there is to know of the result
	isHeld   // it is of the next generation already, but who has taken the result still looks at it
	isLoose  // it is not among its lane's ops: who has taken the result gives it back
	resShift = iota
	genShift = resShift + 32

	phaseMask = 1<<resShift - 1
	lastGen   = 1<<(64-genShift) - 1
)

type marks uint8

// op.bits, set before the SQE is published.
const (
	bitQuiet   marks = 1 << iota // no Completion: no ticket, not counted by Drain
	bitFixed                     // fd is a place in the table of registered files
	bitLinked                    // next is IO_LINKed behind it
	bitShort                     // the buffer is longer than the kernel takes in one piece
	bitBounded                   // ends by itself
	bitWaiter                    // not an operation: waits for tickets or for the ring to be idle
	bitForeign                   // x.file is somebody else's
	bitTraced                    // it is in the profile rio.inflight
)

// op.fate, written where the op is prepared, and then under cq.mu.
const (
	fatePolling    marks = 1 << iota // its POLL_ADD is in flight, in its place
	fateBroken                       // the one before it in the kernel's chain has failed
	fateAbsorb                       // the one before it is started again: its ECANCELED doesn't count
	fateOrdered                      // it follows others: its end is theirs too
	fateLost                         // the ring broke while the kernel had it
	fateSocket                       // its handle is a socket's
	fateMisaligned                   // that is why it has failed
	fateLater                        // it is in sq.later
)

func (o *op) gen() uint64 { return o.state.Load() >> genShift }

// current reports whether the op is still in the generation gen, and its phase bits.
func (o *op) current(gen uint64) (phase uint64, ok bool) {
	s := o.state.Load()
	return s & phaseMask, s>>genShift == gen
}

func (o *op) isDone() bool { return o.state.Load()&isDone != 0 }

// claim takes the right to the result. Of several one gets it.
func (o *op) claim(gen uint64) bool {
	for {
		s := o.state.Load()
		if s>>genShift != gen || s&isClaimed != 0 {
			return false
		}
		if o.state.CompareAndSwap(s, s|isClaimed) {
			return true
		}
	}
}

// retire begins a new generation of o, which its caller has claimed and which is done: no Completion can see it any
// more. It returns how the old one stood. The caller recycles it.
func (o *op) retire() (phase uint64) {
	for {
		s := o.state.Load()
		if o.state.CompareAndSwap(s, (s>>genShift+1)<<genShift|s&isLoose|isHeld) {
			return s & phaseMask
		}
	}
}

// seize is claim and retire in one, if o is done already.
func (o *op) seize(gen uint64) (phase uint64, ok bool) {
	s := o.state.Load()
	if s>>genShift != gen || s&(isDone|isClaimed) != isDone {
		return 0, false
	}
	return s & phaseMask, o.state.CompareAndSwap(s, (gen+1)<<genShift|s&isLoose|isHeld)
}

// snatch is seize, take and recycle in one, if o's result is plain: as for most. Afterwards o is free.
func (o *op) snatch(gen uint64) (res int32, ok bool) {
	s := o.state.Load()
	if s>>genShift != gen || s&(isPlain|isClaimed|isLoose) != isPlain || !o.state.CompareAndSwap(s, (gen+1)<<genShift) {
		return 0, false
	}
	return int32(s >> resShift), true
}

// over reports whether the generation gen of o is done, or gone.
func (o *op) over(gen uint64) bool {
	s := o.state.Load()
	return s>>genShift != gen || s&isDone != 0
}

// resolvePlainly is resolve of what ends plainly, if nobody has said anything of it. It is short enough to become part of drain.
func (o *op) resolvePlainly(res int32) bool {
	o.res = res
	s := o.state.Load()
	return s&phaseMask == 0 && o.state.CompareAndSwap(s, s|isDone|isPlain|uint64(res)<<resShift)
}

// resolve publishes the result. After the state says done, o may be somebody else's: only a parked waiter, who
// sleeps until the send, keeps it.
func (o *op) resolve(res int32) {
	o.res = res
	end := isDone
	if res >= 0 && o.kind != kindAccept && !uring.Race {
		end |= isPlain | uint64(res)<<resShift
	}
	for {
		s := o.state.Load()
		var done chan struct{}
		if s&hasDone != 0 {
			done = o.done
		}
		if !o.state.CompareAndSwap(s, s|end) {
			continue
		}
		if s&isParked != 0 {
			o.lane.unpark()
			o.lane.relay.wake(o.wake)
		}
		if done != nil {
			o.lane.watchers.Add(-1)
			close(done)
		}
		return
	}
}
