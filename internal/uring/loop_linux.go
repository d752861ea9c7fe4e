package uring

import (
	"errors"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Loop is a kernel ring that one thread has for itself: it alone submits and waits, so completions are worked off on
// it, inside its own enter, and nobody else is woken for them (IORING_SETUP_SINGLE_ISSUER, IORING_SETUP_DEFER_TASKRUN).
type Loop struct {
	SQ *SQ
	CQ *CQ
	// Flags are the IORING_SETUP_* flags that the kernel took.
	Flags uint32
	// Restricted is whether the kernel refuses what this library doesn't use.
	Restricted bool

	ring *Ring
	fd   uintptr // for enter
	reg  uintptr // enterRegistered, if fd is a place in the thread's table
	arg  *geteventsArg
	pins Pins
}

// loopFlags is what a Loop asks for, from the best kernel to the oldest.
var loopFlags = []uint32{
	SetupRDisabled | SetupSingleIssuer | SetupDeferTaskrun | SetupSubmitAll | SetupNoSQArray,
	SetupRDisabled | SetupSingleIssuer | SetupDeferTaskrun | SetupSubmitAll,
	SetupRDisabled | SetupCoopTaskrun | SetupSubmitAll,
	SetupRDisabled | SetupSubmitAll,
	SetupRDisabled,
	0,
}

// OpenLoop sets a Loop up for the calling thread; the goroutine is locked to it. EnterHeld waits as long as held says.
// With plain, it is as an old kernel has it; with free, it may do whatever the kernel can.
func OpenLoop(entries, cqEntries uint32, held time.Duration, plain, free bool) (*Loop, error) {
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
		fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(entries), uintptr(unsafe.Pointer(&p)), 0)
		if errno == unix.EINVAL && flags != 0 {
			continue
		}
		if errno != 0 {
			return nil, setupError(errno, flags)
		}
		r.fd, r.Flags = int(fd), p.flags
		if err = r.mapQueues(&p); err != nil {
			err = setupError(err, flags)
		} else {
			err = r.restrict(true)
		}
		if err != nil {
			r.unmap()
			unix.Close(r.fd)
			return nil, err
		}
		break
	}
	l := &Loop{SQ: &r.SQ, CQ: &r.CQ, Flags: r.Flags, Restricted: r.Restricted, ring: r, fd: uintptr(r.fd), arg: new(geteventsArg)}
	ts := &timespec{nsec: int64(held)}
	l.pins.p.Pin(ts)
	l.pins.p.Pin(l.arg)
	l.arg.ts = uint64(uintptr(unsafe.Pointer(ts)))
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
	n, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(l.ring.fd), uintptr(op), uintptr(arg), 1, 0, 0)
	return int(n), errno
}

// Enter submits everything that is published, lets the kernel work off what it has for this thread, and waits until
// that many CQEs are there, unless a signal comes (EINTR).
func (l *Loop) Enter(wait uint32) syscall.Errno {
	_, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, l.fd, uintptr(l.SQ.Pending()), uintptr(wait), EnterGetEvents|l.reg, 0, 0)
	return errno
}

// EnterHeld is Enter for what is over soon: it waits for a short time only (ETIME, if it had nothing to submit), and keeps Go's scheduler out of it. That
// saves the work of giving the P away and getting it back, and of the runtime's monitor, which looks at each P in a system
// call every 20 µs.
func (l *Loop) EnterHeld(wait uint32) syscall.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_IO_URING_ENTER, l.fd, uintptr(l.SQ.Pending()), uintptr(wait),
		EnterGetEvents|enterExtArg|l.reg, uintptr(unsafe.Pointer(l.arg)), unsafe.Sizeof(geteventsArg{}))
	return errno
}

// Close unmaps and closes. It is for the thread that opened l, which has seen every CQE.
func (l *Loop) Close() error {
	if l.reg != 0 {
		u := rsrcUpdate{offset: uint32(l.fd)}
		l.registerN(unregRingFDs, unsafe.Pointer(&u))
	}
	l.ring.unmap()
	l.pins.Release()
	return os.NewSyscallError("close", unix.Close(l.ring.fd))
}

// A Waker is an eventfd: any thread writes to it, and a Loop reads.
type Waker struct {
	FD    int32
	Addr  Addr // of the count that is read
	count *[8]byte
	pins  Pins
}

// NewWaker makes one.
func NewWaker() (*Waker, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	w := &Waker{FD: int32(fd), count: new([8]byte)}
	w.Addr = w.pins.Bytes(w.count[:])
	return w, nil
}

// Wake makes the read end.
func (w *Waker) Wake() error {
	one := uint64(1)
	for {
		_, err := unix.Write(int(w.FD), (*[8]byte)(unsafe.Pointer(&one))[:])
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Close closes the eventfd; nothing reads it any more.
func (w *Waker) Close() {
	w.pins.Release()
	unix.Close(int(w.FD))
}

// CloseExec is what accept is asked for: close-on-exec, and blocking, since it is the ring that waits.
const CloseExec OpFlags = unix.SOCK_CLOEXEC

// DontWait is for a send that must not wait for room.
const DontWait OpFlags = unix.MSG_DONTWAIT

// PinTimespec pins t.
func (p *Pins) Timespec(t *Timespec) Addr {
	p.p.Pin(t)
	return Addr{v: uint64(uintptr(unsafe.Pointer(&t.ts)))}
}
