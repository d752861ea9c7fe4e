package rio

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// A Conn is a connection that a Ring owns: a net.Conn, deadlines included, that goes into every operation that takes a
// connection. Any number of goroutines may use it. Its methods take no ticket: a thousand idle connections keep nobody
// from starting an operation. With several Ps its Reads wait on Go's poller, as package net's do, and its Writes send at once
// what they can: with a goroutine for each connection that costs less than the ring, which is better with one P.
type Conn struct {
	handle
	sotype        int // SOCK_*
	rd, wr        half
	foreign       bool   // accepted by somebody else's listener
	network       string // as Dial or Listen was told; "": as the address says
	id            uint64
	local, remote net.Addr
}

// Dial connects to an address, with package net's names and rules (net.Dialer.DialContext).
func (r *Ring) Dial(ctx context.Context, network, address string) (*Conn, error) {
	if ctx == nil {
		return nil, invalid("dial", "nil context")
	}
	if err := r.usable("dial"); err != nil {
		return nil, err
	}
	var d net.Dialer
	nc, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if r.portable {
		c, err := r.portConn(nc)
		if err == nil {
			c.network = network
		}
		return c, err
	}
	defer nc.Close()
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil, invalid("dial", network+" connections have no descriptor")
	}
	fd, err := dup("dial", sc)
	if err != nil {
		return nil, err
	}
	c, err := r.newConn(fd)
	if err == nil {
		c.local, c.remote, c.network = nc.LocalAddr(), nc.RemoteAddr(), network
	}
	return c, err
}

// NewConn takes f, a connected socket, over: from here on only the Conn is used, and closed. Closing f afterwards is
// harmless. The socket becomes O_NONBLOCK, for whoever shares it too, as it does by net.FileConn. A Conn has no ReadFrom or WriteTo for
// addresses: of a datagram socket that is not connected nobody hears who has sent something, so servers of UDP are package net's.
func (r *Ring) NewConn(f *os.File) (*Conn, error) {
	if err := r.usable("NewConn"); err != nil {
		return nil, err
	}
	if r.portable {
		return r.takeConn(f)
	}
	fd, err := dup("NewConn", f)
	if err != nil {
		return nil, err
	}
	if uring.Listens(fd) {
		uring.CloseFD(fd)
		return nil, invalid("NewConn", "the socket listens; Ring.Accept takes one that does")
	}
	c, err := r.newConn(fd)
	if err != nil {
		return nil, err
	}
	uring.SetNonblock(fd, true) // for who waits with SyscallConn
	c.RemoteAddr()              // before it goes
	c.LocalAddr()
	f.Close()
	return c, nil
}

// newConn makes a Conn of fd, which it closes if that fails.
func (r *Ring) newConn(fd int) (*Conn, error) {
	sotype, err := uring.SocketType(fd)
	if err != nil {
		uring.CloseFD(fd)
		return nil, fmt.Errorf("rio: NewConn: not a socket to make a Conn of: %w", err)
	}
	c := &Conn{sotype: sotype}
	c.own(r, fd)
	return c, nil
}

// Read receives up to len(p) bytes (recv(2)); io.EOF at the end of the stream.
func (c *Conn) Read(p []byte) (n int, err error) {
	if c == nil || c.r == nil {
		return 0, invalid("read", "nil Conn")
	}
	if len(p) == 0 && c.refusal() == nil {
		return 0, nil // even after the deadline
	}
	c.rd.takeTurn()
	defer c.rd.turn.Unlock()
	n, ok, err := c.rd.receive(&c.handle, p)
	if !ok {
		err = syscall.EAGAIN
	}
	switch {
	case ok:
	case c.r.byPoller():
		n, err = c.rd.poll(&c.handle, p)
	}
	if err == syscall.EAGAIN {
		var o *op
		if o, err = c.rd.run(&c.handle, &call{kind: kindRecv, buf: p}); err == nil {
			n, err = take[int](o, o.retire())
		}
	}
	if err != nil {
		return 0, c.opError("read", err)
	}
	if n == 0 && (c.sotype == uring.SockStream || c.sotype == uring.SockSeqpacket) {
		return 0, io.EOF
	}
	return n, nil
}

// Write sends all of p (send(2)).
func (c *Conn) Write(p []byte) (n int, err error) {
	if c == nil || c.r == nil {
		return 0, invalid("write", "nil Conn")
	}
	c.wr.turn.Lock()
	defer c.wr.turn.Unlock()
	for {
		m, err := 0, error(syscall.EAGAIN)
		if n < len(p) {
			m, err = c.wr.sendNow(&c.handle, p[n:])
		}
		if err == syscall.EAGAIN {
			var o *op
			if o, err = c.wr.run(&c.handle, &call{kind: kindSend, buf: p[n:]}); err == nil {
				m, err = take[int](o, o.retire())
			}
		}
		if err != nil {
			return n, c.opError("write", err)
		}
		if c.wr.often >= often {
			c.wr.often = 0
			c.r.respite()
		}
		if n += m; n >= len(p) {
			return n, nil
		}
		if m == 0 {
			return n, c.opError("write", io.ErrUnexpectedEOF)
		}
	}
}

// Close wakes what waits on c (with net.ErrClosed), and returns when the descriptor is closed, with close(2)'s error. An operation of
// another Ring on it goes on, and the socket lives for as long: cancel that first.
func (c *Conn) Close() error {
	if c == nil || c.r == nil {
		return invalid("close", "nil Conn")
	}
	c.keepNames()
	if err := c.close(c.closeFD); err != nil {
		return c.opError("close", err)
	}
	c.rd.drop()
	c.rd.setDeadline(time.Time{})
	c.wr.setDeadline(time.Time{})
	runtime.SetFinalizer(c, nil)
	return nil
}

// SyscallConn gives access to the descriptor, which Close waits for. Its Read and Write obey the deadlines.
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	if c == nil || c.r == nil {
		return nil, invalid("SyscallConn", "nil Conn")
	}
	return rawConn{&c.handle, &c.rd, &c.wr, c.netError}.orObject()
}
