package rio

import (
	"errors"
	"net"
	"os"
	"reflect"
	"syscall"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// A target is where an operation goes: a handle of this ring, which does not count the operation yet, or somebody else's
// descriptor.
type target struct {
	h       *handle
	file    syscall.Conn
	raw     syscall.RawConn
	bounded bool
	remote  bool
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
			c.overtake()
			c.nothing(h.bounded)
			return h, nil, nil
		}
		if o, ok := uring.Object(h.fd).(syscall.Conn); ok && !h.closed() {
			return nil, o, nil // the Ring that it belongs to may be closed
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

// domain asks for the family of the socket h that c is to connect.
func (h *handle) domain(c *call) error {
	if !h.get() {
		return os.NewSyscallError(kinds[c.kind].name, h.closedError())
	}
	defer h.put()
	return c.socket(h.fd)
}

// find finds c's target, and what has to be known of it.
func (r *Ring) find(c *call) (t target, err error) {
	if t.h, t.file, err = r.target(c); err != nil {
		return t, err
	}
	switch {
	case t.file != nil:
		t.lent = true
		err = r.look(c, &t)
	case t.h != nil:
		if c.plain = t.h.socket; c.kind == kindConnect {
			err = t.h.domain(c)
		}
	}
	return t, err
}

// foreignError names what Control says. What os.File says of a closed file is not os.ErrClosed, and has no name.
func foreignError(name string, err error) error {
	if errors.Is(err, os.ErrClosed) || errors.Is(err, net.ErrClosed) || err.Error() == "use of closed file" {
		err = errFileClosed
	}
	var named *os.SyscallError
	if errors.As(err, &named) {
		return err
	}
	return os.NewSyscallError(name, err)
}
