package rio

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// ErrClosed is what operations on a closed Ring resolve with. It is an os.ErrClosed and a net.ErrClosed.
var ErrClosed error = closedError("rio: ring is closed")

// ErrWaited is what a Completion that has been waited for returns: each gives its result once. If somebody still waits for it, it
// comes at once, and the kernel may have the buffer yet.
var ErrWaited = errors.New("rio: completion has been waited for already")

var (
	errFileClosed  = closedError("rio: use of a closed file")
	errConnClosed  = closedError(net.ErrClosed.Error()) // there are programs that look at the words
	errUnsubmitted = errors.New("rio: chain: waited for before Submit")
)

// A closedError is os.ErrClosed and net.ErrClosed at once: a descriptor's user needn't know which it was.
type closedError string

func (e closedError) Error() string { return string(e) }

func (e closedError) Is(target error) bool { return target == os.ErrClosed || target == net.ErrClosed }

// invalid is a caller's mistake: it names the operation and the cause, and is an os.ErrInvalid.
func invalid(op, cause string) error { return fmt.Errorf("rio: %s: %s: %w", op, cause, os.ErrInvalid) }

// badArg is a caller's mistake that the kernel would call EINVAL, seen before it is asked.
func badArg(op, cause string) error { return fmt.Errorf("rio: %s: %s: %w", op, cause, syscall.EINVAL) }

// error is what o's result, a negated errno, means.
func (o *op) error(phase uint64) error {
	name, errno := kinds[o.kind].name, syscall.Errno(-o.res)
	if o.fate&fateLost != 0 {
		return o.lane.ring.broken()
	}
	if errno == syscall.ECANCELED {
		switch {
		case phase&isFileClosed != 0:
			return os.NewSyscallError(name, o.closedError())
		case phase&isRingClosed != 0:
			return ErrClosed
		}
	}
	err := os.NewSyscallError(name, errno)
	if errno == syscall.EINVAL && (o.fate&fateMisaligned != 0 || o.misaligned()) {
		return alignmentError{err}
	}
	return err
}

// closedError is what o says if its descriptor was closed.
func (o *op) closedError() error {
	if o.fate&fateSocket != 0 {
		return errConnClosed
	}
	return errFileClosed
}
