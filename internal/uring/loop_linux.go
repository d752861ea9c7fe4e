package uring

import (
	"errors"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// loopFlags is what a Loop asks for, from the best kernel to the oldest.
var loopFlags = []uint32{
	SetupRDisabled | SetupSingleIssuer | SetupDeferTaskrun | SetupSubmitAll | SetupNoSQArray,
	SetupRDisabled | SetupSingleIssuer | SetupDeferTaskrun | SetupSubmitAll,
	SetupRDisabled | SetupCoopTaskrun | SetupSubmitAll,
	SetupRDisabled | SetupSubmitAll,
	SetupRDisabled,
	0,
}

// loopOS is Linux's part of a Loop.
type loopOS struct {
	fd  uintptr // for enter
	reg uintptr // enterRegistered, if fd is a place in the thread's table
}

// openLoopOS sets a Loop up for the calling thread (io_uring_setup(2)).
func openLoopOS(entries, cqEntries uint32, plain, free bool) (*Loop, error) {
	r := &Ring{fd: -1}
	wants := loopFlags
	if plain {
		wants = wants[len(wants)-2:]
	}
	var err error
	for _, flags := range wants {
		p := params{flags: flags | SetupCQSize, cqEntries: cqEntries}
		if free {
			p.flags &^= SetupRDisabled
		}
		fd, _, errno := setUp(entries, &p)
		if errno == unix.EINVAL && flags != 0 {
			continue
		}
		if errno != 0 {
			return nil, setupError(errno, flags)
		}
		r.fd, r.Flags = int(fd), p.flags
		if err = r.mapQueues(&p); err == nil {
			err = r.restrict(true)
		}
		if err != nil {
			r.unmap()
			unix.Close(r.fd)
			return nil, err
		}
		break
	}
	l := &Loop{SQ: &r.SQ, CQ: &r.CQ, Flags: r.Flags, Restricted: r.Restricted, ring: r, loopOS: loopOS{fd: uintptr(r.fd)}}
	if !plain {
		l.register()
	}
	return l, nil
}

// register spares each enter the look-up of the ring's descriptor (IORING_REGISTER_RING_FDS), if the kernel can.
func (l *Loop) register() {
	u := rsrcUpdate{offset: ^uint32(0), data: uint64(l.ring.fd)}
	if n, errno := l.registerN(regRingFDs, unsafe.Pointer(&u)); errno == 0 && n == 1 {
		l.fd, l.reg = uintptr(u.offset), enterRegistered
	}
}

func (l *Loop) registerN(op uint32, arg unsafe.Pointer) (int, syscall.Errno) {
	return register(l.ring.fd, op, arg, 1)
}

func (l *Loop) enter(wait uint32) syscall.Errno {
	_, _, errno := syscall.Syscall6(unix.SYS_IO_URING_ENTER, l.fd, uintptr(l.SQ.Pending()), uintptr(wait), EnterGetEvents|l.reg, 0, 0)
	return errno
}

func (l *Loop) closeOS() error {
	if l.reg != 0 {
		u := rsrcUpdate{offset: uint32(l.fd)}
		l.registerN(unregRingFDs, unsafe.Pointer(&u))
	}
	l.ring.unmap()
	return os.NewSyscallError("close", unix.Close(l.ring.fd))
}

// CloseExec is what accept is asked for: close-on-exec, and blocking, since it is the ring that waits.
const CloseExec OpFlags = unix.SOCK_CLOEXEC

// DontWait is for a send that must not wait for room.
const DontWait OpFlags = unix.MSG_DONTWAIT

// An eventfd is what wakes a Loop on Linux.
func newEventfd() (int, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	return fd, eventfdError(err)
}

// ringEventfd is writeEventfd to who sleeps on Go's poller: it allocates nothing, and the race detector is told of no order.
func ringEventfd(fd uintptr) syscall.Errno {
	_, _, errno := syscall.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(&one)), unsafe.Sizeof(one))
	return errno
}

var one = uint64(1)

func writeEventfd(fd int) error {
	one := uint64(1)
	for {
		_, err := unix.Write(fd, (*[8]byte)(unsafe.Pointer(&one))[:])
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
