package rio

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// With several Ps a Read that finds nothing waits on Go's poller, as package net's do, and receives when something is there. A
// receive that waits in the ring ends on the thread that has begun it, which is woken for nothing but to wake another: for a
// thousand connections that costs up to twice as much. With one P it is the ring that costs less. What wants to see every
// operation, a Profile or TraceInFlight, sees it in the ring.

// A readiness is what a Conn's Reads, and loops over Received, wait on. Its file owns the descriptor.
type readiness struct {
	raw syscall.RawConn
	try func(fd uintptr) bool

	// Whose turn of the half it is. All that a Read needs is one line of the cache.
	buf    []byte
	waited atomic.Uint64 // twice how often somebody had to, for all to see; odd: somebody does
	res    int32         // of the last recv; below 0: its errno
	waits  bool
	lends  bool  // buf is lent, and given back before it waits
	dead   bool  // the Ring is closed, or broken: nobody may wait any more; under mu
	often  uint8 // how often nobody had to wait, in a row

	lent *[receivingSize]byte
	file *os.File
	mu   sync.Mutex
	_    [32]byte // of this size it begins at a line
}

// newReadiness makes one for the socket fd; ok is false if nothing can wait on it.
func newReadiness(fd int) (w *readiness, ok bool) {
	w = &readiness{file: uring.Pollable(fd)}
	w.try = func(fd uintptr) bool {
		for {
			if w.lends {
				w.lent = receiving.Get().(*[receivingSize]byte)
				w.buf = w.lent[:]
			}
			n, errno := uring.RecvNow(int(fd), w.buf)
			w.res = int32(n)
			switch errno {
			case syscall.EINTR:
				w.unlend()
				continue
			case syscall.EAGAIN:
				w.unlend()
				if !w.waits {
					w.waits = true
					w.waited.Add(1)
				}
				return false
			case 0:
			default:
				w.res = -int32(errno)
			}
			return true
		}
	}
	raw, err := w.file.SyscallConn()
	w.raw = raw
	return w, err == nil && w.file.SetReadDeadline(time.Time{}) == nil
}

// setDeadline moves the deadline of whoever waits.
func (w *readiness) setDeadline(t time.Time) {
	w.mu.Lock()
	if !w.dead {
		w.file.SetReadDeadline(t)
	}
	w.mu.Unlock()
}

// end wakes who waits, for good.
func (w *readiness) end() {
	w.mu.Lock()
	w.dead = true
	w.file.SetReadDeadline(time.Unix(1, 0))
	w.mu.Unlock()
}

// unlend takes a lent buffer back.
func (w *readiness) unlend() {
	if w.lent != nil {
		receiving.Put(w.lent)
		w.lent, w.buf = nil, nil
	}
}

// receive is read into a buffer that is the caller's from then on.
func (w *readiness) receive() (buf *[receivingSize]byte, n int, err error) {
	w.lends = true
	n, err = w.read(nil)
	w.lends = false
	if err != nil {
		w.unlend()
		return nil, 0, err
	}
	buf, w.lent = w.lent, nil
	return buf, n, nil
}

// read receives up to len(p) bytes, when there are some.
func (w *readiness) read(p []byte) (int, error) {
	w.buf = p
	err := w.raw.Read(w.try)
	p, w.buf = w.buf, nil
	if w.waits {
		w.waits = false
		w.waited.Add(1)
		w.often = 0
	} else {
		w.often++
	}
	if err != nil {
		return 0, err
	}
	if w.res < 0 {
		return 0, os.NewSyscallError("recv", syscall.Errno(-w.res))
	}
	if uring.Race {
		uring.RaceJoin() // what the peer did before it sent is seen, as with package net
		uring.RaceAccess(p[:w.res], true)
	}
	return int(w.res), nil
}

// rest lets others run if it is time to.
func (w *readiness) rest(r *Ring) {
	if w.often >= often {
		w.often = 0
		r.respite()
	}
}

// byPoller reports whether Conns are to wait on Go's poller for what they receive.
func (r *Ring) byPoller() bool {
	return r.procs.Load() > 1 && r.linux && r.profile == nil && !inflight.on.Load() && !r.closing.Load()
}

// poll is a Read that waits on Go's poller, up to the deadline; EAGAIN says that the ring has to. The caller has the turn.
func (d *half) poll(h *handle, p []byte) (int, error) {
	w := d.waitable(h)
	if w == nil {
		return 0, syscall.EAGAIN
	}
	if h.r.closing.Load() {
		return 0, syscall.EAGAIN // begin says what is wrong
	}
	n, err := w.read(p)
	switch {
	case err == nil:
		w.rest(h.r)
		return n, nil
	case h.closed():
		return 0, h.closedError()
	case errors.Is(err, os.ErrDeadlineExceeded) && h.r.closing.Load():
		return 0, syscall.EAGAIN
	}
	return 0, err
}

// waitable is what d waits on; nil if h is closed, or can't be waited on. The caller has the turn.
func (d *half) waitable(h *handle) *readiness {
	w := d.ready.Load()
	if d.unready || w == nil && !h.get() {
		return nil
	}
	if w != nil {
		return w
	}
	defer h.put() // whoever closes h sees it
	w, ok := newReadiness(h.fd)
	h.r.waits.add(w) // also if it is no use: its file owns the descriptor
	d.mu.Lock()
	d.ready.Store(w)
	w.setDeadline(d.at)
	d.mu.Unlock()
	if d.unready = !ok; !ok {
		return nil
	}
	return w
}
