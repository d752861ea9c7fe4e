package uring

import (
	"os"

	"golang.org/x/sys/unix"
)

// An Option is a socket option whose value is a number.
type Option struct{ level, name int }

// The options that a connection has methods for.
var (
	NoDelay      = Option{unix.IPPROTO_TCP, unix.TCP_NODELAY}
	KeepAlive    = Option{unix.SOL_SOCKET, unix.SO_KEEPALIVE}
	KeepIdle     = Option{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE}
	KeepInterval = Option{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL}
	KeepCount    = Option{unix.IPPROTO_TCP, unix.TCP_KEEPCNT}
	RecvBuffer   = Option{unix.SOL_SOCKET, unix.SO_RCVBUF}
	SendBuffer   = Option{unix.SOL_SOCKET, unix.SO_SNDBUF}
)

func setOption(fd int, o Option, v int) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, o.level, o.name, v))
}

func setLinger(fd, sec int) error {
	var l unix.Linger
	if sec >= 0 {
		l = unix.Linger{Onoff: 1, Linger: int32(sec)}
	}
	return os.NewSyscallError("setsockopt", unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &l))
}
