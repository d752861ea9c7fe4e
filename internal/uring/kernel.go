package uring

import (
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A Kernel stands in for Linux: it serves a Ring whose queues lie in ordinary memory. Its methods are for any goroutine, and
// keep io_uring_enter(2)'s and io_uring_register(2)'s contracts.
type Kernel interface {
	// Enter takes up to submit SQEs. With EnterGetEvents it then sees to CQEs that had no place; with wait it waits until
	// that many CQEs are there to be read, at most limit long (ETIME).
	Enter(submit, wait, flags uint32, limit time.Duration) (int, syscall.Errno)
	SetFile(place uint32, fd int) error
	Close() error
}

// A Lender is a Kernel that wants to have the files themselves that are put into its table, rather than descriptors: it has
// no way of its own to keep a descriptor's number from being used again.
type Lender interface {
	Kernel
	// Lend puts f into a place of the table, and keeps it open until SetFile empties that.
	Lend(place uint32, f syscall.Conn) error
	// Look says what has to be known of f before anything is begun on it; ok is false if its descriptor can be asked.
	Look(f syscall.Conn) (bounded, socket, ok bool)
	// Domain is the address family of the socket f (SO_DOMAIN).
	Domain(f syscall.Conn) (int, error)
}

// Queues are a Ring's queues as its Kernel sees them. A Kernel serialises its calls.
type Queues struct {
	r *Ring
	// what would be mapped
	sqHead, sqTail, sqFlags uint32
	cqHead, cqTail, cqFlags uint32
	cqOverflow              uint32
	chain                   []Taken // what Chain has returned, its memory used again
}

// A Taken is a request that was taken from the queue.
type Taken struct {
	Request
	Data uint64 // its user_data
}

// openOn makes a ring in ordinary memory. Its indices begin shortly before the place where they wrap.
func openOn(c Config) *Ring {
	const start = 1<<32 - 61
	q := &Queues{sqHead: start, sqTail: start, cqHead: start, cqTail: start}
	r := &Ring{
		SQ: SQ{
			head: &q.sqHead, tail: &q.sqTail, flags: &q.sqFlags, mask: c.Entries - 1, local: start, seen: start,
			sqes: make([]SQE, c.Entries),
		},
		CQ: CQ{
			head: &q.cqHead, tail: &q.cqTail, flags: &q.cqFlags, mask: c.CQEntries - 1, local: start, overflow: &q.cqOverflow,
			cqes: make([]CQE, c.CQEntries),
		},
		Event: c.Event, shares: c.Event != nil, Flags: c.Flags | SetupSubmitAll, Files: c.Files, wait: span{d: c.Wait}, longWait: span{d: c.LongWait}, fd: -1,
	}
	if !r.shares {
		r.Event = NewBell()
	}
	q.r = r
	r.CQ.Notify(false)
	r.kernel = c.Kernel(q)
	return r
}

func (r *Ring) closeOn() error {
	if !r.shares {
		r.Event.Close()
	}
	return r.kernel.Close()
}

// Take takes the next published SQE, if there is one.
func (q *Queues) Take() (req Request, userData uint64, ok bool) {
	if q.sqHead == atomic.LoadUint32(&q.sqTail) {
		return req, 0, false
	}
	req, userData = q.r.SQ.sqes[q.sqHead&q.r.SQ.mask].Request()
	atomic.StoreUint32(&q.sqHead, q.sqHead+1)
	return req, userData, true
}

// Chain takes the next published SQE and what is linked behind it, at most limit. A chain ends where the submission does. The
// slice is good until the next call.
func (q *Queues) Chain(limit uint32) []Taken {
	q.chain = q.chain[:0]
	for uint32(len(q.chain)) < limit {
		req, data, ok := q.Take()
		if !ok {
			break
		}
		q.chain = append(q.chain, Taken{req, data})
		if req.Flags&SQELink == 0 {
			break
		}
	}
	return q.chain
}

// Forever is a limit for Enter that is none.
const Forever time.Duration = 1<<63 - 1

// Published is how many SQEs there are to be taken. A Kernel takes no more in one enter than there were at its beginning: of
// what is published meanwhile that might be half a chain.
func (q *Queues) Published() uint32 { return atomic.LoadUint32(&q.sqTail) - q.sqHead }

// Unread is how many CQEs are there that nobody has read.
func (q *Queues) Unread() uint32 { return q.cqTail - atomic.LoadUint32(&q.cqHead) }

// Entries is the CQ's size.
func (q *Queues) Entries() uint32 { return q.r.CQ.mask + 1 }

// Post writes a CQE, for which there is room, and rings the bell if that is switched on.
func (q *Queues) Post(c CQE) {
	if q.Unread() == q.Entries() {
		panic("uring: a Kernel posts to a completion queue that is full")
	}
	q.r.CQ.cqes[q.cqTail&q.r.CQ.mask] = c
	atomic.StoreUint32(&q.cqTail, q.cqTail+1)
	if q.Notified() {
		if b, ok := q.r.Event.(*Bell); ok {
			b.Ring()
		}
	}
}

// Notified reports whether somebody relies on the bell.
func (q *Queues) Notified() bool { return atomic.LoadUint32(&q.cqFlags)&cqEventfdDisabled == 0 }

// Overflown says whether there are CQEs that had no place (IORING_SQ_CQ_OVERFLOW).
func (q *Queues) Overflown(yes bool) {
	v := uint32(0)
	if yes {
		v = sqCQOverflow
	}
	atomic.StoreUint32(&q.sqFlags, v)
}

// Lose says that a CQE was dropped, for want of memory.
func (q *Queues) Lose() { atomic.AddUint32(&q.cqOverflow, 1) }

// Breaks reports whether res, which q has ended with, ends the chain. A failed sync or fallocate does not, though the man
// pages say so.
func (q *Request) Breaks(res int32) bool {
	switch q.Op {
	case OpFsync, OpSyncFileRange, OpFallocate:
		return false
	case OpRead, OpWrite:
		return res < 0 || uint32(res) != q.Len
	case OpReadv, OpWritev:
		want := 0
		for _, b := range q.Addr.Buffers(int(q.Len)) {
			want += len(b)
		}
		return int(res) != want
	case OpSend, OpRecv:
		return res < 0 || q.OpFlags&MsgWaitAll != 0 && uint32(res) != q.Len
	}
	return res < 0
}

// A Bell is an eventfd in ordinary memory: a Read returns once it was rung since the last one.
type Bell struct {
	rung chan struct{}
	gone chan struct{}
	once sync.Once
}

var _ io.ReadCloser = (*Bell)(nil)

// NewBell makes one.
func NewBell() *Bell { return &Bell{rung: make(chan struct{}, 1), gone: make(chan struct{})} }

// Ring makes a Read return, this one or the next.
func (b *Bell) Ring() {
	select {
	case b.rung <- struct{}{}:
	default:
	}
}

// Read waits for the bell.
func (b *Bell) Read(p []byte) (int, error) {
	select {
	case <-b.rung:
		return len(p), nil
	case <-b.gone:
		return 0, os.ErrClosed
	}
}

// Close ends all Reads.
func (b *Bell) Close() error {
	b.once.Do(func() { close(b.gone) })
	return nil
}
