package rio

import (
	"errors"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// A rawConn is a handle's syscall.RawConn. Its Read and Write call f, and once more whenever it says false and the
// descriptor is ready, which the ring polls for (IORING_OP_POLL_ADD). On a Conn or Listener each
// stands in line with the methods of its direction, and gives up when they do.
type rawConn struct {
	h      *handle
	rd, wr *half                                   // nil, if there are no deadlines
	wrap   func(op string, err error) *net.OpError // nil: errors are bare
}

// orObject is c, or that of what stands behind a Virtual, which knows the descriptor and waits on Go's poller.
func (c rawConn) orObject() (syscall.RawConn, error) {
	object := uring.Object(c.h.fd)
	o, ok := object.(syscall.Conn)
	if !ok || c.h.closed() {
		return c, nil
	}
	inner, err := o.SyscallConn()
	limited, _ := object.(limited)
	return virtualConn{c, inner, limited}, err
}

// limited is what has a deadline for who waits without an operation.
type limited interface {
	Limit(write bool, t time.Time)
}

// A virtualConn is a Virtual's.
type virtualConn struct {
	rawConn
	inner  syscall.RawConn
	object limited // nil: there are no deadlines
}

// Control is what Close waits for too.
func (c virtualConn) Control(f func(fd uintptr)) error {
	if !c.h.get() {
		return c.h.closedError()
	}
	defer c.h.put()
	return c.inner.Control(f)
}

func (c virtualConn) Read(f func(fd uintptr) bool) error {
	return c.obeys(c.rd, "raw-read", false, func() error { return c.inner.Read(f) })
}

func (c virtualConn) Write(f func(fd uintptr) bool) error {
	return c.obeys(c.wr, "raw-write", true, func() error { return c.inner.Write(f) })
}

// obeys calls wait, and again if it has given up for a deadline that has been moved since.
func (c virtualConn) obeys(d *half, op string, write bool, wait func() error) (err error) {
	if d == nil || c.object == nil {
		return wait()
	}
	d.turn.Lock()
	defer d.turn.Unlock()
	for {
		if err = d.over(c.h); err == nil {
			d.stopInbox()
			d.follow(func(t time.Time) { c.object.Limit(write, t) })
			err = wait()
			d.follow(nil)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				runtime.Gosched() // who has ended the wait by a deadline has that removed
				continue
			}
		}
		if e, ok := err.(*net.OpError); ok {
			err = e.Err
		}
		if err != nil && c.wrap != nil {
			return c.wrap(op, plainError(err))
		}
		return err
	}
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
		d.takeTurn()
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
		d.stopInbox()
		done := false
		if err := c.call(func(fd uintptr) { done = f(fd) }); err != nil || done {
			return err
		}
		o, err := d.run(c.h, &call{kind: kindPoll, mode: uint32(events)})
		if err != nil {
			return err
		}
		if _, err = take[int](o, o.retire()); err != nil {
			return err
		}
	}
}

// stopInbox ends what the loops have begun: who calls something himself is not to get ahead of what that brings.
func (d *half) stopInbox() {
	if in := d.inbox.Load(); in != nil {
		in.stop(&op{lane: in.lane, bits: bitWaiter})
	}
}
