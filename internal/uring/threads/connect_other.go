//go:build !unix

package threads

import (
	"errors"
	"net"
	"os"
	"syscall"
)

func family(any) (int, error) { return 0, os.NewSyscallError("getsockname", errors.ErrUnsupported) }

func name(net.Conn, bool) net.Addr { return nil }

func connect(any, *request) error { return syscall.ENOSYS }
