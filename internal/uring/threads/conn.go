package threads

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// A Conn is a connection of package net's behind a descriptor of uring.NewVirtual's.
type Conn struct {
	net.Conn
	*stream
	keep bool // keep-alives are on
}

// NewConn makes one of c.
func NewConn(c net.Conn) *Conn { return &Conn{Conn: c, stream: newStream(c, c), keep: true} }

// Kind is as File's.
func (c *Conn) Kind() (bounded, socket bool) { return false, true }

// SyscallConn is c's.
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.Conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// SocketType is SO_TYPE, in Linux's numbers.
func (c *Conn) SocketType() int {
	switch c.Conn.LocalAddr().Network() {
	case "tcp", "unix":
		return uring.SockStream
	case "unixpacket":
		return uring.SockSeqpacket
	}
	return uring.SockDgram
}

// RemoteAddr is the peer's address, also if the socket was connected after package net had it.
func (c *Conn) RemoteAddr() net.Addr {
	if a := c.Conn.RemoteAddr(); a != nil {
		return a
	}
	return name(c.Conn, true)
}

// LocalAddr is the own one, likewise.
func (c *Conn) LocalAddr() net.Addr {
	if c.Conn.RemoteAddr() == nil {
		if a := name(c.Conn, false); a != nil {
			return a
		}
	}
	return c.Conn.LocalAddr()
}

// Domain is SO_DOMAIN, in Linux's numbers.
func (c *Conn) Domain() (int, error) { return family(c.Conn) }

// Shutdown ends one direction.
func (c *Conn) Shutdown(write bool) error {
	s, ok := c.Conn.(interface {
		CloseRead() error
		CloseWrite() error
	})
	switch {
	case !ok:
		return os.NewSyscallError("shutdown", errors.ErrUnsupported)
	case write:
		return plain(s.CloseWrite())
	}
	return plain(s.CloseRead())
}

// SetOption sets one of those that package net can.
func (c *Conn) SetOption(o uring.Option, v int) error {
	if b, ok := c.Conn.(interface {
		SetReadBuffer(int) error
		SetWriteBuffer(int) error
	}); ok {
		switch o {
		case uring.RecvBuffer:
			return plain(b.SetReadBuffer(v))
		case uring.SendBuffer:
			return plain(b.SetWriteBuffer(v))
		}
	}
	t, ok := c.Conn.(*net.TCPConn)
	if !ok {
		return os.NewSyscallError("setsockopt", syscall.EOPNOTSUPP)
	}
	keep := net.KeepAliveConfig{Enable: c.keep, Idle: -1, Interval: -1, Count: -1}
	switch o {
	case uring.NoDelay:
		return plain(t.SetNoDelay(v != 0))
	case uring.KeepAlive:
		c.keep = v != 0
		return plain(t.SetKeepAlive(c.keep))
	case uring.KeepIdle:
		keep.Idle = time.Duration(v) * time.Second
	case uring.KeepInterval:
		keep.Interval = time.Duration(v) * time.Second
	case uring.KeepCount:
		keep.Count = v
	default:
		return os.NewSyscallError("setsockopt", syscall.EOPNOTSUPP)
	}
	return plain(t.SetKeepAliveConfig(keep))
}

// SetLinger is TCP's.
func (c *Conn) SetLinger(sec int) error {
	if t, ok := c.Conn.(*net.TCPConn); ok {
		return plain(t.SetLinger(sec))
	}
	return os.NewSyscallError("setsockopt", syscall.EOPNOTSUPP)
}

// plain is err without what package net adds to it.
func plain(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// A Listener is one of package net's behind a descriptor of uring.NewVirtual's.
type Listener struct {
	net.Listener
	in direction
}

// NewListener makes one of l.
func NewListener(l net.Listener) *Listener {
	v := &Listener{Listener: l}
	v.in.do = func(r *request) (int32, error) {
		c, err := l.Accept()
		if err != nil {
			return 0, err
		}
		r.SetPeer(c.RemoteAddr())
		return int32(uring.NewVirtual(NewConn(c))), nil
	}
	v.in.deadline = func(t time.Time) error {
		if d, ok := l.(interface{ SetDeadline(time.Time) error }); ok {
			return d.SetDeadline(t)
		}
		return errors.ErrUnsupported
	}
	return v
}

// Kind is as File's.
func (l *Listener) Kind() (bounded, socket bool) { return false, true }

// SyscallConn is l's.
func (l *Listener) SyscallConn() (syscall.RawConn, error) {
	if s, ok := l.Listener.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// LocalAddr is where l listens.
func (l *Listener) LocalAddr() net.Addr { return l.Addr() }

func (l *Listener) begin(r *request) {
	if r.Op != uring.OpAccept {
		r.k.complete(r, -int32(syscall.EOPNOTSUPP))
		return
	}
	l.in.begin(r)
}

func (l *Listener) perform(*request) (int32, bool) { panic("threads: a listener is not for the pool") }
