package rio

import (
	"slices"
	"syscall"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// An inbox is where a multishot request leaves what it brings for a half: pieces of a stream, or connections. Loops take
// from it (Received, Conns), and so do Read and Accept, in the order in which it came. Nobody gets ahead of it, for
//
//   - a request is begun only by who has the half's turn, while no loop has a single one under way, and
//   - as long as one is armed, nobody asks the kernel in another way: who finds nothing waits here.
//
// What a shot brings takes no ticket. It may find the CQ full: then the kernel ends the request, and keeps that last CQE
// until there is room (IORING_FEAT_NODROP). So nothing is lost, and who wants more begins another request. Unread pieces
// are bounded by the provided buffers.
//
// All of it is under cq.mu of its lane, which is the Ring's first.
type inbox struct {
	lane    *lane
	kind    kind   // of the request
	shots   []shot // to be taken from head on
	head    int
	armed   bool   // a request is with the kernel, or on its way there
	req     *op    // that one, once it is known
	gen     uint64 // of req
	ended   uint64 // how many requests have
	loops   int    // that have begun and are not over
	singles int    // what they have in flight besides
	starved bool   // the last request has found no buffer
	unsure  bool   // the request has brought something, and may have missed the end behind it
	waiters []*op  // woken when something comes, and when the request ends
	reader  op     // the waiter of who has the turn
}

// A shot is what one CQE has brought: a piece, a connection, an error, or, with none of these, the end of the stream.
type shot struct {
	p     []byte
	conn  *Conn
	errno syscall.Errno
	id    uint16
	lent  bool // p lies in the provided buffer id
}

// open returns d's inbox, which it makes if there is none.
func (d *half) open(r *Ring, k kind) *inbox {
	if in := d.inbox.Load(); in != nil {
		return in
	}
	in := &inbox{lane: &r.lane, kind: k}
	in.reader.lane, in.reader.bits = in.lane, bitWaiter
	if !d.inbox.CompareAndSwap(nil, in) {
		return d.inbox.Load()
	}
	return in
}

// shot takes what a CQE of the multishot request o brings. It reports whether o goes on (IORING_CQE_F_MORE). Under cq.mu.
func (l *lane) shot(o *op, c *uring.CQE) bool {
	in, v := o.x.in, &l.ring.provided
	id, lent := c.Buffer()
	if lent {
		v.lent++
	}
	switch {
	case o.kind == kindAccepts && c.Res >= 0:
		v.accepted = true
		conn := new(Conn)
		conn.arrive(l.ring, int(c.Res), o)
		in.shots = append(in.shots, shot{conn: conn})
	case lent && c.Res > 0:
		v.received = true
		in.shots = append(in.shots, shot{p: v.bufs.Bytes(id, int(c.Res)), id: id, lent: true})
	case lent:
		v.refill(id)
	}
	if !c.More() {
		return false
	}
	in.unsure = o.kind == kindReceives
	o.tries = 0
	in.wake()
	return true
}

// end is told how the request o has ended; nobody waits for o itself. Under cq.mu.
func (in *inbox) end(o *op, res int32) {
	v, errno := &in.lane.ring.provided, syscall.Errno(-res)
	switch {
	case res > 0 || res == 0 && o.kind == kindAccepts:
	case res == 0:
		in.shots = append(in.shots, shot{})
	case errno == syscall.ENOBUFS && o.kind == kindReceives:
		in.starved = true
	case errno == syscall.ECANCELED, errno == syscall.EINTR, errno == syscall.EAGAIN:
	case errno == syscall.EINVAL && o.kind == kindAccepts && !v.accepted:
		v.noAccepts.Store(true)
	case errno == syscall.EINVAL && o.kind == kindReceives && !v.received:
		v.noReceives.Store(true)
	default:
		in.shots = append(in.shots, shot{errno: errno})
	}
	in.disarmed()
	o.x.in = nil
	o.retire()
	in.lane.recycle(o)
}

func (in *inbox) disarmed() {
	in.armed, in.unsure, in.req = false, false, nil
	in.ended++
	in.wake()
}

func (in *inbox) wake() {
	for _, w := range in.waiters {
		if !w.isDone() { // a deadline may have been faster
			w.resolve(0)
		}
	}
	clear(in.waiters) // through a loop they lead to the Conn, which must not lead to itself: it has a finalizer
	in.waiters = in.waiters[:0]
}

// expect makes w, which nobody waits for, one of those that are woken.
func (in *inbox) expect(w *op) (gen uint64) {
	w.retire()
	gen = w.gen()
	w.claim(gen)
	in.waiters = append(in.waiters, w)
	return gen
}

// forget undoes expect, if w was not woken.
func (in *inbox) forget(w *op) {
	in.lane.cq.mu.Lock()
	if i := slices.Index(in.waiters, w); i >= 0 {
		in.waiters = slices.Delete(in.waiters, i, i+1)
	}
	in.lane.cqUnlock()
}

// any reports whether there is something to be taken.
func (in *inbox) any() bool { return in.head < len(in.shots) }

func (in *inbox) take() shot {
	s := in.shots[in.head]
	in.shots[in.head] = shot{}
	if in.head++; in.head == len(in.shots) {
		in.shots, in.head = in.shots[:0], 0
	}
	return s
}

// read is a Read of what is there.
func (in *inbox) read(p []byte) (n int, err error) {
	for in.any() && len(p) > n {
		s := &in.shots[in.head]
		if len(s.p) == 0 {
			if n == 0 {
				err = in.take().error("recv")
			}
			break
		}
		m := copy(p[n:], s.p)
		n += m
		if s.p = s.p[m:]; len(s.p) == 0 {
			in.giveBack(in.take())
		}
	}
	return n, err
}

func (in *inbox) giveBack(s shot) {
	if s.lent {
		in.lane.ring.provided.refill(s.id)
	}
}

// keep makes what is left independent of the kernel's buffers. An accept that failed has left its connection where it was.
func (in *inbox) keep() {
	left := in.shots[in.head:]
	in.shots, in.head = nil, 0
	for _, s := range left {
		if s.lent {
			s.p, s.lent = append([]byte(nil), s.p...), false
			in.lane.ring.provided.refill(s.id)
		}
		if s.errno == 0 || in.kind == kindReceives {
			in.shots = append(in.shots, s)
		}
	}
}
