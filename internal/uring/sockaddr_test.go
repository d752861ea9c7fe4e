package uring

import (
	"encoding/binary"
	"net/netip"
	"testing"
)

func TestSockaddrInetRoundTrip(t *testing.T) {
	for _, c := range []struct {
		family int
		addr   string
		scope  uint32
		want   string
		len    uint32
	}{
		{AFInet, "127.0.0.1:80", 0, "127.0.0.1:80", 16},
		{AFInet, "[::ffff:10.1.2.3]:65535", 0, "10.1.2.3:65535", 16},
		{AFInet6, "[::1]:443", 0, "[::1]:443", 28},
		{AFInet6, "[fe80::1]:1", 7, "[fe80::1]:1", 28},
		{AFInet6, "192.0.2.9:53", 0, "[::ffff:192.0.2.9]:53", 28},
	} {
		var s Sockaddr
		for i := range s.buf {
			s.buf[i] = 0xee // an earlier address
		}
		s.SetInet(c.family, netip.MustParseAddrPort(c.addr), c.scope)
		if s.Len() != c.len || s.Family() != c.family {
			t.Errorf("%s: length %d, family %d", c.addr, s.Len(), s.Family())
		}
		ap, scope := s.Inet()
		if ap != netip.MustParseAddrPort(c.want) || scope != c.scope {
			t.Errorf("%s: came back as %v, scope %d", c.addr, ap, scope)
		}
	}
}

// struct sockaddr_in and sockaddr_in6: port and address in network order, the scope in the machine's.
func TestSockaddrInetBytes(t *testing.T) {
	var s Sockaddr
	s.SetInet(AFInet, netip.MustParseAddrPort("1.2.3.4:258"), 0)
	if got := [8]byte(s.buf[:8]); native.Uint16(got[:]) != 2 || [6]byte(got[2:]) != [6]byte{1, 2, 1, 2, 3, 4} {
		t.Errorf("sockaddr_in begins with % x", got)
	}
	for i, b := range s.buf[8:16] {
		if b != 0 {
			t.Errorf("sin_zero[%d] is %#x", i, b)
		}
	}
	s.SetInet(AFInet6, netip.MustParseAddrPort("[102:304::f]:258"), 0x01020304)
	if native.Uint16(s.buf[:]) != 10 || binary.BigEndian.Uint16(s.buf[2:]) != 258 || native.Uint32(s.buf[4:]) != 0 {
		t.Errorf("sockaddr_in6 begins with % x", s.buf[:8])
	}
	if s.buf[8] != 1 || s.buf[11] != 4 || s.buf[23] != 0xf || native.Uint32(s.buf[24:]) != 0x01020304 {
		t.Errorf("sin6_addr and sin6_scope_id are % x", s.buf[8:28])
	}
}

func TestSockaddrUnixNames(t *testing.T) {
	for _, c := range []struct{ name, want string }{
		{"", "@"},                             // unnamed: the family alone; package net says @ too
		{"/run/a.sock\x00", "/run/a.sock"},    // as the kernel writes it
		{"/run/a.sock", "/run/a.sock"},        // without the zero
		{"/run/a\x00garbage", "/run/a"},       // the zero ends a path
		{"\x00hidden", "@hidden"},             // abstract, as package net writes it
		{"\x00with\x00zero", "@with\x00zero"}, // in which zeros count
		{"\x00", "@"},                         // the shortest abstract name
		{longName(), longName()},              // all of sun_path
	} {
		var s Sockaddr
		native.PutUint16(s.buf[:], AFUnix)
		copy(s.buf[2:], c.name)
		s.len = uint32(2 + len(c.name))
		if s.Family() != AFUnix || s.Path() != c.want {
			t.Errorf("%q: family %d, path %q, want %q", c.name, s.Family(), s.Path(), c.want)
		}
	}
}

func longName() string {
	b := make([]byte, 108)
	for i := range b {
		b[i] = 'a' + byte(i%26)
	}
	return string(b)
}

func TestSockaddrWithoutAddress(t *testing.T) {
	var s Sockaddr
	if s.Family() != 0 || s.Len() != 0 {
		t.Errorf("family %d, length %d", s.Family(), s.Len())
	}
	s.Reset()
	if s.Len() != 112 {
		t.Errorf("there is room for %d bytes", s.Len())
	}
	s.len = 300 // the kernel says how long it would have been
	if s.Len() != 112 {
		t.Errorf("an address of 300 bytes is %d long", s.Len())
	}
	s = Sockaddr{}
	s.len = 300
	native.PutUint16(s.buf[:], AFUnix)
	if s.Path() != "@"+string(make([]byte, 109)) {
		t.Errorf("the path is %q", s.Path())
	}
}
