package rio

import (
	"os"
	"runtime"
	"sync"
	"syscall"
)

// Close stops admission, submits what is queued, lets operations on regular files finish and cancels those that may wait
// for ever (they resolve with ErrClosed). It returns when the kernel has let go of every buffer and the ring's memory
// is unmapped. It may be called again. Descriptors that the Ring has opened stay open until their own Close.
func (r *Ring) Close() error {
	if err := r.made("Close"); err != nil {
		return err
	}
	r.closeOnce.Do(func() { r.closeErr = r.shut() })
	return r.closeErr
}

func (r *Ring) shut() error {
	r.lock()
	r.sq.refusal = ErrClosed
	for r.tickets.first != nil {
		r.dismiss(errCanceled)
	}
	var idle *op
	if r.inFlightLocked() > 0 && r.broken() == nil {
		idle = &op{ring: r, bits: bitWaiter}
		idle.claim(0)
		r.cq.idle = idle
	}
	r.unlock()
	r.flush()
	r.cancelWhere(isRingClosed, func(o *op) bool { return o.bits&bitBounded == 0 })
	if idle != nil {
		r.await(idle, nil)
	}
	if r.broken() == nil {
		r.orphans.closeAll()
	}
	close(r.stop)
	<-r.sweeperGone
	r.k.Event.Close()
	<-r.reaperGone
	r.gone.Store(true)
	for r.calls.Load()&(1<<callShift-1) != 0 {
		runtime.Gosched()
	}
	r.follow()
	r.cq.mu.Lock()
	r.cq.gone = true
	r.cq.mu.Unlock()
	if r.profile != nil {
		r.profile.write(r)
	}
	if r.broken() != nil && r.inFlight() > 0 {
		wrecks.mu.Lock()
		wrecks.rings = append(wrecks.rings, r)
		wrecks.mu.Unlock()
		return r.broken()
	}
	return r.k.Close()
}

// wrecks are closed Rings that broke with something in flight: the kernel may have some of it, so their memory stays.
var wrecks struct {
	mu    sync.Mutex
	rings []*Ring
}

// fail breaks the ring: the kernel refuses to take what was published, and there is no way back. Every operation
// resolves with the error once; what the kernel may have of them stays pinned, for good.
func (r *Ring) fail(errno syscall.Errno) {
	err := os.NewSyscallError("io_uring_enter", errno)
	if !r.broke.CompareAndSwap(nil, &err) {
		return
	}
	r.lock()
	if r.sq.refusal == nil {
		r.sq.refusal = err
	}
	for i := range r.table {
		o := r.table[i].op
		if o == nil || o.fate&fateLost != 0 || o.state.Load()&isHanded != 0 {
			continue
		}
		o.fate |= fateLost
		if o.h != nil {
			o.h.put()
		}
		if o.state.Load()&isCancelled != 0 {
			r.cancelling.Add(-1)
		}
		r.tell(o, -int32(errno))
	}
	for r.tickets.first != nil {
		r.dismiss(errCanceled)
	}
	if r.cq.idle != nil {
		r.cq.idle.resolve(0)
		r.cq.idle = nil
	}
	r.unlock()
	r.follow()
}

// broken returns what broke the ring, if anything has.
func (r *Ring) broken() error {
	if p := r.broke.Load(); p != nil {
		return *p
	}
	return nil
}
