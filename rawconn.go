package rio

import "github.com/seed-9c58b644/rio/internal/uring"

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
