package uring

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"structs"
	"unsafe"
)

// Socket types, Linux's numbers.
const (
	SockStream    = 1
	SockDgram     = 2
	SockSeqpacket = 5
)

// A Sockaddr is a struct sockaddr_storage and its length, in one object that can be pinned.
type Sockaddr struct {
	_   structs.HostLayout
	len uint32
	_   uint32
	buf [112]byte
}

// Address families, Linux's numbers.
const (
	AFUnix  = 1
	AFInet  = 2
	AFInet6 = 10
)

// Reset makes room for an address that the kernel will write.
func (s *Sockaddr) Reset() { s.len = uint32(len(s.buf)) }

// Len is the length of the address.
func (s *Sockaddr) Len() uint32 { return min(s.len, uint32(len(s.buf))) }

// Family is the address's family; 0 if there is no address.
func (s *Sockaddr) Family() int {
	if s.len < 2 {
		return 0
	}
	return int(binary.NativeEndian.Uint16(s.buf[:]))
}

// SetInet makes s the address of ap for a socket of the given family; scope is the index of ap's zone.
func (s *Sockaddr) SetInet(family int, ap netip.AddrPort, scope uint32) {
	*s = Sockaddr{len: 16}
	binary.NativeEndian.PutUint16(s.buf[:], uint16(family))
	binary.BigEndian.PutUint16(s.buf[2:], ap.Port())
	if family == AFInet {
		a := ap.Addr().Unmap().As4()
		copy(s.buf[4:], a[:])
		return
	}
	a := ap.Addr().As16()
	copy(s.buf[8:], a[:])
	binary.NativeEndian.PutUint32(s.buf[24:], scope)
	s.len = 28
}

// setIP is SetInet for what package net has.
func (s *Sockaddr) setIP(ip net.IP, port int, zone string) {
	a, _ := netip.AddrFromSlice(ip)
	family, scope := AFInet6, 0
	if a = a.Unmap(); a.Is4() {
		family = AFInet
	} else if i, err := net.InterfaceByName(zone); err == nil && zone != "" {
		scope = i.Index
	}
	if !a.IsValid() {
		a = netip.IPv6Unspecified()
	}
	s.SetInet(family, netip.AddrPortFrom(a, uint16(port)), uint32(scope))
}

// SetUnix makes s the address of an AF_UNIX socket that package net calls name.
func (s *Sockaddr) SetUnix(name string) {
	*s = Sockaddr{}
	binary.NativeEndian.PutUint16(s.buf[:], AFUnix)
	n := copy(s.buf[2:], name)
	if s.len = uint32(2 + n); n > 0 && s.buf[2] == '@' {
		s.buf[2] = 0
	}
}

// SetPeer writes a to where an accept wants its peer's address, if it does.
func (q *Request) SetPeer(a net.Addr) {
	if q.Addr.v != 0 {
		v := uintptr(q.Addr.v) - unsafe.Offsetof(Sockaddr{}.buf)
		(*(**Sockaddr)(unsafe.Pointer(&v))).setNet("accept", a)
	}
}

// Inet is where a connect goes to, and the index of its zone.
func (q *Request) Inet() (ap netip.AddrPort, scope uint32) {
	v := uintptr(q.Addr.v) - unsafe.Offsetof(Sockaddr{}.buf)
	return (*(**Sockaddr)(unsafe.Pointer(&v))).Inet()
}

// Inet returns an AF_INET or AF_INET6 address and the index of its zone.
func (s *Sockaddr) Inet() (ap netip.AddrPort, scope uint32) {
	port := binary.BigEndian.Uint16(s.buf[2:])
	if s.Family() == AFInet {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(s.buf[4:8])), port), 0
	}
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(s.buf[8:24])), port), binary.NativeEndian.Uint32(s.buf[24:])
}

// Path returns an AF_UNIX address as package net writes it: an abstract name begins with @.
func (s *Sockaddr) Path() string {
	n := s.Len()
	if n <= 2 {
		return "@" // without a name
	}
	b := s.buf[2:n]
	if b[0] == 0 {
		return "@" + string(b[1:])
	}
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}
