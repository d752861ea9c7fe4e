package uring

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SendNow sends what of p can be sent at once (sendto(2), MSG_DONTWAIT), EAGAIN if nothing. p is not empty.
func SendNow(fd int, p []byte) (int, syscall.Errno) {
	const flags = unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL
	if len(p) <= FewBytes {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
		return int(n), errno
	}
	n, _, errno := syscall.Syscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
	return int(n), errno
}

// RecvNow receives what is there (recvfrom(2), MSG_DONTWAIT), EAGAIN if nothing. p is not empty.
func RecvNow(fd int, p []byte) (int, syscall.Errno) {
	const flags = unix.MSG_DONTWAIT
	if len(p) <= FewBytes {
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
		return int(n), errno
	}
	n, _, errno := syscall.Syscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
	return int(n), errno
}

// ReadNow reads what of the file lies in the page cache (preadv2(2), RWF_NOWAIT), at its position if off is -1; EAGAIN if
// nothing does, EOPNOTSUPP if the file system can't tell. p is not empty.
func ReadNow(fd int, p []byte, off int64) (int, syscall.Errno) {
	const nowait = 8 // RWF_NOWAIT
	v := Iovec{base: uintptr(unsafe.Pointer(unsafe.SliceData(p))), len: uintptr(len(p))}
	if len(p) <= FewBytes {
		n, _, errno := syscall.RawSyscall6(unix.SYS_PREADV2, uintptr(fd), uintptr(unsafe.Pointer(&v)), 1, uintptr(off), uintptr(off>>32), nowait)
		return int(n), errno
	}
	n, _, errno := syscall.Syscall6(unix.SYS_PREADV2, uintptr(fd), uintptr(unsafe.Pointer(&v)), 1, uintptr(off), uintptr(off>>32), nowait)
	return int(n), errno
}
