package rio

import (
	"math"
	"os"
	"syscall"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// What can be done at once needs no ring.
//
// A page that lies in the cache is read for less by a system call that doesn't wait (preadv2(2), RWF_NOWAIT) than by way of
// the queue, unless many go in one enter; and many goroutines then don't stand in line for the kernel's lock. So a read of a
// regular file tries that first, as long as it finds what it looks for, and is alone. A file in memory has no device to wait for,
// and can't tell: it is simply read (pread(2)); not written, which waits for whoever else writes there.
//
// A send of a few bytes hardly ever waits. With several Ps it is the cheaper way, because completions cross threads, and a
// Conn tries without waiting first (MSG_DONTWAIT). With one P, or while a leader is about to submit for everybody, the ring
// is cheaper: one enter for all that have something to send. A Profile wants to see it there. Under the race detector who computes is
// ten times as long about it, and a send would stand in line for that long: there it is tried first.

// sendNow sends what of p can be sent at once; EAGAIN says that the ring has to.
func (d *half) sendNow(h *handle, p []byte) (int, error) {
	if h.r.profile != nil || h.r.procs.Load() == 1 && !uring.Race || h.r.yielding.Load() || h.r.closing.Load() || !h.get() {
		return 0, syscall.EAGAIN // begin says what is wrong
	}
	defer h.put()
	if d.expired() {
		return 0, os.ErrDeadlineExceeded
	}
	if uring.Race {
		uring.RaceAccess(p, false)
		uring.RacePublish()
	}
	n, errno := uring.SendNow(h.fd, p)
	switch errno {
	case 0:
		d.often++
		return n, nil
	case syscall.EINTR, syscall.EAGAIN, syscall.EBADF: // the last one from what is not a descriptor of this kernel
		return 0, syscall.EAGAIN
	}
	return 0, os.NewSyscallError(kinds[kindSend].name, errno)
}

const (
	// coldest is how many reads of a file go to the ring, at most, before one tries the page cache again.
	coldest = 1 << 10
	// never is for files that can't be read so at all.
	never = 1 << 30
	// blind is for files whose file system can't tell what is cached.
	blind = never + 1
)

// doNow ends c, a read of h, at once if all that it asks for lies in the page cache, or the file in memory.
func (r *Ring) doNow(c *call, h *handle) (o *op, gen uint64, done bool) {
	if h.memory && len(c.buf) > uring.FewBytes {
		return nil, 0, false // a worker does it meanwhile
	}
	if uring.Race || r.profile != nil || r.k.Flags&uring.SetupIOPoll != 0 || r.following.Load() || r.closing.Load() || !h.get() {
		return nil, 0, false
	}
	a := r.atOnce.get()
	if !a.any(&r.lane, h) {
		if h.memory { // it must not go to the ring: all that does is have a worker do it
			if n, ok := h.now(c); ok {
				o, gen = r.ended(n)
			}
		} else if a.crowded(h) {
			h.crowd()
		}
	} else if n, ok := h.now(c); ok {
		o, gen = a.put(&r.atOnce, h, n)
		if a.found >= steady && h.crowded.Load() != 0 {
			h.crowded.Store(0)
		}
	}
	h.put()
	r.putBack(a)
	return o, gen, o != nil
}

// readHere is a File's own read, which needs no op for a result: its caller waits anyway.
func (f *File) readHere(c *call) (n int, ok bool) {
	r := f.r
	c.tried = true
	if !f.mayBeNow(c, true) || uring.Race || r.profile != nil || r.k.Flags&uring.SetupIOPoll != 0 || r.closing.Load() || !f.get() {
		return 0, false
	}
	n, ok = f.now(c)
	f.put()
	if ok { // nothing but to be counted
		a := r.atOnce.get()
		a.ends(&r.atOnce)
		r.putBack(a)
	}
	return n, ok
}

// mayBeNow reports whether c, a read of h, is worth a try. Who waits for it anyway doesn't mind that others start several at once.
func (h *handle) mayBeNow(c *call, waits bool) bool {
	switch {
	case !h.bounded || h.direct || len(c.buf) == 0:
		return false
	case h.memory:
		return true
	case waits && h.crowded.Load() != 0 && h.chilled.Load() == 0:
		return h.cold.Load() < never
	}
	return h.warm()
}

// now reads what c asks for from the page cache, if that has all of it; from memory in any case. What is wrong is the ring's to say.
func (h *handle) now(c *call) (n int, ok bool) {
	off := int64(c.offset())
	if h.memory || len(c.buf) > uring.FewBytes { // it may take a while, and Close waits for it
		if !h.r.reads.begin(h.r, math.MaxInt32) {
			return 0, false
		}
		defer h.r.reads.leave(h.r)
	}
	if h.memory {
		n, errno := uring.Read(h.fd, c.buf, off)
		return n, errno == 0
	}
	n, errno := uring.ReadNow(h.fd, c.buf, off)
	switch {
	case errno == 0 && n > 0 && c.plain: // the file's position has moved; and a Read may be short
	case errno == syscall.EAGAIN || errno == 0 && n != len(c.buf): // n may be the end of the file, or of what is cached
		h.chill()
		return 0, false
	case errno == syscall.EOPNOTSUPP:
		h.cold.Store(blind)
		return 0, false
	case errno != 0:
		h.cold.Store(never)
		return 0, false
	}
	if h.chilled.Load() != 0 {
		h.chilled.Store(0)
	}
	return n, true
}

// warm reports whether a read of h is worth a try.
func (h *handle) warm() bool {
	n := h.cold.Load()
	if n > 0 && n < never {
		h.cold.Store(n - 1)
	}
	return n == 0
}

// crowd lets the next reads of h go to the ring, the more the more often several were started before the first was taken.
func (h *handle) crowd() {
	n := min(2*h.crowded.Load()+1, coldest)
	h.crowded.Store(n)
	h.cold.Store(n)
}

// chill lets the next reads of h go to the ring, the more the more often that was right.
func (h *handle) chill() {
	n := min(2*h.chilled.Load()+1, coldest)
	h.chilled.Store(n)
	h.cold.Store(n)
}
