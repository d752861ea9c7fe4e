package uring

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// few is how many bytes at most are moved without telling the runtime that it is a system call (RawSyscall6): no device and no
// peer is waited for in here, copying so many takes no longer than a Go program's own copies do, and telling costs more than
// that gains. Memory that has to be fetched first, a mapped file's, holds the P meanwhile, as it does when Go code touches it.
const few = 64 << 10

// SendNow sends what of p can be sent at once (sendto(2), MSG_DONTWAIT), EAGAIN if nothing. p is not empty.
func SendNow(fd int, p []byte) (int, syscall.Errno) {
	const flags = unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL
	if len(p) <= few {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
		return int(n), errno
	}
	n, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
	return int(n), errno
}

// RecvNow receives what is there (recvfrom(2), MSG_DONTWAIT), EAGAIN if nothing. p is not empty.
func RecvNow(fd int, p []byte) (int, syscall.Errno) {
	const flags = unix.MSG_DONTWAIT
	if len(p) <= few {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
		return int(n), errno
	}
	n, _, errno := unix.Syscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
	return int(n), errno
}

// ReadNow reads what of the file lies in the page cache (preadv2(2), RWF_NOWAIT), at its position if off is -1; EAGAIN if
// nothing does, EOPNOTSUPP if the file system can't tell. p is not empty.
func ReadNow(fd int, p []byte, off int64) (int, syscall.Errno) {
	const nowait = 8 // RWF_NOWAIT
	v := Iovec{base: uintptr(unsafe.Pointer(unsafe.SliceData(p))), len: uintptr(len(p))}
	if len(p) <= few {
		n, _, errno := unix.RawSyscall6(unix.SYS_PREADV2, uintptr(fd), uintptr(unsafe.Pointer(&v)), 1, uintptr(off), uintptr(off>>32), nowait)
		return int(n), errno
	}
	n, _, errno := unix.Syscall6(unix.SYS_PREADV2, uintptr(fd), uintptr(unsafe.Pointer(&v)), 1, uintptr(off), uintptr(off>>32), nowait)
	return int(n), errno
}
