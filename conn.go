package rio

import (
	"context"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
	"weak"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// A Conn is a connection that a Ring owns: a net.Conn, deadlines included, that goes into every operation that takes a
// connection. Any number of goroutines may use it. Its methods take no ticket: a thousand idle connections keep nobody
// from starting an operation.
type Conn struct {
	handle
	rd, wr        half
	sotype        int  // SOCK_*
	foreign       bool // accepted by somebody else's listener
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
		c.local, c.remote = nc.LocalAddr(), nc.RemoteAddr()
	}
	return c, err
}

// NewConn takes f, a connected socket, over: from here on only the Conn is used, and closed. Closing f afterwards is
// harmless.
func (r *Ring) NewConn(f *os.File) (*Conn, error) {
	if err := r.usable("NewConn"); err != nil {
		return nil, err
	}
	fd, err := dup("NewConn", f)
	if err != nil {
		return nil, err
	}
	c, err := r.newConn(fd)
	if err != nil {
		return nil, err
	}
	f.Close()
	return c, nil
}

// newConn makes a Conn of fd, which it closes if that fails.
func (r *Ring) newConn(fd int) (*Conn, error) {
	sotype, err := uring.SocketType(fd)
	if err != nil {
		uring.CloseFD(fd)
		return nil, err
	}
	c := &Conn{sotype: sotype}
	c.own(r, fd)
	return c, nil
}

// own makes fd c's. Should c be forgotten, it is closed: no operation is in flight then, for those hold c.
func (c *Conn) own(r *Ring, fd int) {
	c.init(r, fd)
	c.socket = true
	runtime.SetFinalizer(c, func(c *Conn) {
		c.r.orphans.remove(c)
		c.once.Do(func() { uring.CloseFD(c.fd) })
	})
}

// arrive makes fd, which o has accepted, c's. Until somebody takes it, it is an orphan. Under cq.mu.
func (c *Conn) arrive(r *Ring, fd int, o *op) {
	c.own(r, fd)
	c.foreign = o.h == nil
	c.remote = nil
	r.orphans.add(c)
}

// accepted is what the taker of an accept gets: c, unless the Ring has closed it.
func (c *Conn) accepted(sa *uring.Sockaddr) (*Conn, error) {
	if !c.r.orphans.remove(c) {
		return nil, ErrClosed
	}
	c.sotype, _ = uring.SocketType(c.fd)
	c.remote = c.addr(sa)
	if c.foreign && c.sotype == uring.SockStream && sa.Family() != uring.AFUnix {
		uring.TuneTCP(c.fd) // a Listener has told its connections already
	}
	return c, nil
}

// orphans are accepted connections that nobody has taken. It does not keep them alive.
type orphans struct {
	mu   sync.Mutex
	last uint64
	m    map[uint64]weak.Pointer[Conn]
}

func (s *orphans) add(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil {
		s.m = map[uint64]weak.Pointer[Conn]{}
	}
	s.last++
	c.id = s.last
	s.m[c.id] = weak.Make(c)
}

func (s *orphans) remove(c *Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.m[c.id]
	delete(s.m, c.id)
	return ok
}

func (s *orphans) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.m {
		if c := w.Value(); c != nil {
			c.once.Do(func() { c.err = uring.CloseFD(c.fd) })
		}
	}
	s.m = nil
}

// addr is sa as package net says it.
func (c *Conn) addr(sa *uring.Sockaddr) net.Addr {
	switch sa.Family() {
	case uring.AFInet, uring.AFInet6:
		ap, scope := sa.Inet()
		zone := ""
		if scope != 0 {
			zone = strconv.Itoa(int(scope))
			if i, err := net.InterfaceByIndex(int(scope)); err == nil {
				zone = i.Name
			}
		}
		if c.sotype == uring.SockStream {
			return &net.TCPAddr{IP: ap.Addr().Unmap().AsSlice(), Port: int(ap.Port()), Zone: zone}
		}
		return &net.UDPAddr{IP: ap.Addr().Unmap().AsSlice(), Port: int(ap.Port()), Zone: zone}
	case uring.AFUnix:
		network := "unix"
		switch c.sotype {
		case uring.SockDgram:
			network = "unixgram"
		case uring.SockSeqpacket:
			network = "unixpacket"
		}
		return &net.UnixAddr{Net: network, Name: sa.Path()}
	}
	return nil
}

// opError is err as package net says it.
func (c *Conn) opError(op string, err error) error {
	e := &net.OpError{Op: op, Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: plainError(err)}
	if e.Addr != nil {
		e.Net = e.Addr.Network()
	}
	return e
}

// Read receives up to len(p) bytes (recv(2)); io.EOF at the end of the stream.
func (c *Conn) Read(p []byte) (n int, err error) {
	if c == nil || c.r == nil {
		return 0, invalid("read", "nil Conn")
	}
	c.rd.turn.Lock()
	defer c.rd.turn.Unlock()
	o, err := c.rd.run(&c.handle, call{kind: kindRecv, buf: p})
	if err == nil {
		n, err = take[int](o, o.retire())
	}
	if err != nil {
		return 0, c.opError("read", err)
	}
	if n == 0 && len(p) > 0 && (c.sotype == uring.SockStream || c.sotype == uring.SockSeqpacket) {
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
		o, err := c.wr.run(&c.handle, call{kind: kindSend, buf: p[n:]})
		m := 0
		if err == nil {
			m, err = take[int](o, o.retire())
		}
		if err != nil {
			return n, c.opError("write", err)
		}
		if n += m; n >= len(p) {
			return n, nil
		}
		if m == 0 {
			return n, c.opError("write", io.ErrUnexpectedEOF)
		}
	}
}

// Close wakes what waits on c (with net.ErrClosed), and returns when the descriptor is closed, with close(2)'s error.
func (c *Conn) Close() error {
	if c == nil || c.r == nil {
		return invalid("close", "nil Conn")
	}
	if err := c.close(func() error { return uring.CloseFD(c.fd) }); err != nil {
		return c.opError("close", err)
	}
	c.rd.setDeadline(time.Time{})
	c.wr.setDeadline(time.Time{})
	runtime.SetFinalizer(c, nil)
	return nil
}

// CloseRead shuts down the receiving side (shutdown(2), SHUT_RD).
func (c *Conn) CloseRead() error { return c.shutdown(false) }

// CloseWrite shuts down the sending side: the peer reads the end of the stream (shutdown(2), SHUT_WR).
func (c *Conn) CloseWrite() error { return c.shutdown(true) }

func (c *Conn) shutdown(write bool) error {
	if c == nil || c.r == nil {
		return invalid("close", "nil Conn")
	}
	if !c.get() {
		return c.opError("close", c.closedError())
	}
	defer c.put()
	if err := uring.Shutdown(c.fd, write); err != nil {
		return c.opError("close", err)
	}
	return nil
}

// LocalAddr is this end's address.
func (c *Conn) LocalAddr() net.Addr {
	if c == nil || c.r == nil {
		return nil
	}
	return c.name(&c.local, uring.Sockname)
}

// RemoteAddr is the peer's address; nil while there is none.
func (c *Conn) RemoteAddr() net.Addr {
	if c == nil || c.r == nil {
		return nil
	}
	return c.name(&c.remote, uring.Peername)
}

// name returns *known, or asks the kernel. It is kept once the socket is connected: before that it may change.
func (c *Conn) name(known *net.Addr, ask func(fd int, sa *uring.Sockaddr) error) net.Addr {
	c.rd.mu.Lock()
	defer c.rd.mu.Unlock()
	if *known != nil || !c.get() {
		return *known
	}
	defer c.put()
	var sa, peer uring.Sockaddr
	if ask(c.fd, &sa) != nil {
		return nil
	}
	addr := c.addr(&sa)
	if uring.Peername(c.fd, &peer) == nil {
		*known = addr
	}
	return addr
}

// SetDeadline, SetReadDeadline and SetWriteDeadline set when Read and Write give up with os.ErrDeadlineExceeded, pending
// ones too; a zero time means never. Operations of Ring on c are not affected.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline is SetDeadline for Read.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(t, false) }

// SetWriteDeadline is SetDeadline for Write.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(t, true) }

func (c *Conn) setDeadline(t time.Time, write bool) error {
	switch {
	case c == nil || c.r == nil:
		return invalid("set deadline", "nil Conn")
	case c.closed():
		return c.opError("set", c.closedError())
	case write:
		c.wr.setDeadline(t)
	default:
		c.rd.setDeadline(t)
	}
	return nil
}

// SyscallConn gives access to the descriptor, which Close waits for.
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	if c == nil || c.r == nil {
		return nil, invalid("SyscallConn", "nil Conn")
	}
	return rawConn{&c.handle}, nil
}
