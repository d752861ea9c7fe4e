package rio

import (
	"net"
	"os"
	"syscall"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// enterIn publishes o and submits it while raw keeps its descriptor open. It sets has when it has published o.
func (r *Ring) enterIn(o *op, raw syscall.RawConn, has *bool) error {
	if !r.use() {
		return ErrClosed
	}
	enters := 0
	defer func() {
		r.unuse(enters)
		r.follow()
	}()
	return uring.Control(raw, func(fd uintptr) {
		*has = true
		enters = r.enterAs(o, fd)
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
	has := false
	again := func() {
		if raw, err := o.x.file.SyscallConn(); err == nil {
			r.enterIn(o, raw, &has)
		}
	}
	switch o.x.file.(type) {
	case *os.File, *net.TCPConn, *net.UDPConn, *net.UnixConn, *net.IPConn, *net.TCPListener, *net.UnixListener:
		again()
	default:
		r.apart(again)
	}
	if has {
		return // whatever Control has done then
	}
	r.lock()
	o.state.Or(isFileClosed)
	r.finish(o, errCanceled)
	r.unlock()
}

// apart runs f, which may panic or end its goroutine, in one of its own.
func (r *Ring) apart(f func()) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		defer func() {
			if p := recover(); p != nil {
				r.log.Error("rio: a RawConn's Control panicked", "panic", p)
			}
		}()
		f()
	}()
	<-gone
}
