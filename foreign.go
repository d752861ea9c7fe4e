package rio

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// A foreign descriptor is one that somebody else may close at any moment, and whose number then is another file's. The
// kernel looks a descriptor up when it starts the request. So either it starts while RawConn.Control keeps the file open,
// which is the case for a plain operation that is submitted in there; or, for what starts later (behind a Link, drained, in a
// Chain, with SQPOLL, on a worker of the kernel's, or for want of room in the queue), the file itself is put into the ring's table of
// registered files, in Control, and taken out when the operation is done. In Control it is waited for that the kernel takes it, not for its
// end: closing a socket or a pipe would block. Nor is the descriptor duplicated: closing that would drop the process's fcntl locks.

// look asks for what has to be known of a foreign descriptor beforehand.
func (r *Ring) look(c *call, t *target) (err error) {
	name := kinds[c.kind].name
	if f, ok := t.file.(*os.File); ok && *f == (os.File{}) {
		return invalid(name, "an os.File that nothing has opened")
	}
	if t.raw, err = t.file.SyscallConn(); err != nil {
		return foreignError(name, err)
	}
	if t.raw == nil {
		return invalid(name, fmt.Sprintf("%T has no descriptor", t.file))
	}
	switch c.kind {
	case kindRead, kindWrite, kindReadv, kindWritev, kindConnect:
	default:
		return nil
	}
	if k := r.k.Lender(); k != nil {
		if bounded, socket, ok := k.Look(t.file); ok {
			if err := t.raw.Control(func(uintptr) {}); err != nil {
				return foreignError(name, err)
			}
			if t.bounded, c.plain = bounded, socket; c.kind == kindConnect {
				domain, err := k.Domain(t.file)
				if err != nil {
					return fmt.Errorf("rio: connect: %w", err)
				}
				return c.family(domain)
			}
			return nil
		}
	}
	var domain int // not c: what goes into this closure goes to the heap, for the ring's own handles too
	var sockErr error
	bounded, socket, remote, connect := false, false, false, c.kind == kindConnect
	err = uring.Control(t.raw, func(fd uintptr) {
		if connect {
			domain, sockErr = uring.Domain(int(fd))
		} else {
			bounded, socket, remote = uring.FileType(int(fd))
		}
	})
	if err != nil {
		return foreignError(name, err)
	}
	if sockErr != nil {
		return fmt.Errorf("rio: connect: %w", sockErr)
	}
	t.bounded, t.remote, c.plain = bounded, remote, socket
	c.nothing(bounded)
	if connect {
		return c.family(domain)
	}
	return nil
}

// setForeign notes whose descriptor o is for, and its place in the table of registered files if it is to be lent. Under
// sq.mu.
func (o *op) setForeign(r *Ring, t *target) {
	x := o.extra()
	x.file, x.remote = t.file, t.remote
	o.bits |= bitForeign
	if t.bounded {
		o.bits |= bitBounded
		o.ends = true
	}
	if t.lent {
		free := r.sq.files
		x.place, r.sq.files = free[len(free)-1], free[:len(free)-1]
		o.fd = int32(x.place)
		o.bits |= bitFixed
	}
}

// beginForeign is begin for a descriptor that is not the ring's own.
func (r *Ring) beginForeign(c *call, file syscall.Conn, ord Ordering) (o *op, gen uint64, err error) {
	t := target{file: file}
	var e abroad
	defer func() {
		if !e.has && !e.ours && err == nil { // a Control has panicked, or ended its goroutine: start won't say that it has failed
			r.missed(ord)
		}
	}()
	if err := r.look(c, &t); err != nil {
		return nil, 0, err
	}
	e.ours = true // what panics now may hold locks
	// Syncs, fallocates and what somebody else answers start on a worker of the kernel, after enter: they look the descriptor
	// up there.
	worker := !kinds[c.kind].breaks || t.remote
	t.lent = ord != None || worker || r.k.Flags&uring.SetupSQPoll != 0 || r.k.Lender() != nil
	for {
		places := uint32(0)
		if t.lent {
			places = 1
		}
		if err := r.admit(1, places); err != nil {
			if errors.Is(err, syscall.EMFILE) {
				err = fmt.Errorf("rio: %s: %w", kinds[c.kind].name, err)
			}
			return nil, 0, err
		}
		if t.lent || !r.sq.follow && len(r.sq.backlog) == 0 && r.k.SQ.Has(1) {
			break
		}
		t.lent = true
		r.sq.mu.Unlock()
		r.tickets.put(1)
		r.grant()
	}
	o = r.prepare(c, nil)
	gen = o.gen()
	o.setForeign(r, &t)
	r.sq.mu.Unlock()
	e.ours = false
	defer func(o *op, gen uint64) {
		if !e.has { // an error; or Control has panicked, or ended its goroutine
			r.abandon(o, gen)
		}
	}(o, gen)
	if t.lent {
		if err = r.lend(o, t.raw); err == nil {
			r.sq.mu.Lock()
			r.place(o, ord, false)
			r.sq.mu.Unlock()
			e.has = true
		}
	} else {
		err = r.enterIn(o, t.raw, &e)
	}
	if err != nil {
		return nil, 0, foreignError(kinds[c.kind].name, err)
	}
	r.started()
	return o, gen, nil
}

// abandon ends an operation that never reached the kernel and that nobody has heard of.
func (r *Ring) abandon(o *op, gen uint64) {
	r.lock()
	if o.state.Load()&isDone == 0 {
		r.finish(o, errCanceled)
	}
	r.unlock()
	r.follow()
	o.claim(gen)
	r.await(o, nil)
	o.retire()
	r.recycle(o)
}
