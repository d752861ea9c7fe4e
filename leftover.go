package rio

import (
	"os"
	"runtime"
	"syscall"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// What a loop has left in an inbox is for Read, Accept and the next loop; and for Ring.Recv and Ring.Accept, if they wait
// for nothing else.

// arrived returns with cq.mu held, and something in the inbox, if in is not nil; it waits for that as long as a request is
// armed, up to the deadline. The caller has the turn.
func (d *half) arrived(h *handle) (in *inbox, err error) {
	if in = d.inbox.Load(); in == nil {
		return nil, nil
	}
	for l := in.lane; ; {
		if err := d.over(h); err != nil {
			return nil, err
		}
		l.cq.mu.Lock()
		switch {
		case l.ring.closing.Load() || !in.any() && !in.armed:
			l.cqUnlock()
			return nil, nil
		case in.any():
			return in, nil
		case in.unsure:
			in.look(h, &in.reader)
			continue
		}
		w := &in.reader
		gen := in.expect(w)
		l.cqUnlock()
		if d.set(w, gen) {
			l.cancel(w, gen, 0)
		}
		l.await(w, nil)
		d.set(nil, 0)
		in.forget(w)
	}
}

// receive is a Read of what has arrived; ok says whether there was any.
func (d *half) receive(h *handle, p []byte) (n int, ok bool, err error) {
	in, err := d.arrived(h)
	if in == nil {
		return 0, err != nil, err
	}
	n, err = in.read(p)
	in.lane.cqUnlock()
	if uring.Race {
		uring.RaceJoin()
	}
	return n, true, err
}

// accept is an Accept of what has arrived.
func (d *half) accept(h *handle) (c *Conn, ok bool, err error) {
	in, err := d.arrived(h)
	if in == nil {
		return nil, err != nil, err
	}
	s := in.take()
	in.lane.cqUnlock()
	if uring.Race {
		uring.RaceJoin()
	}
	c, err = s.taken()
	return c, true, err
}

// taken is what the taker of an accept gets.
func (s shot) taken() (*Conn, error) {
	if s.conn == nil {
		return nil, s.error("accept")
	}
	var sa uring.Sockaddr
	askPeer(s.conn.fd, &sa)
	return s.conn.accepted(&sa)
}

func (s shot) error(name string) error {
	if s.errno == 0 {
		return nil
	}
	return os.NewSyscallError(name, s.errno)
}

// overtake keeps c, which receives or accepts, from getting ahead of what a loop's request brings: that is ended.
func (c *call) overtake() {
	if d := c.half(); d != nil {
		d.stopInbox()
	}
}

// half is the direction of a Conn or Listener that c takes something from, if it does.
func (c *call) half() *half {
	switch f := c.file.(type) {
	case *Conn:
		if kinds[c.kind].stores {
			return &f.rd
		}
	case *Listener:
		if c.kind == kindAccept {
			return &f.in
		}
	}
	return nil
}

// leftOver starts c, and ends it at once, if a loop has left something for it.
func (r *Ring) leftOver(c *call) (o *op, gen uint64, done bool) {
	d := c.half()
	if d == nil || c.kind != kindRecv && c.kind != kindAccept || c.kind == kindRecv && len(c.buf) == 0 || r.following.Load() {
		return nil, 0, false
	}
	in := d.inbox.Load()
	if in == nil {
		return nil, 0, false
	}
	r.lock()
	if !in.any() || r.sq.refusal != nil {
		r.unlock()
		return nil, 0, false
	}
	o = r.newOp(c.kind == kindAccept)
	r.sq.instant++
	o.kind, o.bits, o.fate, o.ends = c.kind, 0, 0, false
	if c.kind == kindAccept {
		s := in.take()
		o.extra().conn, o.res = s.conn, -int32(s.errno)
	} else {
		n, err := in.read(c.buf)
		o.res = int32(n)
		if se, ok := err.(*os.SyscallError); ok {
			o.res = -int32(se.Err.(syscall.Errno))
		}
	}
	r.unlock()
	if c.kind == kindAccept && o.res == 0 {
		askPeer(o.x.conn.fd, &o.x.sa)
	}
	s := o.state.Load()
	o.state.Store(s | isDone)
	return o, s >> genShift, true
}

// drop gives back what nobody will take any more: the Conn or Listener is closed.
func (d *half) drop() {
	for _, c := range d.untaken() {
		if c.r.orphans.remove(c) {
			c.Close()
		}
	}
}

// untaken empties the inbox, and returns the connections that were in it.
func (d *half) untaken() (conns []*Conn) {
	in := d.inbox.Load()
	if in == nil {
		return nil
	}
	in.lane.cq.mu.Lock()
	defer in.lane.cqUnlock()
	for in.any() {
		s := in.take()
		in.giveBack(s)
		if s.conn != nil {
			conns = append(conns, s.conn)
		}
	}
	return conns
}

// giveUp makes the descriptor of c, which nobody has taken, the caller's, who has it wait by a ring (Serve).
func (c *Conn) giveUp() (fd int32, ok bool) {
	if !c.r.orphans.remove(c) {
		return 0, false // the Ring has closed it
	}
	c.once.Do(func() {})
	runtime.SetFinalizer(c, nil)
	uring.SetNonblock(c.fd, false) // an older ring takes a descriptor at its word
	return int32(c.fd), true
}
