package uring

import (
	"fmt"
	"os"
	"structs"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What a kernel can, asked for its own sake: for cmd/rio-doctor, and for tests.

const regProbe = 8 // IORING_REGISTER_PROBE

// probeOp is a struct io_uring_probe_op.
type probeOp struct {
	_     structs.HostLayout
	op    uint8
	resv  uint8
	flags uint16 // 1: IO_URING_OP_SUPPORTED
	resv2 uint32
}

// probe is a struct io_uring_probe.
type probe struct {
	_     structs.HostLayout
	last  uint8
	len   uint8
	resv  uint16
	resv2 [3]uint32
	ops   [256]probeOp
}

var (
	_ [8]byte          = [unsafe.Sizeof(probeOp{})]byte{}
	_ [16 + 256*8]byte = [unsafe.Sizeof(probe{})]byte{}
)

// TrySetup sets a ring of one entry up with these IORING_SETUP_* flags, and closes it. It returns the IORING_FEAT_* bits.
func TrySetup(flags uint32) (features uint32, err error) {
	fd, features, errno := trySetup(flags)
	if errno != 0 {
		return 0, setupError(errno, flags)
	}
	unix.Close(fd)
	return features, nil
}

func trySetup(flags uint32) (fd int, features uint32, errno syscall.Errno) {
	for wait := time.Millisecond; ; wait *= 2 {
		p := params{flags: flags}
		n, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&p)), 0)
		if errno != unix.ENOMEM || wait > 100*time.Millisecond {
			return int(n), p.features, errno
		}
		time.Sleep(wait) // see Ring.setup
	}
}

// Supported is which opcodes this kernel knows (IORING_REGISTER_PROBE).
func Supported() (ops [256]bool, err error) {
	fd, _, errno := trySetup(0)
	if errno != 0 {
		return ops, setupError(errno, 0)
	}
	defer unix.Close(fd)
	p := new(probe)
	_, errno = register(fd, regProbe, unsafe.Pointer(p), 256)
	if errno != 0 {
		return ops, fmt.Errorf("rio: io_uring_register(PROBE): %w%s", errno, hint(errno))
	}
	for _, o := range p.ops[:p.len] {
		ops[o.op] = o.flags&1 != 0
	}
	return ops, nil
}

// Release is the kernel's (uname(2)): what it calls itself, which says little of what it can.
func Release() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", os.NewSyscallError("uname", err)
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:]), nil
}

// LockedMemory is the limit on locked memory (RLIMIT_MEMLOCK) in bytes; if limited is false there is none.
func LockedMemory() (bytes uint64, limited bool, err error) { return limit(unix.RLIMIT_MEMLOCK) }

// Descriptors is the limit on descriptors (RLIMIT_NOFILE).
func Descriptors() (n uint64, limited bool, err error) { return limit(unix.RLIMIT_NOFILE) }

func limit(which int) (n uint64, limited bool, err error) {
	var lim unix.Rlimit
	if err := unix.Getrlimit(which, &lim); err != nil {
		return 0, false, os.NewSyscallError("getrlimit", err)
	}
	return lim.Cur, lim.Cur != unix.RLIM_INFINITY, nil
}

// FileSystem is the type of the file system that path lies on, by its number in statfs(2).
func FileSystem(path string) (uint32, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return 0, os.NewSyscallError("statfs", err)
	}
	return uint32(fs.Type), nil
}
