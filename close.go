package rio

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"syscall"
)

// Close stops admission, submits what is queued, lets operations on regular files finish and cancels those that may wait
// for ever (they resolve with ErrClosed). It returns when the kernel has let go of every buffer and the ring's memory
// is unmapped. It may be called again. Descriptors that the Ring has opened stay open until their own Close;
// until then they tell their names and addresses, SyscallConn gives access to them, and all else fails with ErrClosed, or what broke the
// Ring.
func (r *Ring) Close() error {
	if err := r.made("Close"); err != nil {
		return err
	}
	r.closeOnce.Do(r.shut)
	return r.closeErr
}

// shut sets closeErr.
func (r *Ring) shut() {
	r.services.end()
	r.refuseMore(ErrClosed)
	var idles []*op
	for l := range r.lanes() {
		if o := l.refuseAll(); o != nil {
			idles = append(idles, o)
		}
	}
	r.cancelWhere(isRingClosed, func(o *op) bool { return o.bits&bitBounded == 0 })
	for _, o := range idles {
		o.lane.await(o, nil)
	}
	r.waits.settle()
	r.hands.settle()
	r.reads.settle()
	r.orphans.closeAll()
	r.acceptsNoMore()
	close(r.stop)
	<-r.sweeperGone
	r.k.Event.Close()
	<-r.reaperGone
	for l := range r.lanes() {
		l.leave()
	}
	r.netpoll.close()
	defer func() { r.closeErr = r.unmap() }() // whatever becomes of Config.Profile's writer, which may panic
	if r.profile != nil {
		r.profile.write(r)
	}
}

// unmap gives back the kernel's rings. Nobody uses them any more.
func (r *Ring) unmap() error {
	if r.broken() != nil && r.inFlight() > 0 {
		wrecks.mu.Lock()
		wrecks.rings = append(wrecks.rings, r)
		wrecks.mu.Unlock()
		return r.broken()
	}
	var err error
	r.withdraw()
	for l := range r.lanes() {
		err = errors.Join(err, l.k.Close())
	}
	return err
}

// refuseMore lets nothing more be started, because of err. In this order: who sees closing leaves what an inbox has alone, and goes to
// the ring; there he must be refused, or he gets what the socket has behind that.
func (r *Ring) refuseMore(err error) {
	r.lock()
	if r.sq.refusal == nil {
		r.sq.refusal = err // which is what lanes that are being opened will say
	}
	for r.tickets.first != nil {
		r.dismiss(errCanceled)
	}
	r.unlock()
	r.closing.Store(true)
	r.waits.end()
}

// refuseAll lets nothing more be started on l. What it returns, if anything is in flight, is done when nothing is.
func (l *lane) refuseAll() (idle *op) {
	l.lock()
	l.sq.refusal = ErrClosed
	if l.inFlightLocked() > 0 && l.ring.broken() == nil {
		idle = &op{lane: l, bits: bitWaiter}
		idle.claim(0)
		l.cq.idle = idle
	}
	l.unlock()
	l.flush()
	return idle
}

// leave waits until nobody uses l's kernel ring, and lets nobody do so again.
func (l *lane) leave() {
	l.gone.Store(true)
	for l.users() != 0 {
		runtime.Gosched()
	}
	l.follow()
	l.cq.mu.Lock()
	l.cq.gone = true
	l.cq.mu.Unlock()
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
	r.refuseMore(err)
	lost := r.inFlight()
	for l := range r.lanes() {
		l.lose(err, errno)
	}
	r.log.Error("rio: the ring is broken", "error", err, "lost", lost)
}

// lose resolves everything that is in flight on l, as lost.
func (l *lane) lose(err error, errno syscall.Errno) {
	l.lock()
	if l.sq.refusal == nil {
		l.sq.refusal = err
	}
	l.sq.later.drop(l, -int32(errno))
	for i := range l.table {
		o := l.table[i].op
		if o == nil || o.fate&fateLost != 0 || o.state.Load()&isHanded != 0 {
			continue
		}
		o.fate |= fateLost
		if o.h != nil {
			o.h.put()
		}
		if o.state.Load()&isCancelled != 0 {
			l.cancelling.Add(-1)
		}
		l.tell(o, -int32(errno))
	}
	if l.cq.idle != nil {
		l.cq.idle.resolve(0)
		l.cq.idle = nil
	}
	l.unlock()
	l.follow()
}

// broken returns what broke the ring, if anything has.
func (r *Ring) broken() error {
	if p := r.broke.Load(); p != nil {
		return *p
	}
	return nil
}
