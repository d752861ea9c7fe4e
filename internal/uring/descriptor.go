package uring

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// What is asked of a descriptor that is no file's alone: the system is, or the Virtual.

// CloseFD closes fd.
func CloseFD(fd int) error {
	o := Object(fd)
	if o == nil {
		return closeFD(fd)
	}
	FreeVirtual(fd)
	if c, ok := o.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// Alignment asks statx(2) what O_DIRECT wants of fd (STATX_DIOALIGN).
func Alignment(fd int) (mem, off int, err error) {
	if fd >= firstVirtual {
		if v, ok := VirtualOf(fd).(interface{ Alignment() (mem, off int) }); ok {
			mem, off = v.Alignment()
			return mem, off, nil
		}
		return 0, 0, os.NewSyscallError("statx", errors.ErrUnsupported)
	}
	return alignment(fd)
}

// Sockname and Peername fill s (getsockname(2), getpeername(2)).
func Sockname(fd int, s *Sockaddr) error {
	if o, ok := Object(fd).(interface{ LocalAddr() net.Addr }); ok {
		return s.setNet("getsockname", o.LocalAddr())
	}
	return sockname(fd, s)
}

// Peername is Sockname for the other end.
func Peername(fd int, s *Sockaddr) error {
	if o, ok := Object(fd).(interface{ RemoteAddr() net.Addr }); ok {
		return s.setNet("getpeername", o.RemoteAddr())
	}
	return peername(fd, s)
}

// Domain is the socket's address family (SO_DOMAIN).
func Domain(fd int) (int, error) {
	switch o := Object(fd).(type) {
	case nil:
	case interface{ Domain() (int, error) }:
		return o.Domain()
	default:
		if _, socket, _ := FileType(fd); !socket {
			return 0, os.NewSyscallError("getsockopt", syscall.ENOTSOCK)
		}
		return 0, os.NewSyscallError("getsockopt", errors.ErrUnsupported)
	}
	return domain(fd)
}

// SocketType is the socket's type (SO_TYPE).
func SocketType(fd int) (int, error) {
	if o, ok := Object(fd).(interface{ SocketType() int }); ok {
		return o.SocketType(), nil
	}
	return socketType(fd)
}

// Shutdown ends one direction of a connection (shutdown(2)).
func Shutdown(fd int, write bool) error {
	if o, ok := Object(fd).(interface{ Shutdown(write bool) error }); ok {
		return o.Shutdown(write)
	}
	return shutdown(fd, write)
}

// SetOption sets an option of the socket fd (setsockopt(2)).
func SetOption(fd int, o Option, v int) error {
	if s, ok := Object(fd).(interface{ SetOption(Option, int) error }); ok {
		return s.SetOption(o, v)
	}
	return setOption(fd, o, v)
}

// SetLinger says how long close(2) may wait for what was sent; not at all if sec is negative (SO_LINGER).
func SetLinger(fd, sec int) error {
	if o, ok := Object(fd).(interface{ SetLinger(sec int) error }); ok {
		return o.SetLinger(sec)
	}
	return setLinger(fd, sec)
}

// setNet makes s what package net calls a.
func (s *Sockaddr) setNet(call string, a net.Addr) error {
	s.len = 0
	switch a := a.(type) {
	case *net.TCPAddr:
		s.setIP(a.IP, a.Port, a.Zone)
	case *net.UDPAddr:
		s.setIP(a.IP, a.Port, a.Zone)
	case *net.UnixAddr:
		s.SetUnix(a.Name)
	default:
		return os.NewSyscallError(call, syscall.ENOTCONN)
	}
	return nil
}
