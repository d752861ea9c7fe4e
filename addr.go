package rio

import (
	"net"
	"net/netip"
	"strconv"

	"github.com/seed-9c58b644/rio/internal/uring"
)

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

// name returns *known, or asks the kernel. It is kept once the socket is connected: before that it may change, and of a datagram
// socket at any time.
func (c *Conn) name(known *net.Addr, ask func(fd int, sa *uring.Sockaddr) error) net.Addr {
	c.rd.mu.Lock()
	defer c.rd.mu.Unlock()
	if *known != nil && c.sotype != uring.SockDgram || !c.get() {
		return *known
	}
	defer c.put()
	var sa, peer uring.Sockaddr
	if ask(c.fd, &sa) != nil {
		return *known
	}
	addr := c.addr(&sa)
	if uring.Peername(c.fd, &peer) == nil {
		*known = addr
	}
	return addr
}

// askPeer asks for the address of an accepted connection's peer. One that has reset it has none any more, but an address of that
// family without a name: of what it sent before, who it was is all that is lost.
func askPeer(fd int, sa *uring.Sockaddr) {
	if uring.Peername(fd, sa) == nil {
		return
	}
	var own uring.Sockaddr
	switch _ = uring.Sockname(fd, &own); own.Family() {
	case uring.AFUnix:
		sa.SetUnix("")
	case uring.AFInet6:
		sa.SetInet(uring.AFInet6, netip.AddrPortFrom(netip.IPv6Unspecified(), 0), 0)
	default:
		sa.SetInet(uring.AFInet, netip.AddrPortFrom(netip.IPv4Unspecified(), 0), 0)
	}
}

// keepNames has c know its addresses when its descriptor is gone.
func (c *Conn) keepNames() {
	c.RemoteAddr()
	local := c.LocalAddr()
	c.rd.mu.Lock()
	defer c.rd.mu.Unlock()
	if c.local == nil {
		c.local = local // of a socket without a peer, or whose peer has gone
	}
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
func (c *Conn) opError(op string, err error) error { return c.netError(op, err) }

func (c *Conn) netError(op string, err error) *net.OpError {
	e := &net.OpError{Op: op, Net: c.network, Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: plainError(err)}
	if e.Net == "" && e.Addr != nil {
		e.Net = e.Addr.Network()
	} else if e.Net == "" && e.Source != nil {
		e.Net = e.Source.Network() // it has no peer
	}
	return e
}

// setError is err as package net says it of a deadline or a buffer: with this end's address alone.
func (c *Conn) setError(err error) error {
	e := c.netError("set", err)
	e.Source, e.Addr = nil, e.Source
	return e
}
