package riotest

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// target finds what fd stands for: a file of the simulated disk, or a descriptor of the process's.
func (s *Sim) target(fd int) (target, syscall.Errno) {
	if f, ok := uring.VirtualOf(fd).(*openFile); ok && f.s == s {
		return f, 0
	}
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, syscall.EBADF
	}
	d := &descriptor{fd: dup}
	d.ends, d.socket = uring.FileType(dup)
	d.nonblock = uring.FileFlags(dup)&unix.O_NONBLOCK != 0
	return d, 0
}

// A descriptor is one of the process's, duplicated: what is done to it is a system call that doesn't wait.
type descriptor struct {
	fd                     int
	ends, socket, nonblock bool
}

func (d *descriptor) bounded() bool { return d.ends }
func (d *descriptor) release()      { unix.Close(d.fd) }

func (d *descriptor) perform(r *request) (int32, bool) {
	addr := uintptr(r.Addr.Uint64())
	switch r.Op {
	case uring.OpPollAdd:
		ev := d.poll(int16(r.OpFlags))
		return int32(ev), ev == 0
	case uring.OpFsync:
		nr := uintptr(unix.SYS_FSYNC)
		if r.OpFlags&uring.FsyncDatasync != 0 {
			nr = unix.SYS_FDATASYNC
		}
		return result(unix.Syscall(nr, uintptr(d.fd), 0, 0)), false
	case uring.OpSyncFileRange:
		return failure(unix.SyncFileRange(d.fd, int64(r.Off), int64(r.Len), int(r.OpFlags))), false
	case uring.OpFallocate:
		return failure(unix.Fallocate(d.fd, r.Len, int64(r.Off), int64(addr))), false
	case uring.OpAccept:
		listens, _ := unix.GetsockoptInt(d.fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN) // else there is an error to be told
		if listens != 0 && d.poll(unix.POLLIN) == 0 {
			return 0, true
		}
		res := result(unix.Syscall6(unix.SYS_ACCEPT4, uintptr(d.fd), addr, uintptr(r.Off), uintptr(r.OpFlags), 0, 0))
		return res, res == -int32(unix.EAGAIN)
	case uring.OpConnect:
		return d.connect(r, addr)
	}
	if d.ends {
		return d.file(r, addr), false
	}
	return d.stream(r)
}

func result(n, _ uintptr, errno syscall.Errno) int32 {
	if errno != 0 {
		return -int32(errno)
	}
	return int32(n)
}

func failure(err error) int32 {
	errno, _ := err.(syscall.Errno)
	return -int32(errno)
}

// poll is what of events has happened.
func (d *descriptor) poll(events int16) int16 {
	fds := []unix.PollFd{{Fd: int32(d.fd), Events: events}}
	for {
		if _, err := unix.Poll(fds, 0); err != unix.EINTR {
			return fds[0].Revents
		}
	}
}

// connect is begun once; then it is over when the socket can be written to.
func (d *descriptor) connect(r *request, addr uintptr) (int32, bool) {
	if r.done == 0 {
		r.done = 1
		unix.SetNonblock(d.fd, true)
		res := result(unix.Syscall(unix.SYS_CONNECT, uintptr(d.fd), addr, uintptr(r.Off)))
		unix.SetNonblock(d.fd, d.nonblock)
		if res != -int32(unix.EINPROGRESS) {
			r.done = 0
			return res, false
		}
	}
	if d.poll(unix.POLLOUT) == 0 {
		return 0, true
	}
	r.done = 0
	errno, err := unix.GetsockoptInt(d.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return failure(err), false
	}
	return -int32(errno), false
}

// file is a read or write of what ends by itself.
func (d *descriptor) file(r *request, addr uintptr) int32 {
	at := int64(r.Off)
	switch r.Op {
	case uring.OpRead, uring.OpWrite:
		nr := map[bool]uintptr{true: unix.SYS_PREAD64, false: unix.SYS_PWRITE64}[r.Op == uring.OpRead]
		if at == -1 {
			nr = map[bool]uintptr{true: unix.SYS_READ, false: unix.SYS_WRITE}[r.Op == uring.OpRead]
		}
		res := result(unix.Syscall6(nr, uintptr(d.fd), addr, uintptr(r.Len), uintptr(at), 0, 0))
		if res == -int32(unix.EISDIR) && r.Len == 0 {
			return 0 // which a ring says, and pread doesn't
		}
		return res
	case uring.OpReadv:
		n, err := unix.Preadv2(d.fd, r.buffers(), at, 0)
		return count(n, err)
	case uring.OpWritev:
		n, err := unix.Pwritev2(d.fd, r.buffers(), at, 0)
		return count(n, err)
	}
	return -int32(unix.ENOTSOCK)
}

func count(n int, err error) int32 {
	if err != nil {
		return failure(err)
	}
	return int32(n)
}

// stream is a transfer on what may have to be waited for. All of a buffer is asked for by MSG_WAITALL, and by a write to a
// pipe.
func (d *descriptor) stream(r *request) (int32, bool) {
	reads := r.Op == uring.OpRead || r.Op == uring.OpReadv || r.Op == uring.OpRecv
	all := r.OpFlags&uring.MsgWaitAll != 0 && (r.Op == uring.OpSend || r.Op == uring.OpRecv) || !reads && !d.socket && !d.nonblock
	skip := int(r.done)
	got := 0
	for _, b := range r.buffers() {
		if skip >= len(b) && len(b) > 0 {
			skip -= len(b)
			continue
		}
		for b = b[skip:]; ; {
			n, errno := d.some(r, b, reads)
			if errno != 0 {
				switch {
				case got > 0 && !all || r.done > 0 && errno != unix.EAGAIN:
					return r.done, false
				case errno == unix.EAGAIN && (all || !d.nonblock || d.socket):
					return 0, true
				}
				return -int32(errno), false
			}
			r.done += int32(n)
			got += n
			if b = b[n:]; n == 0 || len(b) == 0 || reads && !all {
				break
			}
		}
		skip = 0
		if len(b) > 0 {
			break
		}
	}
	return r.done, false
}

// some transfers what it can of b without waiting.
func (d *descriptor) some(r *request, b []byte, reads bool) (int, syscall.Errno) {
	var p uintptr
	if len(b) > 0 {
		p = uintptr(unsafe.Pointer(&b[0])) // pinned, since it is an operation's
	}
	flags := uintptr(unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL)
	switch {
	case r.Op == uring.OpSend || r.Op == uring.OpRecv:
		flags |= uintptr(r.OpFlags &^ uring.MsgWaitAll)
		fallthrough
	case d.socket:
		nr := uintptr(unix.SYS_SENDTO)
		if reads {
			nr = unix.SYS_RECVFROM
		}
		n, _, errno := unix.Syscall6(nr, uintptr(d.fd), p, uintptr(len(b)), flags, 0, 0)
		return int(n), errno
	}
	nr, events := uintptr(unix.SYS_WRITE), int16(unix.POLLOUT)
	if reads {
		nr, events = unix.SYS_READ, unix.POLLIN
	} else if !d.nonblock {
		b = b[:min(len(b), 4096)] // PIPE_BUF: what can be written if anything can
	}
	if d.poll(events) == 0 {
		return 0, unix.EAGAIN
	}
	n, _, errno := unix.Syscall(nr, uintptr(d.fd), p, uintptr(len(b)))
	return int(n), errno
}
