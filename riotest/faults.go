package riotest

import (
	"math/rand/v2"
	"syscall"
)

// Faults say what goes wrong, and how often: a rate is a number from 0, never, to 1, always. The zero value is a machine
// where nothing does, though operations still end in any order.
type Faults struct {
	// Short is how many of the reads and writes transfer less than all, but something.
	Short float64

	// Fail is how many operations on files fail, with Errno. Operations are the Ring's, and a File's reads, writes and syncs; to open,
	// rename, truncate and close is none. A write that fails may have written some of it. A sync that
	// fails may have made some of it durable, and forgets the rest: a later sync succeeds without it, though it can be
	// read until the power is cut.
	Fail float64
	// FailAt is the one operation on files, counted from 1, that fails. If FailOn is set, all later ones do, too.
	FailAt uint64
	FailOn bool
	// Errno is what they fail with; if 0, EIO.
	Errno syscall.Errno

	// Enter is how many calls of io_uring_enter fail with EINTR, EAGAIN or EBUSY; the Ring tries again. With 1 it does so for
	// a minute, and is broken then.
	Enter float64
	// Partial is how many take only some of what they are offered.
	Partial float64
	// Unasked is how many operations end with ECANCELED or EINTR before they have begun, though nobody has asked for that,
	// as they do when a thread ends; the Ring starts them again, however often: with 1 they never end, nor does Close.
	Unasked float64
	// Overflow is how many completions find the completion queue full, and have to be asked for.
	Overflow float64
	// Ended is how many completions of a request that goes on (Listener.Conns) are its last (no IORING_CQE_F_MORE): the Ring
	// makes another one.
	Ended float64
}

// Everything is a bit of each fault that a Ring hides, and of short transfers, but nothing that fails an operation.
var Everything = Faults{Short: 0.1, Enter: 0.1, Partial: 0.2, Unasked: 0.05, Overflow: 0.1, Ended: 0.2}

func draw(r *rand.Rand, rate float64) bool { return rate > 0 && r.Float64() < rate }

// enter is what a call of enter fails with.
func (f *Faults) enter(r *rand.Rand) syscall.Errno {
	if !draw(r, f.Enter) {
		return 0
	}
	return [...]syscall.Errno{syscall.EINTR, syscall.EAGAIN, syscall.EBUSY}[r.IntN(3)]
}

// partial is how many of n SQEs an enter takes.
func (f *Faults) partial(r *rand.Rand, n int) int {
	if !draw(r, f.Partial) {
		return n
	}
	return min(n, 1+r.IntN(4))
}

// unasked is what an operation ends with before it has begun. A poll is never interrupted.
func (f *Faults) unasked(r *rand.Rand, poll bool) syscall.Errno {
	switch {
	case !draw(r, f.Unasked):
		return 0
	case poll:
		return syscall.ECANCELED
	}
	return [...]syscall.Errno{syscall.ECANCELED, syscall.EINTR}[r.IntN(2)]
}

// overflows reports whether a CQE finds no room.
func (f *Faults) overflows(r *rand.Rand, unread, entries uint32) bool {
	return unread == entries || unread > 0 && draw(r, f.Overflow)
}

// short is how much of n bytes a read or write of whole blocks transfers.
func (f *Faults) short(r *rand.Rand, n, block int) int {
	if n <= block || !draw(r, f.Short) {
		return n
	}
	return max(1, (1+r.IntN(n-1))/block) * block
}

// fails is what operation k on a file fails with.
func (f *Faults) fails(r *rand.Rand, k uint64) syscall.Errno {
	if !draw(r, f.Fail) && (f.FailAt == 0 || k != f.FailAt && (!f.FailOn || k < f.FailAt)) {
		return 0
	}
	if f.Errno == 0 {
		return syscall.EIO
	}
	return f.Errno
}
