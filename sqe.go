package rio

import (
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// A call is what the caller of an operation said.
type call struct {
	kind  kind
	quiet bool   // no Completion: see spare
	alone bool   // doesn't follow a Link
	plain bool   // at the file's own position (offset -1)
	mode  uint32 // fallocate's, poll's events, or waitAll
	file  any
	buf   []byte
	bufs  [][]byte
	off   int64
	n     int64
	peer  *peer
}

// A peer is where to connect to.
type peer struct {
	addr  netip.AddrPort
	scope uint32 // the index of the address's zone
	inet  int    // the socket's family
}

// begin starts the operation c: from here on the ring has it, until its CQE. It makes no system call for the ring's
// own handles; it blocks if there is no ticket.
func (r *Ring) begin(c *call, ord Ordering) (o *op, gen uint64, err error) {
	if r == nil {
		return nil, 0, invalid(kinds[c.kind].name, "nil Ring")
	}
	if err := c.check(ord); err != nil {
		return nil, 0, err
	}
	if ord&Link != 0 && (c.kind == kindSend || c.kind == kindRecv) {
		c.mode |= waitAll
	}
	h, foreign, err := r.target(c)
	if err != nil {
		return nil, 0, err
	}
	if foreign != nil {
		return r.beginForeign(c, foreign, ord)
	}
	return r.beginOn(h, c, ord)
}

// beginOn is begin for a handle of the ring's own, or for no file at all.
func (r *Ring) beginOn(h *handle, c *call, ord Ordering) (o *op, gen uint64, err error) {
	if h != nil && !h.get() {
		return nil, 0, os.NewSyscallError(kinds[c.kind].name, h.closedError())
	}
	if h != nil && h.socket {
		c.plain = true
	}
	if c.kind == kindConnect {
		err = c.socket(h.fd)
	}
	if err == nil {
		err = r.enroll(c)
	}
	if err != nil {
		h.put()
		return nil, 0, err
	}
	o = r.prepare(c, h)
	gen = o.gen()
	r.place(o, ord, c.quiet || c.alone)
	r.sq.mu.Unlock()
	r.started()
	return o, gen, nil
}

// place puts o among what was started before it. alone says that it is nobody's successor. Under sq.mu.
func (r *Ring) place(o *op, ord Ordering, alone bool) {
	r.join(o)
	if ord == None && (!r.sq.follow || alone) {
		r.send(train{first: o, last: o, n: 1})
	} else {
		r.order(o, ord)
	}
}

// join counts o among what a Drain waits for. That is done where it goes among the others, lest an operation that is still
// being prepared waits for one that waits for it.
func (r *Ring) join(o *op) {
	if o.bits&bitQuiet == 0 {
		o.epoch = r.sq.epoch
		o.epoch.started++
	}
}

// enroll returns with sq.mu held, and a ticket to be had, unless there is an error.
func (r *Ring) enroll(c *call) error {
	if !c.quiet {
		return r.admit(1, 0)
	}
	r.sq.mu.Lock()
	err := r.refuse()
	if err != nil {
		r.sq.mu.Unlock()
	}
	return err
}

// refuse says why nothing can be started any more. Under sq.mu.
func (r *Ring) refuse() error {
	if r.sq.closed {
		return ErrClosed
	}
	return r.broken()
}

// prepare writes c into an op and that into the table. Under sq.mu; there is a ticket.
func (r *Ring) prepare(c *call, h *handle) *op {
	o := r.newOp()
	o.kind, o.bits, o.fate, o.tries, o.h = c.kind, 0, 0, 0, h
	o.fd, o.addr, o.off, o.n, o.opf, o.epoch = -1, uring.Addr{}, 0, 0, 0, nil
	if h != nil {
		o.fd = int32(h.fd)
		if h.bounded {
			o.bits |= bitBounded
		}
	}
	o.fill(c)
	if c.quiet {
		o.bits |= bitQuiet
		r.cq.mu.Lock()
		o.place = r.placeQuiet()
		r.cqUnlock()
		r.sq.quiet++
	} else {
		o.place = r.tickets.take()
		r.sq.started++
	}
	e := &r.table[o.place]
	e.op = o
	e.gen++
	if r.profile != nil {
		o.began = int64(time.Since(r.born))
	}
	if uring.Race {
		raceStart(c.kind)
		o.startWitness(c)
	}
	return o
}

// fill pins what the kernel will touch and notes it in the SQE's terms.
func (o *op) fill(c *call) {
	switch c.kind {
	case kindNop, kindFsync, kindFdatasync:
		o.bits |= bitBounded
	case kindRead, kindWrite:
		o.transfer(c)
		o.off = c.offset()
	case kindSend, kindRecv:
		o.transfer(c)
		if o.n == 0 && c.kind == kindRecv {
			o.kind = kindRecvNone
		} else if c.mode&waitAll != 0 {
			o.opf = uring.MsgWaitAll
		}
	case kindReadv, kindWritev:
		x := o.extra()
		x.vec, o.addr = o.pins.Vector(x.vec, c.bufs)
		o.n, o.off, x.want = uint32(len(c.bufs)), c.offset(), 0
		for _, b := range c.bufs {
			x.want += len(b)
		}
		if x.want > maxTransfer {
			o.bits |= bitShort
		}
	case kindSyncRange:
		o.bits |= bitBounded
		o.off = uint64(c.off)
		if c.n <= 1<<32-1 {
			o.n = uint32(c.n) // a longer range: 0, to the end of the file
		}
	case kindFallocate:
		o.bits |= bitBounded
		o.off, o.addr, o.n = uint64(c.off), uring.Number(uint64(c.n)), c.mode
	case kindAccept:
		x := o.extra()
		x.conn = new(Conn)
		x.sa.Reset()
		var length uring.Addr
		o.addr, length = o.pins.Sockaddr(&x.sa)
		o.off = length.Uint64()
	case kindPoll:
		o.opf = uring.OpFlags(c.mode)
	case kindConnect:
		x := o.extra()
		x.sa.SetInet(c.peer.inet, c.peer.addr, c.peer.scope)
		o.addr, _ = o.pins.Sockaddr(&x.sa)
		o.off = uint64(x.sa.Len())
	}
}

// offset is sqe.off of a read or write. Of a socket the kernel takes none but its own (ESPIPE).
func (c *call) offset() uint64 {
	if c.plain {
		return ^uint64(0)
	}
	return uint64(c.off)
}

func (o *op) transfer(c *call) {
	o.addr, o.n = o.pins.Bytes(c.buf), uint32(min(len(c.buf), maxTransfer))
	if len(c.buf) > maxTransfer {
		o.bits |= bitShort
	}
}

// A train is a run of ops, linked by next, that goes to the kernel in one piece: each is IO_LINKed to the one before.
type train struct {
	first, last *op
	n           uint32
}

// send writes t's SQEs and publishes them, all at once: the kernel's own tail moves when the last one is written. What
// finds no room goes out with the next flush. Under sq.mu.
func (r *Ring) send(t train) {
	if len(r.sq.backlog) > 0 || !r.k.SQ.Has(t.n) {
		r.sq.backlog = append(r.sq.backlog, t)
		r.heldBack.Store(true)
		r.crowded.Store(true)
		return
	}
	r.write(t)
}

func (r *Ring) write(t train) {
	for o := t.first; o != nil; o = o.next {
		o.bits &^= bitLinked
		if o.next != nil {
			o.bits |= bitLinked
		}
		o.fillSQE(r.k.SQ.Claim(), r.userData(o))
	}
	r.publish(t.n)
}

// publish shows the kernel n more SQEs. Under sq.mu.
func (r *Ring) publish(n uint32) {
	if uring.Race {
		r.edge.Add(1)
	}
	r.sq.written += uint64(n)
	r.k.SQ.Publish()
}

// started is called after something was sent, without locks: the sweeper may have to be woken, room to be made.
func (r *Ring) started() {
	if r.asleep.Load() {
		r.nudge()
	}
	if r.crowded.Load() {
		r.flush()
	}
	r.follow()
}

// flush hands everything to the kernel that was started so far. What another flush is about to submit counts as
// submitted: it makes its system call before it does anything else.
func (r *Ring) flush() {
	if !r.use() {
		return
	}
	enters := 0
	for {
		crowd := r.heldBack.Load() && r.unhold()
		t := r.k.SQ.Tail()
		if t == r.flushed.Load() && !crowd || r.broken() != nil {
			break
		}
		r.flushed.Store(t)
		enters += r.submit(t)
		if !crowd {
			break
		}
	}
	r.unuse(enters)
}

// unhold publishes what is held back for a successor that has not come, and what found no room. It reports whether
// some of that still doesn't.
func (r *Ring) unhold() (crowd bool) {
	r.lock()
	defer r.unlock()
	r.heldBack.Store(false)
	if g := r.link.open; g != nil {
		r.link.open = nil
		r.release(g)
	}
	n := 0
	for _, t := range r.sq.backlog {
		if !r.k.SQ.Has(t.n) {
			break
		}
		r.write(t)
		n++
	}
	r.sq.backlog = append(r.sq.backlog[:0], r.sq.backlog[n:]...)
	crowd = len(r.sq.backlog) > 0
	r.crowded.Store(crowd)
	if crowd {
		r.heldBack.Store(true)
	}
	return crowd
}

// submit enters the kernel until it has taken everything up to tail, and returns how often. The caller uses the ring.
func (r *Ring) submit(tail uint32) (enters int) {
	if r.k.Flags&uring.SetupSQPoll != 0 {
		return r.wakeThread()
	}
	var p patience
	for !r.k.SQ.Passed(tail) {
		n, errno := r.k.Submit()
		enters++
		if r.profile != nil {
			r.profile.batches.note(n)
		}
		if (errno != 0 || n == 0) && !p.endure(r, errno) {
			break
		}
	}
	return enters
}

// wakeThread makes the SQPOLL thread look, and waits for room if that has run out.
func (r *Ring) wakeThread() (enters int) {
	if r.k.SQ.NeedWakeup() {
		r.k.Submit()
		enters++
	}
	for r.crowded.Load() && r.full() && r.broken() == nil {
		r.k.WaitRoom()
		enters++
	}
	return enters
}

func (r *Ring) full() bool {
	r.sq.mu.Lock()
	defer r.sq.mu.Unlock()
	return !r.k.SQ.Has(1)
}

// patience is how an enter that failed is dealt with.
type patience struct {
	tries int
	since time.Time
}

// endure says whether to try again, after making what room it can; if not, the ring is broken.
func (p *patience) endure(r *Ring, errno syscall.Errno) bool {
	switch errno {
	case syscall.EINTR: // a signal, perhaps Go's own for preemption
		return true
	case 0, syscall.EAGAIN, syscall.EBUSY: // no memory for requests just now; CQEs to be read first
	case syscall.ENOMEM, uring.EBADR: // EBADR: CQEs were lost for want of memory, the kernel says so once
		if p.since.IsZero() {
			p.since = time.Now()
		} else if time.Since(p.since) > time.Second/2 {
			r.fail(errno)
			return false
		}
	default:
		r.fail(errno)
		return false
	}
	r.reap()
	p.tries++
	if p.tries > 4 {
		time.Sleep(min(time.Duration(p.tries)*10*time.Microsecond, time.Millisecond))
	}
	return true
}
