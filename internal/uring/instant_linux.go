package uring

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SendNow sends what of p can be sent at once (sendto(2), MSG_DONTWAIT), EAGAIN if nothing. p is not empty.
func SendNow(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	return int(n), errno
}

// RecvNow receives what is there (recvfrom(2), MSG_DONTWAIT), EAGAIN if nothing. p is not empty.
func RecvNow(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
		unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}
