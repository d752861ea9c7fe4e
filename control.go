package rio

import (
	"net"
	"os"
	"syscall"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// abroad is how far an operation has got that is submitted in somebody's Control.
type abroad struct {
	has  bool // it is published
	ours bool // who runs is the ring, not Control
}

// enterIn publishes o and submits it while raw keeps its descriptor open.
func (r *Ring) enterIn(o *op, raw syscall.RawConn, e *abroad) error {
	if !r.use() {
		return ErrClosed
	}
	enters := 0
	defer func() {
		ours := e.ours // a panic of the ring's is on its way
		e.ours = true
		r.unuse(enters)
		r.follow()
		e.ours = ours
	}()
	return uring.Control(raw, func(fd uintptr) {
		e.has, e.ours = true, true
		enters = r.enterAs(o, fd)
		e.ours = false
	})
}

// enterAs publishes o, whose descriptor is fd, and submits it.
func (r *Ring) enterAs(o *op, fd uintptr) (enters int) {
	r.sq.mu.Lock()
	for !r.k.SQ.Has(1) && r.broken() == nil {
		r.sq.mu.Unlock()
		enters += r.submitWith(patience{within: true}, r.k.SQ.Tail())
		r.sq.mu.Lock()
	}
	if r.broken() != nil {
		r.sq.mu.Unlock()
		return enters
	}
	o.fd = int32(fd)
	if o.tries == 0 {
		r.join(o)
	}
	r.write(train{first: o, last: o, n: 1})
	r.sq.mu.Unlock()
	return enters + r.submitWith(patience{within: true}, r.k.SQ.Tail())
}

// resubmit starts a foreign operation once more; if its descriptor can't be had any more, that is how it ends. Whoever reads
// completions does this: so what only others know runs in a goroutine of its own, which it may end.
func (r *Ring) resubmit(o *op) {
	var e abroad
	again := func() {
		if raw, err := o.x.file.SyscallConn(); err == nil {
			r.enterIn(o, raw, &e)
		}
	}
	switch o.x.file.(type) {
	case *os.File, *net.TCPConn, *net.UDPConn, *net.UnixConn, *net.IPConn, *net.TCPListener, *net.UnixListener:
		again()
	default:
		r.apart(again, &e)
	}
	if e.has {
		return // whatever Control has done then
	}
	r.lock()
	o.state.Or(isFileClosed)
	r.finish(o, errCanceled)
	r.unlock()
}

// apart runs f, which may panic or end its goroutine, in one of its own. A panic of the ring's stays one.
func (r *Ring) apart(f func(), e *abroad) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		defer func() {
			if e.ours {
				return
			}
			if p := recover(); p != nil {
				r.log.Error("rio: a RawConn's Control panicked", "panic", p)
			}
		}()
		f()
	}()
	<-gone
}
