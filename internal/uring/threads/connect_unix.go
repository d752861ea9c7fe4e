//go:build unix

package threads

import (
	"net"
	"os"
	"syscall"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// family is the address family of the socket f, in Linux's numbers.
func family(f any) (domain int, err error) {
	err = control(f, func(fd int) error {
		sa, err := syscall.Getsockname(fd)
		switch sa.(type) {
		case *syscall.SockaddrInet4:
			domain = uring.AFInet
		case *syscall.SockaddrInet6:
			domain = uring.AFInet6
		case *syscall.SockaddrUnix:
			domain = uring.AFUnix
		}
		return os.NewSyscallError("getsockname", err)
	})
	return domain, err
}

// connect is connect(2) of the socket f, which waits on Go's poller if it doesn't block.
func connect(f any, r *request) error {
	raw, err := rawOf(f)
	if err != nil {
		return err
	}
	var sa syscall.Sockaddr
	if ap, scope := r.Inet(); ap.Addr().Is4() {
		sa = &syscall.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}
	} else {
		sa = &syscall.SockaddrInet6{Port: int(ap.Port()), Addr: ap.Addr().As16(), ZoneId: scope}
	}
	begun := false
	var errno error
	err = raw.Write(func(fd uintptr) bool {
		if begun {
			v, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR)
			if errno = err; err == nil && v != 0 {
				errno = syscall.Errno(v)
			}
			if errno != nil {
				return true
			}
		}
		switch errno = syscall.Connect(int(fd), sa); errno { // once more when it has ended: only that settles it on Linux
		case syscall.EINPROGRESS, syscall.EALREADY, syscall.EINTR:
			begun = true
			return false
		case syscall.EISCONN:
			if begun {
				errno = nil
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	return errno
}

// name is the address of the socket c, or its peer's; nil if it has none that is an IP address.
func name(c net.Conn, peer bool) (a net.Addr) {
	control(c, func(fd int) error {
		get := syscall.Getsockname
		if peer {
			get = syscall.Getpeername
		}
		sa, err := get(fd)
		var ip net.IP
		var port int
		var zone string
		switch sa := sa.(type) {
		case *syscall.SockaddrInet4:
			ip, port = sa.Addr[:], sa.Port
		case *syscall.SockaddrInet6:
			ip, port = sa.Addr[:], sa.Port
			if i, err := net.InterfaceByIndex(int(sa.ZoneId)); err == nil {
				zone = i.Name
			}
		default:
			return err
		}
		if _, ok := c.(*net.UDPConn); ok {
			a = &net.UDPAddr{IP: ip, Port: port, Zone: zone}
		} else {
			a = &net.TCPAddr{IP: ip, Port: port, Zone: zone}
		}
		return nil
	})
	return a
}

// control calls do while f's descriptor stays open.
func control(f any, do func(fd int) error) error {
	raw, err := rawOf(f)
	if err != nil {
		return err
	}
	var inner error
	if err = raw.Control(func(fd uintptr) { inner = do(int(fd)) }); err != nil {
		return err
	}
	return inner
}

func rawOf(f any) (syscall.RawConn, error) {
	if c, ok := f.(syscall.Conn); ok {
		return c.SyscallConn()
	}
	return nil, syscall.ENOTSOCK
}
