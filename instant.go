package rio

import (
	"os"
	"syscall"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// What a socket can do at once needs no ring: a send of a few bytes hardly ever waits. With several Ps it is the cheaper
// way, because completions cross threads, and a Conn tries without waiting first (MSG_DONTWAIT); the ring is for what has
// to wait. With one P the ring is cheaper: one enter for all that have something to send. Under the race detector
// everything goes through the ring, whose witnesses know what to tell it; and with a Profile, which wants to see it.

// instant does on h what of p can be done at once; EAGAIN says that the ring has to.
func (d *half) instant(h *handle, k kind, p []byte, do func(fd int, p []byte) (int, syscall.Errno)) (int, error) {
	if uring.Race || h.r.profile != nil || h.r.procs.Load() == 1 || h.r.closing.Load() || !h.get() {
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
	case syscall.EINTR, syscall.EAGAIN:
		return 0, syscall.EAGAIN
	}
	return 0, os.NewSyscallError(kinds[k].name, errno)
}
