package rio

import (
	"net"
	"syscall"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// A rawConn is a handle's syscall.RawConn. Its Read and Write call f, and once more whenever it says false and the
// descriptor is ready: there is no poller to wait on, so the ring polls (IORING_OP_POLL_ADD). On a Conn or Listener each
// stands in line with the methods of its direction, and gives up when they do.
type rawConn struct {
	h      *handle
	rd, wr *half                                   // nil, if there are no deadlines
	wrap   func(op string, err error) *net.OpError // nil: errors are bare
}

// orObject is c, or that of what stands behind a Virtual, which knows the descriptor and waits on Go's poller: without c's
// deadlines.
func (c rawConn) orObject() (syscall.RawConn, error) {
	o, ok := uring.Object(c.h.fd).(syscall.Conn)
	if !ok || c.h.closed() {
		return c, nil
	}
	inner, err := o.SyscallConn()
	return virtualConn{inner, c.h}, err
}

// A virtualConn is a Virtual's, which Close waits for too.
type virtualConn struct {
	syscall.RawConn
	h *handle
}

func (c virtualConn) Control(f func(fd uintptr)) error {
	if !c.h.get() {
		return c.h.closedError()
	}
	defer c.h.put()
	return c.RawConn.Control(f)
}

func (c rawConn) Control(f func(fd uintptr)) error {
	err := c.call(f)
	if err != nil && c.wrap != nil {
		e := c.wrap("raw-control", err)
		if e.Source != nil {
			e.Source, e.Addr = nil, e.Source
		}
		return e
	}
	return err
}

func (c rawConn) Read(f func(fd uintptr) bool) error {
	return c.until(f, c.rd, "raw-read", uring.PollIn)
}

func (c rawConn) Write(f func(fd uintptr) bool) error {
	return c.until(f, c.wr, "raw-write", uring.PollOut)
}

// call calls f with the descriptor, which stays open meanwhile.
func (c rawConn) call(f func(fd uintptr)) error {
	if !c.h.get() {
		return c.h.closedError()
	}
	defer c.h.put()
	f(uintptr(c.h.fd))
	return nil
}

func (c rawConn) until(f func(fd uintptr) bool, d *half, op string, events uring.OpFlags) error {
	var err error
	if d == nil {
		err = c.tries(f, &half{}, events)
	} else {
		d.turn.Lock()
		defer d.turn.Unlock()
		err = c.tries(f, d, events)
	}
	if err != nil && c.wrap != nil {
		return c.wrap(op, plainError(err))
	}
	return err
}

// tries calls f until it says true, or d's deadline has passed: then not even once. The caller has d's turn.
func (c rawConn) tries(f func(fd uintptr) bool, d *half, events uring.OpFlags) error {
	for {
		if err := d.over(c.h); err != nil {
			return err
		}
		if in := d.inbox.Load(); in != nil {
			in.stop(&op{lane: in.lane, bits: bitWaiter}) // f is not to get ahead of what it brings
		}
		done := false
		if err := c.call(func(fd uintptr) { done = f(fd) }); err != nil || done {
			return err
		}
		o, err := d.run(c.h, call{kind: kindPoll, mode: uint32(events)})
		if err != nil {
			return err
		}
		if _, err = take[int](o, o.retire()); err != nil {
			return err
		}
	}
}
