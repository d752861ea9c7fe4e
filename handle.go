package rio

import (
	"os"
	"reflect"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// A handle is a descriptor that the ring owns. It counts the operations on it, from before they are started until their
// CQE, and is closed when there are none: so an operation may reach the kernel late, and still meets this file.
type handle struct {
	r       *Ring
	fd      int
	bounded bool // a regular file or block device: what is begun on it ends by itself
	direct  bool // O_DIRECT
	socket  bool
	syncErr atomic.Int32  // the errno of the first sync that failed
	refs    atomic.Int64  // operations, and handleClosing
	idle    chan struct{} // gets a token when a closing handle has no operations left
	once    sync.Once
	err     error // of close(2)
}

const handleClosing = 1 << 62

func (h *handle) init(r *Ring, fd int) {
	h.r, h.fd, h.idle = r, fd, make(chan struct{}, 1)
}

// get begins an operation on h; false if it is closed.
func (h *handle) get() bool {
	if h.refs.Add(1)&handleClosing == 0 {
		return true
	}
	h.put()
	return false
}

// put ends one.
func (h *handle) put() {
	if h != nil && h.refs.Add(-1) == handleClosing {
		select {
		case h.idle <- struct{}{}:
		default:
		}
	}
}

// close wakes what waits on h, lets operations on regular files finish, and calls closeFD when the kernel has let go.
// Whoever comes second waits for the first, and is told that it is closed.
func (h *handle) close(closeFD func() error) error {
	first := false
	h.once.Do(func() {
		first = true
		for {
			n := h.refs.Load()
			if h.refs.CompareAndSwap(n, n|handleClosing) {
				if n == 0 {
					h.idle <- struct{}{}
				}
				break
			}
		}
		if !h.bounded && h.refs.Load() != handleClosing {
			h.r.cancelWhere(isFileClosed, func(o *op) bool { return o.h == h })
		}
		h.settle()
		h.err = closeFD()
	})
	if !first {
		return h.closedError()
	}
	return h.err
}

// settle waits until no operation is left. They may still lie in the queue, or need somebody to read their CQE.
func (h *handle) settle() {
	h.r.flush()
	h.r.reap()
	h.r.watchers.Add(1)
	defer h.r.watchers.Add(-1)
	if !h.r.leader.Load() {
		h.r.arm()
	}
	for {
		<-h.idle
		if h.refs.Load() == handleClosing {
			return
		}
	}
}

func (h *handle) closed() bool { return h.refs.Load()&handleClosing != 0 }

func (h *handle) closedError() error {
	if h.socket {
		return errConnClosed
	}
	return errFileClosed
}

// noteSync keeps the error of a sync: it has lost what it could not write.
func (h *handle) noteSync(errno syscall.Errno) {
	switch errno {
	case syscall.EINVAL, syscall.ECANCELED, syscall.EROFS, syscall.EBADF, syscall.EOPNOTSUPP:
		return // nothing was lost, or it was no file to sync
	}
	h.syncErr.CompareAndSwap(0, int32(errno))
}

// A rawConn is a handle's syscall.RawConn. Its Read and Write call f once more whenever it says false: there is no poller
// to wait on.
type rawConn struct{ h *handle }

func (c rawConn) Control(f func(fd uintptr)) error {
	if !c.h.get() {
		return c.h.closedError()
	}
	defer c.h.put()
	f(uintptr(c.h.fd))
	return nil
}

func (c rawConn) Read(f func(fd uintptr) bool) error  { return c.until(f, uring.PollIn) }
func (c rawConn) Write(f func(fd uintptr) bool) error { return c.until(f, uring.PollOut) }

func (c rawConn) until(f func(fd uintptr) bool, events uring.OpFlags) error {
	for {
		done := false
		if err := c.Control(func(fd uintptr) { done = f(fd) }); err != nil || done {
			return err
		}
		if err := c.h.r.pollHandle(c.h, events); err != nil {
			return err
		}
	}
}

// pollHandle waits until h is ready for one of events (IORING_OP_POLL_ADD).
func (r *Ring) pollHandle(h *handle, events uring.OpFlags) error {
	o, gen, err := r.beginOn(h, &call{kind: kindPoll, quiet: true, mode: uint32(events)}, None)
	if err != nil {
		return err
	}
	o.claim(gen)
	r.await(o, nil)
	_, err = take[int](o, o.retire())
	return err
}

// A target is where an operation goes: a handle of this ring, which is held, or somebody else's descriptor.
type target struct {
	h       *handle
	file    syscall.Conn
	raw     syscall.RawConn
	bounded bool
	lent    bool // by way of the table of registered files
}

// target finds whose descriptor c is for.
func (r *Ring) target(c *call) (h *handle, file syscall.Conn, err error) {
	name := kinds[c.kind].name
	switch f := c.file.(type) {
	case nil:
		if c.kind == kindNop {
			return nil, nil, nil
		}
		return nil, nil, invalid(name, "nil file")
	case *File:
		if f == nil {
			return nil, nil, invalid(name, "nil File")
		}
		h = &f.handle
	case *Conn:
		if f == nil {
			return nil, nil, invalid(name, "nil Conn")
		}
		h = &f.handle
	case *Listener:
		if f == nil {
			return nil, nil, invalid(name, "nil Listener")
		}
		h = &f.handle
	}
	if h != nil {
		if h.r == nil {
			return nil, nil, invalid(name, "a File, Conn or Listener that no Ring has made")
		}
		if h.r == r {
			return h, nil, nil
		}
	}
	if v := reflect.ValueOf(c.file); v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, nil, invalid(name, "nil file")
	}
	file, ok := c.file.(syscall.Conn)
	if !ok {
		return nil, nil, invalid(name, reflect.TypeOf(c.file).String()+" has no descriptor")
	}
	return nil, file, nil
}

// hold finds c's target, and holds it if it is a handle.
func (r *Ring) hold(c *call) (t target, err error) {
	if t.h, t.file, err = r.target(c); err != nil {
		return t, err
	}
	if t.h != nil && !t.h.get() {
		return t, os.NewSyscallError(kinds[c.kind].name, t.h.closedError())
	}
	if t.h != nil && t.h.socket {
		c.plain = true
	}
	if t.file != nil {
		t.lent = true
		err = r.look(c, &t)
	} else if c.kind == kindConnect {
		if err = c.socket(t.h.fd); err != nil {
			t.h.put()
		}
	}
	return t, err
}
