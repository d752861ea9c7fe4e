package calls

import (
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// What may have to be waited for: sockets, pipes, terminals.

// MayBlock reports whether r, performed when it was Ready, may wait all the same, because somebody else was faster.
func (d *Descriptor) MayBlock(r *uring.Request) bool {
	switch r.Op {
	case uring.OpRead, uring.OpReadv, uring.OpWrite, uring.OpWritev:
		return !d.Socket && !d.Nonblock
	case uring.OpAccept:
		return !d.Nonblock
	}
	return false
}

// Ready reports whether r needn't wait.
func (d *Descriptor) Ready(r *uring.Request) bool {
	if r.Op == uring.OpAccept {
		if listens, _ := unix.GetsockoptInt(d.FD, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); listens == 0 {
			return true // there is an error to be told
		}
	}
	return d.Poll(Events(r)) != 0
}

func (d *Descriptor) accept(r *uring.Request, addr uintptr) (int32, bool) {
	if !d.Nonblock && !d.Ready(r) {
		return 0, true
	}
	res := again(func() (uintptr, uintptr, syscall.Errno) {
		return unix.Syscall6(unix.SYS_ACCEPT4, uintptr(d.FD), addr, uintptr(r.Off), uintptr(r.OpFlags), 0, 0)
	})
	return res, res == -int32(unix.EAGAIN)
}

// connect is begun, and asked for once more when the socket can be written to: that is how the kernel tells what came of it,
// and notes that the socket is connected.
func (d *Descriptor) connect(r *uring.Request, p *Progress, addr uintptr) (int32, bool) {
	if p.Started && d.Poll(unix.POLLOUT) == 0 {
		return 0, true
	}
	blocking := uring.FileFlags(d.FD)&unix.O_NONBLOCK == 0
	if blocking {
		unix.SetNonblock(d.FD, true)
		defer unix.SetNonblock(d.FD, false)
	}
	_, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(d.FD), addr, uintptr(r.Off))
	if errno == unix.EINPROGRESS || errno == unix.EINTR || p.Started && errno == unix.EALREADY {
		p.Started = true
		return 0, true
	}
	return -int32(errno), false
}

// stream is a transfer. All of a buffer is asked for by MSG_WAITALL, and by a write to a pipe that isn't O_NONBLOCK.
func (d *Descriptor) stream(r *uring.Request, p *Progress) (int32, bool) {
	socket := r.Op == uring.OpSend || r.Op == uring.OpRecv
	reads := r.Op == uring.OpRead || r.Op == uring.OpReadv || r.Op == uring.OpRecv
	all := socket && r.OpFlags&uring.MsgWaitAll != 0 || !reads && !d.Socket && !socket && !d.Nonblock
	flags := uring.OpFlags(unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL)
	if socket {
		flags |= r.OpFlags &^ uring.MsgWaitAll
	}
	var one [1][]byte
	bufs := left(r, one[:], p.Done)
	if !socket && (reads || !d.Socket) && p.Done == 0 && empty(bufs) {
		return 0, false // read(2) and write(2) don't wait for nothing
	}
	for {
		n, errno := 0, syscall.Errno(0)
		if socket || d.Socket {
			n, errno = d.message(bufs, reads, flags)
		} else {
			n, errno = d.pipe(bufs, reads)
		}
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN && (all || p.Done == 0) && !(socket && r.OpFlags&uring.DontWait != 0):
			return 0, true
		case errno != 0 && p.Done > 0:
			return p.Done, false
		case errno != 0:
			return -int32(errno), false
		}
		p.Done += int32(n)
		if bufs = left(r, one[:], p.Done); !all || n == 0 || len(bufs) == 0 {
			return p.Done, false
		}
	}
}

// left is the memory that r is about, but for the first done bytes. An empty buffer is kept if it is the only one.
func left(r *uring.Request, one [][]byte, done int32) [][]byte {
	if r.Op != uring.OpReadv && r.Op != uring.OpWritev {
		one[0] = r.Addr.Bytes(int(r.Len))
		if one[0] = one[0][done:]; len(one[0]) == 0 && done > 0 {
			return nil
		}
		return one
	}
	bufs := r.Vector()
	for len(bufs) > 0 && int(done) >= len(bufs[0]) {
		done -= int32(len(bufs[0]))
		bufs = bufs[1:]
	}
	if len(bufs) > 0 {
		bufs[0] = bufs[0][done:]
	}
	return bufs
}

func empty(bufs [][]byte) bool {
	for _, b := range bufs {
		if len(b) > 0 {
			return false
		}
	}
	return true
}

// message is a send or receive that doesn't wait.
func (d *Descriptor) message(bufs [][]byte, reads bool, flags uring.OpFlags) (int, syscall.Errno) {
	if len(bufs) == 1 {
		nr := uintptr(unix.SYS_SENDTO)
		if reads {
			nr = unix.SYS_RECVFROM
		}
		p := unsafe.Pointer(unsafe.SliceData(bufs[0])) // pinned, since it is an operation's
		n, _, errno := unix.Syscall6(nr, uintptr(d.FD), uintptr(p), uintptr(len(bufs[0])), uintptr(flags), 0, 0)
		return int(n), errno
	}
	nr := uintptr(unix.SYS_SENDMSG)
	if reads {
		nr = unix.SYS_RECVMSG
	}
	vec := vectorOf(bufs)
	var m unix.Msghdr
	if len(vec) > 0 {
		m.Iov = &vec[0]
		m.SetIovlen(len(vec))
	}
	n, _, errno := unix.Syscall(nr, uintptr(d.FD), uintptr(unsafe.Pointer(&m)), uintptr(flags))
	return int(n), errno
}

// pipe is a read or write that doesn't wait, of what is no socket. It may, if somebody else is faster, of a device that isn't
// O_NONBLOCK, or a pipe that can't be opened once more: to that no more is written than what can be written if anything can (PIPE_BUF).
func (d *Descriptor) pipe(bufs [][]byte, reads bool) (int, syscall.Errno) {
	nr, events := uintptr(unix.SYS_WRITEV), int16(unix.POLLOUT)
	if reads {
		nr, events = unix.SYS_READV, unix.POLLIN
	}
	if d.Nonblock {
		return vectored(nr, d.FD, vectorOf(bufs))
	}
	if n, errno := nowait(d.FD, vectorOf(bufs), reads); errno != unix.EOPNOTSUPP {
		return n, errno
	}
	if d.Poll(events) == 0 {
		return 0, unix.EAGAIN
	}
	if fd, ok := d.reopen(reads); ok {
		defer unix.Close(fd)
		return vectored(nr, fd, vectorOf(bufs))
	}
	if !reads && len(bufs) > 0 {
		bufs = bufs[:1]
		bufs[0] = bufs[0][:min(len(bufs[0]), 4096)]
	}
	return vectored(nr, d.FD, vectorOf(bufs))
}

// nowait reads or writes what can be at once (RWF_NOWAIT): EOPNOTSUPP if the kernel can't tell, of a pipe before Linux 6.5.
func nowait(fd int, vec []unix.Iovec, reads bool) (int, syscall.Errno) {
	const rwfNowait = 8
	nr := uintptr(unix.SYS_PWRITEV2)
	if reads {
		nr = unix.SYS_PREADV2
	}
	here := ^uintptr(0) // where the position is, if there is one
	n, _, errno := unix.Syscall6(nr, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(vec))), uintptr(len(vec)), here, here, rwfNowait)
	if errno == unix.ENOSYS || errno == unix.EINVAL {
		errno = unix.EOPNOTSUPP
	}
	return int(n), errno
}

// reopen opens the pipe that d is once more, O_NONBLOCK; ok is false if it is none, or that can't be done.
func (d *Descriptor) reopen(reads bool) (fd int, ok bool) {
	var st unix.Stat_t
	if unix.Fstat(d.FD, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return -1, false
	}
	mode := unix.O_WRONLY
	if reads {
		mode = unix.O_RDONLY
	}
	fd, err := unix.Open("/proc/self/fd/"+strconv.Itoa(d.FD), mode|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if packets := uring.FileFlags(d.FD) & unix.O_DIRECT; err == nil && !reads && packets != 0 { // which open(2) takes of no pipe
		if _, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, packets|unix.O_NONBLOCK); err != nil {
			unix.Close(fd)
		}
	}
	return fd, err == nil
}

func vectored(nr uintptr, fd int, vec []unix.Iovec) (int, syscall.Errno) {
	n, _, errno := unix.Syscall(nr, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(vec))), uintptr(len(vec)))
	return int(n), errno
}

func vectorOf(bufs [][]byte) []unix.Iovec {
	vec := make([]unix.Iovec, len(bufs))
	for i, b := range bufs {
		vec[i].Base = unsafe.SliceData(b)
		vec[i].SetLen(len(b))
	}
	return vec
}
