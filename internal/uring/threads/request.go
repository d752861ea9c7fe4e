package threads

import (
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
	"github.com/seed-9c58b644/rio/internal/uring/calls"
)

// A request is an SQE that the kernel has taken.
type request struct {
	uring.Request
	data     uint64
	next     *request // linked behind it, or on the free list
	k        *kernel
	target   target
	progress calls.Progress
	timer    *time.Timer
	end      func(*request) bool // takes it out of whatever it waits in; set while it waits
	requestOS
}

// A target is what a descriptor stands for.
type target interface {
	// begin does r, or sees to it that it is done: complete is called now or later.
	begin(r *request)
	// perform does r on a goroutine of the pool, without mu. blocked says that it has to wait first: begin it again.
	perform(r *request) (res int32, blocked bool)
}

// submit takes up to limit SQEs, and starts what they say.
func (k *kernel) submit(limit uint32) (n int) {
	for limit = min(limit, k.q.Published()); n < int(limit); {
		chain := k.q.Chain(limit - uint32(n))
		n += len(chain)
		var head *request
		for i := len(chain) - 1; i >= 0; i-- {
			r := k.take()
			r.Request, r.data, r.next = chain[i].Request, chain[i].Data, head
			head = r
		}
		k.begin(head)
	}
	return n
}

func (k *kernel) take() *request {
	r := k.free
	if r == nil {
		return &request{k: k}
	}
	k.free = r.next
	r.next = nil
	return r
}

// begin looks r's descriptor up, now and not earlier, and begins it.
func (k *kernel) begin(r *request) {
	switch r.Op {
	case uring.OpNop:
		k.complete(r, 0)
	case uring.OpAsyncCancel:
		k.complete(r, k.cancel(r.Addr.Uint64()))
	case uring.OpTimeout:
		k.wait(r, func(r *request) bool { r.timer.Stop(); return true })
		r.timer = time.AfterFunc(r.Addr.Timeout(), func() { k.ended(r, r.data, -int32(uring.ETIME)) })
	default:
		if errno := k.find(r); errno != 0 {
			k.complete(r, -int32(errno))
			return
		}
		r.target.begin(r)
	}
}

func (k *kernel) find(r *request) syscall.Errno {
	if r.Flags&uring.SQEFixedFile != 0 {
		r.target = k.files[uint32(r.FD)].target
	} else if o := uring.Object(int(r.FD)); o != nil {
		r.target = objectTarget(o)
	} else if !k.portable {
		r.target = r.descriptor()
	}
	if r.target == nil {
		return syscall.EBADF
	}
	return 0
}

// wait makes r one that can be cancelled: end will be called for that, under mu. If it reports true, r is out of everything,
// and complete; otherwise it will be soon.
func (k *kernel) wait(r *request, end func(*request) bool) {
	r.end = end
	k.waiting[r.data] = r
}

// stop is the end of that.
func (k *kernel) stop(r *request) {
	r.end(r)
	r.end = nil
	delete(k.waiting, r.data)
}

// ended completes the request r of that user_data, which has waited, for a goroutine that doesn't hold mu; nothing happens if
// it was cancelled meanwhile.
func (k *kernel) ended(r *request, data uint64, res int32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.waiting[data] == r {
		k.stop(r)
		k.complete(r, res)
	}
}

// cancel is IORING_OP_ASYNC_CANCEL. It does not find what hangs behind another request, and what a goroutine of the pool has
// begun goes on.
func (k *kernel) cancel(data uint64) int32 {
	r := k.waiting[data]
	if r == nil {
		if r = k.pool.remove(data); r == nil {
			return -int32(syscall.ENOENT)
		}
	} else if !r.end(r) {
		return -int32(syscall.EALREADY)
	} else {
		r.end = nil
		delete(k.waiting, data)
	}
	res := -int32(syscall.ECANCELED)
	if r.progress.Done > 0 {
		res = r.progress.Done
	}
	k.complete(r, res)
	return 0
}

// complete ends r with res, and begins, or ends, what is linked behind it.
func (k *kernel) complete(r *request, res int32) {
	next := r.next
	goesOn := next != nil && !r.Breaks(res) // with the CQE its memory is somebody else's
	k.post(r.data, res)
	k.recycle(r)
	if goesOn {
		k.begin(next)
		return
	}
	for p := next; p != nil; {
		next = p.next
		k.post(p.data, -int32(syscall.ECANCELED))
		k.recycle(p)
		p = next
	}
}

func (k *kernel) recycle(r *request) {
	if r.timer != nil {
		return // its function may be about to run
	}
	*r = request{k: k, next: k.free}
	k.free = r
}
