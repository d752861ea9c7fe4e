package uring

import (
	"errors"
	"math/bits"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Flags of single operations, as this system numbers them.
const (
	MsgNoSignal  OpFlags = unix.MSG_NOSIGNAL
	MsgWaitAll   OpFlags = unix.MSG_WAITALL
	AcceptFlags  OpFlags = unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	FileDirect           = unix.O_DIRECT
	FileAppend           = unix.O_APPEND
	FileDsync            = unix.O_DSYNC
	statxAligned         = 0x2000 // STATX_DIOALIGN
)

// Errnos that not every system has.
const (
	ETIME = unix.ETIME
	EBADR = unix.EBADR
)

// Dup duplicates fd, close-on-exec.
func Dup(fd int) (int, error) {
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	return n, os.NewSyscallError("fcntl", err)
}

func closeFD(fd int) error { return os.NewSyscallError("close", unix.Close(fd)) }

func fileType(fd int) (bounded, socket, remote bool) {
	var st unix.Stat_t
	for unix.Fstat(fd, &st) == unix.EINTR {
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		if unix.Major(uint64(st.Dev)) != 0 {
			return true, false, false // what lies on a device has no server
		}
		return answered(fd)
	case unix.S_IFBLK, unix.S_IFDIR:
		return true, false, false
	case unix.S_IFSOCK:
		return false, true, false
	case unix.S_IFCHR:
		// A terminal can't be read without waiting: the kernel polls it, then reads it on the thread that began that, which others who
		// are faster keep there, with its P. (Those of major 1 never wait, but for kmsg.)
		return false, false, (unix.Major(st.Rdev) != 1 || isKmsg(&st)) && fileFlags(fd)&unix.O_NONBLOCK == 0
	}
	return false, false, false
}

// answered is fileType of fd, a file on no device. That may be one that a server answers for: FUSE, or the network.
func answered(fd int) (bounded, socket, remote bool) {
	fs, ok := fileSystem(fd)
	if !ok {
		return true, false, true // it is the server that is asked
	}
	switch fs {
	case unix.TRACEFS_MAGIC, unix.DEBUGFS_MAGIC: // trace_pipe
		return false, false, false
	case unix.FUSE_SUPER_MAGIC, unix.NFS_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.SMB_SUPER_MAGIC,
		unix.V9FS_MAGIC, unix.CEPH_SUPER_MAGIC, unix.AFS_FS_MAGIC, unix.AFS_SUPER_MAGIC, unix.CODA_SUPER_MAGIC:
		return true, false, true
	}
	return true, false, false
}

func placed(fd int) bool {
	var st unix.Stat_t
	for unix.Fstat(fd, &st) == unix.EINTR {
	}
	return st.Mode&unix.S_IFMT != 0 && (st.Mode&unix.S_IFMT != unix.S_IFCHR || !isKmsg(&st))
}

func isKmsg(st *unix.Stat_t) bool { return unix.Major(st.Rdev) == 1 && unix.Minor(st.Rdev) == 11 }

func inMemory(fd int) bool {
	var st unix.Stat_t
	for unix.Fstat(fd, &st) == unix.EINTR {
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return false // of a device's node it is the node that lies in memory
	}
	fs, ok := fileSystem(fd)
	return ok && (fs == unix.TMPFS_MAGIC || fs == unix.RAMFS_MAGIC || fs == unix.HUGETLBFS_MAGIC)
}

// fileSystem is the magic number of the file system that fd's file lies in (fstatfs(2)).
func fileSystem(fd int) (magic uint32, ok bool) {
	var fs unix.Statfs_t
	err := unix.EINTR
	for err == unix.EINTR {
		err, _ = unix.Fstatfs(fd, &fs).(syscall.Errno)
	}
	return uint32(fs.Type), err == 0
}

// Read is read(2), and pread(2) if off is not negative.
func Read(fd int, p []byte, off int64) (n int, errno syscall.Errno) {
	for errno = unix.EINTR; errno == unix.EINTR; {
		var err error
		if off < 0 {
			n, err = unix.Read(fd, p)
		} else {
			n, err = unix.Pread(fd, p, off)
		}
		errno, _ = err.(syscall.Errno)
	}
	return max(n, 0), errno
}

// WriteOut is write(2), and pwrite(2) if off is not negative.
func WriteOut(fd int, p []byte, off int64) (n int, errno syscall.Errno) {
	for errno = unix.EINTR; errno == unix.EINTR; {
		var err error
		if off < 0 {
			n, err = unix.Write(fd, p)
		} else {
			n, err = unix.Pwrite(fd, p, off)
		}
		errno, _ = err.(syscall.Errno)
	}
	return max(n, 0), errno
}

// Sync is fsync(2), or fdatasync(2).
func Sync(fd int, data bool) (errno syscall.Errno) {
	nr := uintptr(unix.SYS_FSYNC)
	if data {
		nr = unix.SYS_FDATASYNC
	}
	for errno = unix.EINTR; errno == unix.EINTR; {
		_, _, errno = unix.Syscall(nr, uintptr(fd), 0, 0)
	}
	return errno
}

func fileFlags(fd int) int {
	fl, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return 0
	}
	return fl
}

func seek(fd int, off int64, whence int) (int64, error) { return unix.Seek(fd, off, whence) }

func truncate(fd int, size int64) error {
	for {
		if err := unix.Ftruncate(fd, size); err != unix.EINTR {
			return err
		}
	}
}

func alignment(fd int) (mem, off int, err error) {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, statxAligned, &st); err != nil {
		return 0, 0, os.NewSyscallError("statx", err)
	}
	if st.Mask&statxAligned == 0 || st.Dio_mem_align == 0 {
		return 0, 0, os.NewSyscallError("statx", errors.ErrUnsupported)
	}
	return int(st.Dio_mem_align), int(st.Dio_offset_align), nil
}

func sockname(fd int, s *Sockaddr) error { return name(unix.SYS_GETSOCKNAME, "getsockname", fd, s) }

func peername(fd int, s *Sockaddr) error { return name(unix.SYS_GETPEERNAME, "getpeername", fd, s) }

func name(nr uintptr, what string, fd int, s *Sockaddr) error {
	s.Reset()
	_, _, errno := unix.Syscall(nr, uintptr(fd), uintptr(unsafe.Pointer(&s.buf)), uintptr(unsafe.Pointer(&s.len)))
	if errno != 0 {
		s.len = 0
		return os.NewSyscallError(what, errno)
	}
	return nil
}

func domain(fd int) (int, error) {
	d, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	return d, os.NewSyscallError("getsockopt", err)
}

func socketType(fd int) (int, error) {
	t, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	return t, os.NewSyscallError("getsockopt", err)
}

// Listens reports whether the socket fd is one that accepts connections.
func Listens(fd int) bool {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	return err == nil && n != 0
}

// TuneTCP does what package net does for each TCP connection: no delay, keep-alives after 15 seconds of silence, nine of them.
func TuneTCP(fd int) {
	const idle = int(15 * time.Second / time.Second)
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, idle)
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, idle)
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 9)
}

func shutdown(fd int, write bool) error {
	how := unix.SHUT_RD
	if write {
		how = unix.SHUT_WR
	}
	return os.NewSyscallError("shutdown", unix.Shutdown(fd, how))
}

// OnlineCPU reports whether this machine has that CPU and this process may use it.
func OnlineCPU(cpu int) bool {
	var set unix.CPUSet
	if cpu < 0 || cpu >= len(set)*bits.UintSize || unix.SchedGetaffinity(0, &set) != nil {
		return false
	}
	return set.IsSet(cpu)
}
