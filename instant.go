package rio

import (
	"os"
	"syscall"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// What can be done at once needs no ring.
//
// A page that lies in the cache is read for less by a system call that doesn't wait (preadv2(2), RWF_NOWAIT) than by way of
// the queue, unless many go in one enter; and many goroutines then don't stand in line for the kernel's lock. So a read of a
// regular file tries that first, as long as it finds what it looks for.
//
// A send of a few bytes hardly ever waits. With several Ps it is the cheaper way, because completions cross threads, and a
// Conn tries without waiting first (MSG_DONTWAIT). With one P, or while a leader is about to submit for everybody, the ring
// is cheaper: one enter for all that have something to send. Under the race detector everything goes through the ring, whose
// witnesses know what to tell it; and with a Profile, which wants to see it.

// instant does on h what of p can be done at once; EAGAIN says that the ring has to.
func (d *half) instant(h *handle, k kind, p []byte, do func(fd int, p []byte) (int, syscall.Errno)) (int, error) {
	if uring.Race || h.r.profile != nil || h.r.procs.Load() == 1 || h.r.yielding.Load() || h.r.closing.Load() || !h.get() {
		return 0, syscall.EAGAIN // begin says what is wrong
	}
	defer h.put()
	if d.expired() {
		return 0, os.ErrDeadlineExceeded
	}
	n, errno := do(h.fd, p)
	switch errno {
	case 0:
		return n, nil
	case syscall.EINTR, syscall.EAGAIN, syscall.EBADF: // the last one from what is not a descriptor of this kernel
		return 0, syscall.EAGAIN
	}
	return 0, os.NewSyscallError(kinds[k].name, errno)
}

const (
	// coldest is how many reads of a file go to the ring, at most, before one tries the page cache again.
	coldest = 1 << 10
	// never is for files that can't tell what is cached.
	never = 1 << 30
	// burst is how many may have ended so and wait to be taken, before it is plain that somebody starts many at once: they
	// are cheaper in one enter.
	burst = 4
)

// cached starts the read c of h, and ends it at once if all that it asks for lies in the page cache.
func (r *Ring) cached(c *call, h *handle) (o *op, gen uint64, done bool) {
	l := r.route(kindRead, h, None)
	if uring.Race || r.profile != nil || l.untaken.Load() >= burst || r.following.Load() || r.closing.Load() || !h.get() {
		return nil, 0, false
	}
	defer h.put()
	off := c.off
	if c.plain {
		off = -1
	}
	n, errno := uring.ReadNow(h.fd, c.buf, off)
	switch {
	case errno == 0 && n > 0 && c.plain: // the file's position has moved; and a Read may be short
	case errno == syscall.EAGAIN || errno == 0 && n != len(c.buf): // n may be the end of the file, or of what is cached
		h.chill()
		return nil, 0, false
	case errno != 0:
		h.cold.Store(never)
		return nil, 0, false
	}
	if h.chilled.Load() != 0 {
		h.chilled.Store(0)
	}
	l.sq.mu.Lock()
	if l.sq.refusal != nil {
		l.sq.mu.Unlock()
		return nil, 0, false
	}
	o = l.newOp(false)
	l.sq.instant++
	l.sq.mu.Unlock()
	o.kind, o.bits, o.fate, o.res = kindRead, 0, fateInstant, int32(n)
	l.untaken.Add(1)
	s := o.state.Load()
	o.state.Store(s | isDone)
	return o, s >> genShift, true
}

// warm reports whether a read of h is worth a try.
func (h *handle) warm() bool {
	n := h.cold.Load()
	if n > 0 && n < never {
		h.cold.Store(n - 1)
	}
	return n == 0
}

// chill lets the next reads of h go to the ring, the more the more often that was right.
func (h *handle) chill() {
	n := min(2*h.chilled.Load()+1, coldest)
	h.chilled.Store(n)
	h.cold.Store(n)
}
