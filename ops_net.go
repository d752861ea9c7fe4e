package rio

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// Accept takes a connection from l, as accept4(2) does (IORING_OP_ACCEPT): close-on-exec, and its peer is known. l is any
// listener with a descriptor: *Listener, *net.TCPListener, *net.UnixListener. A connection that nobody takes from the
// Completion is closed: when that is forgotten, or with the Ring.
func (r *Ring) Accept(l net.Listener, order ...Ordering) Completion[*Conn] {
	return Completion[*Conn]{r.start(&call{kind: kindAccept, file: l}, order)}
}

// Accept is Ring.Accept.
func (c *Chain) Accept(l net.Listener) Completion[*Conn] {
	return Completion[*Conn]{c.add(&call{kind: kindAccept, file: l})}
}

// Connect connects the socket c to addr, as connect(2) does (IORING_OP_CONNECT). An IPv4 address works on an IPv6 socket
// too; the other way round is EAFNOSUPPORT.
func (r *Ring) Connect(c syscall.Conn, addr netip.AddrPort, order ...Ordering) Completion[struct{}] {
	return Completion[struct{}]{r.start(&call{kind: kindConnect, file: c, peer: &peer{addr: addr}}, order)}
}

// Connect is Ring.Connect.
func (c *Chain) Connect(s syscall.Conn, addr netip.AddrPort) Completion[struct{}] {
	return Completion[struct{}]{c.add(&call{kind: kindConnect, file: s, peer: &peer{addr: addr}})}
}

// Send sends p over c, as send(2) does with MSG_NOSIGNAL (IORING_OP_SEND). The result may be short; with Link it is
// complete when all of p is sent (MSG_WAITALL). c is what net.Dial or Accept return; one without a descriptor, like a
// tls.Conn, is an error.
//
// The kernel may read from p until the Completion resolves: don't change it before. The ring keeps it alive and in place.
func (r *Ring) Send(c net.Conn, p []byte, order ...Ordering) Completion[int] {
	return Completion[int]{r.start(&call{kind: kindSend, file: c, buf: p}, order)}
}

// Send is Ring.Send. Unless it is the Chain's last operation it is complete when all of p is sent.
func (c *Chain) Send(conn net.Conn, p []byte) Completion[int] {
	return Completion[int]{c.add(&call{kind: kindSend, file: conn, buf: p, mode: waitAll})}
}

// Recv receives into p from c, as recv(2) does (IORING_OP_RECV). The result may be short, and is 0 at the end of the
// stream, and for an empty p; with Link it is complete when p is full (MSG_WAITALL).
//
// The kernel may write to p until the Completion resolves: don't touch it before. The ring keeps it alive and in place.
func (r *Ring) Recv(c net.Conn, p []byte, order ...Ordering) Completion[int] {
	return Completion[int]{r.start(&call{kind: kindRecv, file: c, buf: p}, order)}
}

// Recv is Ring.Recv. Unless it is the Chain's last operation it is complete when p is full.
func (c *Chain) Recv(conn net.Conn, p []byte) Completion[int] {
	return Completion[int]{c.add(&call{kind: kindRecv, file: conn, buf: p, mode: waitAll})}
}

// waitAll in call.mode asks for all of the buffer (MSG_WAITALL).
const waitAll = 1

// checkAddr looks at what can be seen of c's address without the socket.
func (c *call) checkAddr() error {
	if !c.peer.addr.IsValid() {
		return invalid("connect", "the address is not valid")
	}
	zone := c.peer.addr.Addr().Zone()
	if zone == "" {
		return nil
	}
	if i, err := net.InterfaceByName(zone); err == nil {
		c.peer.scope = uint32(i.Index)
	} else if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		c.peer.scope = uint32(n)
	} else {
		return badArg("connect", "there is no network interface "+strconv.Quote(zone))
	}
	return nil
}

// socket asks for the family of the socket that is to be connected.
func (c *call) socket(fd int) error {
	domain, err := uring.Domain(fd)
	if err != nil {
		return fmt.Errorf("rio: connect: %w", err)
	}
	return c.family(domain)
}

// family checks that c's address can be one of the socket's family.
func (c *call) family(domain int) error {
	c.peer.inet = domain
	a := c.peer.addr.Addr()
	if domain == uring.AFInet6 || domain == uring.AFInet && (a.Is4() || a.Is4In6()) {
		return nil
	}
	family := map[int]string{uring.AFInet: "an IPv4", uring.AFUnix: "a Unix"}[domain]
	if family == "" {
		family = "not an IP"
	}
	return fmt.Errorf("rio: connect: %s for a socket that is %s socket: %w", c.peer.addr.String(), family, syscall.EAFNOSUPPORT)
}
