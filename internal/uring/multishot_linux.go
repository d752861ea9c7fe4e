package uring

import (
	"errors"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Provide makes a group of n buffers, a power of two, of size bytes each (Loop.Buffers). The caller serialises what it
// does with them, and with the Ring's end.
func (r *Ring) Provide(group uint16, n, size int) (*Buffers, error) {
	if r.kernel != nil {
		return nil, errors.ErrUnsupported
	}
	return (&Loop{ring: r}).Buffers(group, n, size)
}

// Withdraw takes b from the kernel. No request that could take a buffer is in flight.
func (r *Ring) Withdraw(b *Buffers) syscall.Errno { return b.Close(&Loop{ring: r}) }

// Pollable makes an os.File of fd, a socket or an eventfd, whose descriptor it is from now on, that waits on Go's poller.
func Pollable(fd int) *os.File {
	blocking := FileFlags(fd)&unix.O_NONBLOCK == 0
	if blocking { // os.NewFile wants to see it
		unix.SetNonblock(fd, true)
		defer unix.SetNonblock(fd, false)
	}
	return os.NewFile(uintptr(fd), "")
}

// Ended reports whether nothing will ever arrive at the socket fd but what is there (POLLRDHUP).
func Ended(fd int) bool {
	p := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	n, _ := unix.Poll(p[:], 0)
	return n > 0 && p[0].Revents&(unix.POLLRDHUP|unix.POLLHUP) != 0
}

// DupPath makes a descriptor of the same file that is good for fstat(2) alone (O_PATH): closing it drops no locks.
func DupPath(fd int) (int, error) {
	return unix.Open("/proc/self/fd/"+strconv.Itoa(fd), unix.O_PATH|unix.O_CLOEXEC, 0)
}

// SetNonblock sets or clears O_NONBLOCK.
func SetNonblock(fd int, on bool) error { return unix.SetNonblock(fd, on) }
