package riotest

import (
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
	"github.com/seed-9c58b644/rio/internal/uring/calls"
)

// A request is an SQE that the kernel has taken.
type request struct {
	uring.Request
	data  uint64
	next  *request // linked behind it
	file  target
	fixed bool // file is the table's
	hold  int  // how often it is passed over

	progress calls.Progress // so far
}

// A target is what a descriptor stands for.
type target interface {
	// perform does what r asks for. blocked says that it has to wait for something first.
	perform(r *request) (res int32, blocked bool)
	bounded() bool // what is asked of it ends by itself
	release()
}

func (r *request) known() bool {
	if r.Flags&^(uring.SQEFixedFile|uring.SQELink|uring.SQEAsync) != 0 {
		return false
	}
	switch r.Op {
	case uring.OpNop, uring.OpReadv, uring.OpWritev, uring.OpFsync, uring.OpPollAdd, uring.OpSyncFileRange, uring.OpAccept,
		uring.OpAsyncCancel, uring.OpTimeout, uring.OpConnect, uring.OpFallocate, uring.OpRead, uring.OpWrite, uring.OpSend, uring.OpRecv:
		return true
	}
	return false
}

// begin looks r's descriptor up, now and not earlier, and does it, or says when.
func (k *kernel) begin(r *request) {
	if r.Op == uring.OpAsyncCancel {
		k.complete(r, k.cancel(r))
		return
	}
	if r.Op == uring.OpTimeout {
		k.nap(r)
		return
	}
	if r.Op != uring.OpNop {
		if errno := k.find(r); errno != 0 {
			k.complete(r, -int32(errno))
			return
		}
	}
	if r.file != nil && !r.file.bounded() {
		// Of a connect nobody could tell whether it had begun.
		if errno := k.s.faults.unasked(k.s.rand, r.Op == uring.OpPollAdd); errno != 0 && r.Op != uring.OpConnect {
			k.complete(r, -int32(errno))
			return
		}
		res, blocked := r.file.perform(r)
		if !blocked && !k.shoot(r, res) {
			k.complete(r, res)
			return
		}
		k.armed = append(k.armed, r)
		return
	}
	switch draw := k.s.rand.IntN(8); {
	case draw < 2 && r.Flags&uring.SQEAsync == 0:
		k.run(r) // at once, inside enter
		return
	case draw == 7:
		r.hold = 1 + k.s.rand.IntN(30)
	}
	k.ready = append(k.ready, r)
}

// A nap ends by itself, at its time. In lockstep there is no time but the program's.
type nap struct{ until time.Time }

func (n nap) perform(*request) (int32, bool) {
	return -int32(uring.ETIME), time.Now().Before(n.until)
}

func (nap) bounded() bool { return false }
func (nap) release()      {}

// nap begins r, an IORING_OP_TIMEOUT.
func (k *kernel) nap(r *request) {
	n := nap{}
	if !k.s.lockstep {
		n.until = time.Now().Add(r.Addr.Timeout())
	}
	r.file = n
	k.armed = append(k.armed, r)
}

func (k *kernel) find(r *request) (errno syscall.Errno) {
	if r.Flags&uring.SQEFixedFile == 0 {
		r.file, errno = k.s.target(int(r.FD))
		return errno
	}
	r.fixed = true
	if r.file = k.files[uint32(r.FD)]; r.file == nil {
		return syscall.EBADF
	}
	return 0
}

// run does r, unless it is to fail.
func (k *kernel) run(r *request) {
	if r.file == nil {
		k.complete(r, 0)
		return
	}
	if errno := k.s.faults.unasked(k.s.rand, r.Op == uring.OpPollAdd); errno != 0 {
		k.complete(r, -int32(errno))
		return
	}
	res, _ := r.file.perform(r)
	k.complete(r, res)
}

// complete ends r with res, and begins, or ends, what is linked behind it.
func (k *kernel) complete(r *request, res int32) {
	r.release()
	goesOn := r.next != nil && !r.Breaks(res) // with the CQE its memory is somebody else's
	k.post(r.data, res)
	if goesOn {
		k.begin(r.next)
		return
	}
	for p := r.next; p != nil; p = p.next {
		k.post(p.data, -int32(syscall.ECANCELED))
	}
}

func (r *request) release() {
	if r.file != nil && !r.fixed {
		r.file.release()
	}
	r.file = nil
}

// buffers is the memory that a read or write is about.
func (r *request) buffers() [][]byte {
	if r.Op == uring.OpReadv || r.Op == uring.OpWritev {
		return r.Vector()
	}
	return [][]byte{r.Addr.Bytes(int(r.Len))}
}
