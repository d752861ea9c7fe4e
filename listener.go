package rio

import (
	"errors"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
	"github.com/seed-9c58b644/rio/internal/uring/threads"
)

// A Listener is a listening socket that a Ring owns: a net.Listener whose connections are *Conn.
type Listener struct {
	handle
	in      half
	addr    net.Addr
	network string // as Listen was told
	path    string // of a Unix socket, which Close removes
	ended   bool   // nobody may Serve it any more; under services.mu
}

// Listen listens on an address, with package net's names and rules, on streams: tcp, tcp4, tcp6, unix.
func (r *Ring) Listen(network, address string) (*Listener, error) {
	if err := r.usable("listen"); err != nil {
		return nil, err
	}
	nl, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	l := &Listener{addr: nl.Addr(), network: network}
	if ul, ok := nl.(*net.UnixListener); ok {
		ul.SetUnlinkOnClose(false)
		if name := l.addr.String(); name != "" && name[0] != '@' {
			l.path = name
		}
	}
	fd := -1
	if r.portable {
		fd = uring.NewVirtual(threads.NewListener(nl))
	} else {
		fd, err = dup("listen", nl.(syscall.Conn))
		nl.Close()
	}
	if err != nil {
		l.unlink()
		return nil, l.opError("listen", err)
	}
	if l.addr.Network() == "tcp" {
		uring.TuneTCP(fd) // the connections inherit it
	}
	l.init(r, fd)
	l.socket = true
	runtime.SetFinalizer(l, func(l *Listener) { l.once.Do(func() { uring.CloseFD(l.fd) }) }) // by now path may be another's
	return l, nil
}

func (l *Listener) closeFD() error {
	l.unlink()
	return uring.CloseFD(l.fd)
}

func (l *Listener) unlink() {
	if l.path != "" {
		os.Remove(l.path)
	}
}

func (l *Listener) opError(op string, err error) error { return l.netError(op, err) }

func (l *Listener) netError(op string, err error) *net.OpError {
	return &net.OpError{Op: op, Net: l.network, Addr: l.addr, Err: plainError(err)}
}

// Accept takes the next connection, a *Conn.
func (l *Listener) Accept() (net.Conn, error) {
	if l == nil || l.r == nil {
		return nil, invalid("accept", "nil Listener")
	}
	l.in.turn.Lock()
	defer l.in.turn.Unlock()
	for {
		c, ok, err := l.in.accept(&l.handle)
		if !ok {
			var o *op
			if o, err = l.in.run(&l.handle, &call{kind: kindAccept}); err == nil {
				c, err = take[*Conn](o, o.retire())
			}
		}
		if errors.Is(err, syscall.ECONNABORTED) {
			continue // it was gone before anybody took it
		}
		if err != nil {
			return nil, l.opError("accept", err)
		}
		c.network = l.network
		return c, nil
	}
}

// Close wakes what waits in Accept (with net.ErrClosed), and returns when the descriptor is closed. It removes the file
// of a Unix socket. Another Ring's Accept on it goes on, and the socket listens for as long: cancel that first.
func (l *Listener) Close() error {
	if l == nil || l.r == nil {
		return invalid("close", "nil Listener")
	}
	l.r.services.endOf(l)
	if err := l.close(l.closeFD); err != nil {
		return l.opError("close", err)
	}
	l.in.drop()
	l.in.setDeadline(time.Time{})
	runtime.SetFinalizer(l, nil)
	return nil
}

// Addr is the address that l listens on.
func (l *Listener) Addr() net.Addr {
	if l == nil {
		return nil
	}
	return l.addr
}

// SetDeadline sets when Accept gives up with os.ErrDeadlineExceeded; a zero time means never.
func (l *Listener) SetDeadline(t time.Time) error {
	if l == nil || l.r == nil {
		return invalid("set deadline", "nil Listener")
	}
	if err := l.refusal(); err != nil {
		return l.opError("set", err)
	}
	l.in.setDeadline(t)
	return nil
}

// SyscallConn gives access to the descriptor, which Close waits for. Its Read obeys the deadline.
func (l *Listener) SyscallConn() (syscall.RawConn, error) {
	if l == nil || l.r == nil {
		return nil, invalid("SyscallConn", "nil Listener")
	}
	return rawConn{&l.handle, &l.in, nil, l.netError}.orObject()
}
