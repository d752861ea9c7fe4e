package calls

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// A Descriptor is one of the process's, and what has to be known of it.
type Descriptor struct {
	FD       int
	Bounded  bool // what is asked of it ends by itself
	Socket   bool
	Nonblock bool
}

// Describe asks the kernel about fd.
func Describe(fd int) Descriptor {
	d := Descriptor{FD: fd}
	if d.Bounded, d.Socket, _ = uring.FileType(fd); !d.Bounded {
		d.Nonblock = uring.FileFlags(fd)&unix.O_NONBLOCK != 0
	}
	return d
}

// DescribeFor is Describe for an operation that may not need all of it.
func DescribeFor(fd int, op uring.Opcode) Descriptor {
	switch op {
	case uring.OpFsync, uring.OpSyncFileRange, uring.OpFallocate:
		return Descriptor{FD: fd, Bounded: true}
	case uring.OpSend, uring.OpRecv, uring.OpConnect:
		return Descriptor{FD: fd, Socket: true}
	case uring.OpAccept:
		return Descriptor{FD: fd, Socket: true, Nonblock: uring.FileFlags(fd)&unix.O_NONBLOCK != 0}
	case uring.OpPollAdd:
		return Descriptor{FD: fd}
	}
	return Describe(fd)
}

// Perform does what r asks for. blocked says that it has to wait first, for Events, and then to be performed again. Of a
// Descriptor that isn't Bounded it never waits itself, unless somebody else takes what there was to be read from a device, or a pipe
// that can't be opened once more, that isn't O_NONBLOCK.
func (d *Descriptor) Perform(r *uring.Request, p *Progress) (res int32, blocked bool) {
	addr := uintptr(r.Addr.Uint64())
	switch r.Op {
	case uring.OpPollAdd:
		ev := d.Poll(Events(r))
		return int32(ev), ev == 0
	case uring.OpFsync:
		return -int32(uring.Sync(d.FD, r.OpFlags&uring.FsyncDatasync != 0)), false
	case uring.OpSyncFileRange:
		return failure(unix.SyncFileRange(d.FD, int64(r.Off), int64(r.Len), int(r.OpFlags))), false
	case uring.OpFallocate:
		return failure(unix.Fallocate(d.FD, r.Len, int64(r.Off), int64(r.Addr.Uint64()))), false
	case uring.OpAccept:
		return d.accept(r, addr)
	case uring.OpConnect:
		return d.connect(r, p, addr)
	case uring.OpRead, uring.OpReadv, uring.OpWrite, uring.OpWritev, uring.OpSend, uring.OpRecv:
	default:
		return -int32(unix.EINVAL), false
	}
	if d.Bounded {
		return d.file(r, addr), false
	}
	return d.stream(r, p)
}

// Events are what r has to wait for.
func Events(r *uring.Request) int16 {
	switch r.Op {
	case uring.OpPollAdd:
		return int16(uring.PollEvents(r.OpFlags))
	case uring.OpWrite, uring.OpWritev, uring.OpSend, uring.OpConnect:
		return unix.POLLOUT
	}
	return unix.POLLIN
}

// again calls until no signal is in the way.
func again(call func() (n, _ uintptr, errno syscall.Errno)) int32 {
	for {
		switch n, _, errno := call(); errno {
		case 0:
			return int32(n)
		case unix.EINTR:
		default:
			return -int32(errno)
		}
	}
}

func failure(err error) int32 {
	errno, _ := err.(syscall.Errno)
	return -int32(errno)
}

// Poll is what of events has happened.
func (d *Descriptor) Poll(events int16) int16 {
	fds := []unix.PollFd{{Fd: int32(d.FD), Events: events}}
	for {
		if _, err := unix.Poll(fds, 0); err != unix.EINTR {
			return fds[0].Revents
		}
	}
}

// file is a read or write of what ends by itself. Offset -1 is the file's position, as for a ring; the calls are those that
// old kernels have, too, and every seccomp filter allows. They are made without package unix's help, which would tell the race
// detector, whom the Ring's witness tells.
func (d *Descriptor) file(r *uring.Request, addr uintptr) int32 {
	nr := uintptr(unix.SYS_PREADV)
	switch writes := r.Op == uring.OpWrite || r.Op == uring.OpWritev; {
	case r.Op == uring.OpSend || r.Op == uring.OpRecv:
		return -int32(unix.ENOTSOCK)
	case writes && r.Off == ^uint64(0):
		nr = unix.SYS_WRITEV
	case writes:
		nr = unix.SYS_PWRITEV
	case r.Off == ^uint64(0):
		nr = unix.SYS_READV
	}
	vectored := r.Op == uring.OpReadv || r.Op == uring.OpWritev
	one := [2]uintptr{addr, uintptr(r.Len)} // a struct iovec
	for {
		var n uintptr
		var errno syscall.Errno
		if vectored {
			n, _, errno = unix.Syscall6(nr, uintptr(d.FD), addr, uintptr(r.Len), uintptr(r.Off), uintptr(r.Off>>32), 0)
		} else {
			n, _, errno = unix.Syscall6(nr, uintptr(d.FD), uintptr(unsafe.Pointer(&one)), 1, uintptr(r.Off), uintptr(r.Off>>32), 0)
		}
		switch {
		case errno == 0:
			return int32(n)
		case errno == unix.EISDIR && r.Op == uring.OpRead && r.Len == 0:
			return 0 // which a ring says, and preadv doesn't
		case errno != unix.EINTR:
			return -int32(errno)
		}
	}
}
