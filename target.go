package rio

import (
	"os"
	"reflect"
	"syscall"
)

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
