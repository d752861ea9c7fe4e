package rio

import (
	"sync"
	"sync/atomic"
	"syscall"
)

// A handle is a descriptor that the ring owns. It counts the operations on it, from before they are started until their
// CQE, and is closed when there are none: so an operation may reach the kernel late, and still meets this file.
type handle struct {
	idle chan struct{} // gets a token when a closing handle has no operations left; made by close
	once sync.Once
	err  error // of close(2)

	// What each operation looks at lies together, with what follows a handle: thousands of them don't stay in the cache.
	cold    atomic.Int32 // how many reads not to try the page cache for
	chilled atomic.Int32 // how many that were, the last time
	crowded atomic.Int32 // likewise, because several were started at once
	syncErr atomic.Int32 // the errno of the first sync that failed
	bounded bool         // a regular file or block device: what is begun on it ends by itself
	direct  bool         // O_DIRECT
	durable bool         // O_DSYNC, or O_SYNC
	remote  bool         // somebody else answers, perhaps never
	socket  bool
	memory  bool         // it lies there: reads wait for no device
	refs    atomic.Int64 // operations, and handleClosing
	r       *Ring
	fd      int
}

const handleClosing = 1 << 62

func (h *handle) init(r *Ring, fd int) {
	h.r, h.fd = r, fd
}

// get begins an operation on h; false if it is closed.
func (h *handle) get() bool {
	if h.refs.Add(1)&handleClosing == 0 {
		return true
	}
	h.put()
	return false
}

// use is get for what needs no ring, and says why it can't be: see refusal.
func (h *handle) use() error {
	if !h.get() {
		return h.closedError()
	}
	if err := h.refusal(); err != nil {
		h.put()
		return err
	}
	return nil
}

// refusal is why nothing is to be done with h: it is closed, or its Ring is closed or broken.
func (h *handle) refusal() error {
	if h.closed() {
		return h.closedError()
	}
	if h.r.closing.Load() {
		return h.r.usable("")
	}
	return nil
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
		h.idle = h.r.newChan() // before refs tells those who use it
		for {
			n := h.refs.Load()
			if h.refs.CompareAndSwap(n, n|handleClosing) {
				if n == 0 {
					select {
					case h.idle <- struct{}{}:
					default: // an operation that came too late has put one there
					}
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
	for l := range h.r.lanes() {
		l.watch()
		defer l.watchers.Add(-1)
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
	case syscall.EINVAL, syscall.ECANCELED, syscall.EROFS, syscall.EBADF, syscall.EOPNOTSUPP, syscall.ESPIPE:
		return // nothing was lost, or it was no file to sync
	}
	h.syncErr.CompareAndSwap(0, int32(errno))
}
