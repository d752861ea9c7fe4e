package rio

import (
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// flush hands everything to the kernel that was started so far. What another flush is about to submit counts as
// submitted: it makes its system call before it does anything else.
func (r *Ring) flush() {
	if !r.use() {
		return
	}
	enters := 0
	for {
		crowd := r.heldBack.Load() && r.unhold()
		t := r.k.SQ.Tail()
		if t == r.flushed.Load() && !crowd || r.broken() != nil {
			break
		}
		r.flushed.Store(t)
		enters += r.submit(t)
		if !crowd {
			break
		}
	}
	r.unuse(enters)
}

// unhold publishes what is held back for a successor that has not come, and what found no room. It reports whether
// some of that still doesn't.
func (r *Ring) unhold() (crowd bool) {
	r.lock()
	defer r.unlock()
	r.heldBack.Store(false)
	if g := r.link.open; g != nil {
		r.link.open = nil
		r.release(g)
	}
	n := 0
	for _, t := range r.sq.backlog {
		if !r.k.SQ.Has(t.n) {
			break
		}
		r.write(t)
		n++
	}
	r.sq.backlog = append(r.sq.backlog[:0], r.sq.backlog[n:]...)
	crowd = len(r.sq.backlog) > 0
	r.crowded.Store(crowd)
	if crowd {
		r.heldBack.Store(true)
	}
	return crowd
}

// submit enters the kernel until it has taken everything up to tail, and returns how often. The caller uses the ring.
func (r *Ring) submit(tail uint32) (enters int) {
	if r.k.Flags&uring.SetupSQPoll != 0 {
		return r.wakeThread()
	}
	var p patience
	for !r.k.SQ.Passed(tail) {
		n, errno := r.k.Submit()
		enters++
		if r.profile != nil {
			r.profile.batches.note(n)
		}
		if (errno != 0 || n == 0) && !p.endure(r, errno) {
			break
		}
	}
	return enters
}

// wakeThread makes the SQPOLL thread look, and waits for room if that has run out.
func (r *Ring) wakeThread() (enters int) {
	if r.k.SQ.NeedWakeup() {
		r.k.Submit()
		enters++
	}
	for r.crowded.Load() && r.full() && r.broken() == nil {
		r.k.WaitRoom()
		enters++
	}
	return enters
}

func (r *Ring) full() bool {
	r.sq.mu.Lock()
	defer r.sq.mu.Unlock()
	return !r.k.SQ.Has(1)
}

// patience is how an enter that failed is dealt with.
type patience struct {
	tries int
	since time.Time
}

// endure says whether to try again, after making what room it can; if not, the ring is broken.
func (p *patience) endure(r *Ring, errno syscall.Errno) bool {
	switch errno {
	case syscall.EINTR: // a signal, perhaps Go's own for preemption
		return true
	case 0, syscall.EAGAIN, syscall.EBUSY: // no memory for requests just now; CQEs to be read first
		return p.wait(r, errno, time.Minute)
	case syscall.ENOMEM, uring.EBADR: // EBADR: CQEs were lost for want of memory, the kernel says so once
		return p.wait(r, errno, time.Second/2)
	}
	r.fail(errno)
	return false
}

// wait makes what room it can, and lets some time pass, but not more than limit in all.
func (p *patience) wait(r *Ring, errno syscall.Errno, limit time.Duration) bool {
	if p.since.IsZero() {
		p.since = time.Now()
	} else if time.Since(p.since) > limit {
		r.fail(errno)
		return false
	}
	r.reap()
	p.tries++
	if p.tries > 4 {
		time.Sleep(min(time.Duration(p.tries)*10*time.Microsecond, time.Millisecond))
	}
	return true
}
