package uring

import "sync/atomic"

// An SQ is the submission queue: index arithmetic over memory that the kernel shares.
//
// Indices run freely through all of uint32 and wrap; only differences mean anything. local is where the next SQE is
// claimed; *tail is what the kernel may see of it; the kernel moves *head once it has copied an SQE, so that
//
//	head <= tail <= local <= head + entries   (as differences)
//
// Callers serialise Room, Has, Claim, TryClaim, Claimed and Publish. The rest is for anybody.
type SQ struct {
	head, tail, flags *uint32
	mask              uint32
	local             uint32
	seen              uint32 // head, when it was last looked at
	sqes              []SQE
}

// Entries is the queue's size.
func (q *SQ) Entries() uint32 { return q.mask + 1 }

// Room is how many SQEs may be claimed now.
func (q *SQ) Room() uint32 {
	q.seen = atomic.LoadUint32(q.head)
	return q.mask + 1 - (q.local - q.seen)
}

// Has reports whether n SQEs may be claimed now. It looks at the kernel's head only if it must.
func (q *SQ) Has(n uint32) bool { return q.mask+1-(q.local-q.seen) >= n || q.Room() >= n }

// Claim returns the next SQE. There must be room.
func (q *SQ) Claim() *SQE {
	s := q.TryClaim()
	if s == nil {
		panic("uring: an SQE was claimed from a full submission queue")
	}
	return s
}

// TryClaim is Claim, or nil if there is no room.
func (q *SQ) TryClaim() *SQE {
	if !q.Has(1) {
		return nil
	}
	s := &q.sqes[q.local&q.mask]
	q.local++
	return s
}

// Claimed is up to where SQEs are claimed. It does not look at the kernel's memory, which may be gone when who has published
// the last one asks.
func (q *SQ) Claimed() uint32 { return q.local }

// Publish hands everything claimed to the kernel. A published SQE is the kernel's: only its CQE ends it. Callers unlock what
// serialises them before they look whether anybody waits for that: see publish.
func (q *SQ) Publish() { publish(q.tail, q.local) }

// Tail is up to where SQEs are published.
func (q *SQ) Tail() uint32 { return atomic.LoadUint32(q.tail) }

// Passed reports whether the kernel has taken everything up to tail.
func (q *SQ) Passed(tail uint32) bool { return int32(atomic.LoadUint32(q.head)-tail) >= 0 }

// Left is how many of those up to tail the kernel has not taken.
func (q *SQ) Left(tail uint32) uint32 { return tail - atomic.LoadUint32(q.head) }

// Pending is how many published SQEs the kernel has not taken.
func (q *SQ) Pending() uint32 { return atomic.LoadUint32(q.tail) - atomic.LoadUint32(q.head) }

// NeedWakeup reports whether the SQPOLL thread sleeps (IORING_SQ_NEED_WAKEUP). The flag must be read after a full
// barrier behind the tail's store: Publish, an unlock, and this load are enough.
func (q *SQ) NeedWakeup() bool { return atomic.LoadUint32(q.flags)&sqNeedWakeup != 0 }

// Overflown reports whether the kernel keeps CQEs that had no place (IORING_SQ_CQ_OVERFLOW): an enter for events
// makes it write them.
func (q *SQ) Overflown() bool { return atomic.LoadUint32(q.flags)&sqCQOverflow != 0 }

// TaskWork reports whether completions wait for the thread that began them to enter the kernel (IORING_SQ_TASKRUN), of a ring
// with IORING_SETUP_TASKRUN_FLAG.
func (q *SQ) TaskWork() bool { return atomic.LoadUint32(q.flags)&sqTaskrun != 0 }

// A CQ is the completion queue. Callers serialise Ready, Next and Done.
//
//	head <= tail <= head + entries   (as differences)
type CQ struct {
	head, tail, flags *uint32
	overflow          *uint32
	mask              uint32
	local             uint32
	cqes              []CQE
}

// Entries is the queue's size.
func (q *CQ) Entries() uint32 { return q.mask + 1 }

// Ready is how many CQEs are there to be read.
func (q *CQ) Ready() uint32 { return atomic.LoadUint32(q.tail) - q.local }

// Next reads the next CQE; Ready said that there is one.
func (q *CQ) Next() CQE {
	c := q.cqes[q.local&q.mask]
	q.local++
	return c
}

// Done gives what Next has read back to the kernel.
func (q *CQ) Done() { atomic.StoreUint32(q.head, q.local) }

// Lost is how many CQEs the kernel had to drop: there was no place for them, and no memory to keep them in.
func (q *CQ) Lost() uint32 { return atomic.LoadUint32(q.overflow) }

// Head is up to where CQEs were given back.
func (q *CQ) Head() uint32 { return atomic.LoadUint32(q.head) }

// Notify switches the registered eventfd on or off (IORING_CQ_EVENTFD_DISABLED).
func (q *CQ) Notify(on bool) {
	v := cqEventfdDisabled
	if on {
		v = 0
	}
	if atomic.LoadUint32(q.flags) != v {
		atomic.StoreUint32(q.flags, v)
	}
}
