package rio

import (
	"context"
	"runtime"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// Waiters help: who waits for an operation submits what everybody has queued, reads everybody's completions, and for a
// moment waits in the kernel on everybody's behalf. Only then does it park, and the reaper takes over.

// lead is how long a leader may stay in the kernel. In a system call a goroutine holds its P until sysmon takes it away.
const lead = time.Millisecond

// await returns when o, which the caller has claimed, is done; or, false, when ctx (which may be nil) has ended.
func (r *Ring) await(o *op, ctx context.Context) bool {
	if o.isDone() {
		return true
	}
	r.help()
	return r.linger(o, ctx)
}

// help submits what everybody has queued, and reads everybody's completions.
func (r *Ring) help() {
	if r.parked.Load() > 0 {
		runtime.Gosched() // whatever is runnable can queue its operations too: one enter for all
	}
	r.flush()
	r.reap()
}

// linger is the rest of await: it leads, or parks.
func (r *Ring) linger(o *op, ctx context.Context) bool {
	if o.isDone() {
		return true
	}
	if !o.isHandedOver() && r.leader.CompareAndSwap(false, true) {
		r.lead(o, ctx)
	}
	if o.isDone() {
		return true
	}
	return r.park(o, ctx)
}

// isHandedOver reports whether o's CQE has been read already, and only follow, or the witness, is still to resolve it.
func (o *op) isHandedOver() bool { return o.state.Load()&isHanded != 0 }

// lead waits in the kernel, and reads what comes, until o is done or nothing came for a while. There is one leader: two
// wake each other up.
func (r *Ring) lead(o *op, ctx context.Context) {
	if r.armed.Load() {
		r.disarm()
	}
	var p patience
	for !o.isDone() && !o.isHandedOver() && (ctx == nil || ctx.Err() == nil) && r.use() {
		enters := r.submit(r.k.SQ.Tail()) // nothing, mostly; but what another flush has only promised would wait for us
		_, errno := r.k.Wait()
		r.unuse(enters + 1)
		r.reap()
		if errno == uring.ETIME {
			break
		}
		if errno != 0 && !p.endure(r, errno) {
			break
		}
	}
	r.leader.Store(false)
	// Who parked while there was a leader has relied on it.
	if r.watchers.Load() > 0 {
		r.arm()
	}
}

// park sleeps until o is done. Who parks switches the notification on unless there is a leader, who does it at its
// end: of "parked is counted" and "there is no leader" one is seen first, so one of the two does it.
func (r *Ring) park(o *op, ctx context.Context) bool {
	if o.wake == nil {
		o.wake = r.newChan()
	}
	r.parked.Add(1)
	r.watchers.Add(1)
	defer r.unpark()
	if !r.leader.Load() {
		r.arm()
	}
	for {
		s := o.state.Load()
		if s&isDone != 0 {
			return true
		}
		if o.state.CompareAndSwap(s, s|isParked) {
			break
		}
	}
	if ctx == nil {
		<-o.wake
		return true
	}
	select {
	case <-o.wake:
		return true
	case <-ctx.Done():
	}
	for {
		s := o.state.Load()
		if s&isDone != 0 {
			<-o.wake
			return true
		}
		if o.state.CompareAndSwap(s, s&^isParked) {
			return false
		}
	}
}

func (r *Ring) unpark() {
	r.watchers.Add(-1)
	r.parked.Add(-1)
}

// reaper reads the CQ when the eventfd says so, which lies on the netpoller: it costs no thread.
func (r *Ring) reaper() {
	defer close(r.reaperGone)
	var b [8]byte
	for {
		if _, err := r.k.Event.Read(b[:]); err != nil {
			return
		}
		r.reap()
		if r.watchers.Load() > 0 || r.leader.Load() {
			continue
		}
		r.disarm()
		if r.watchers.Load() > 0 && !r.leader.Load() {
			r.arm()
		}
	}
}

func (r *Ring) newChan() chan struct{} {
	select {
	case c := <-r.fresh:
		return c
	case <-r.stop:
		return make(chan struct{}, 1)
	}
}

// mint makes the channels that waiters sleep on. They come from a goroutine as old as the Ring: one that was made
// inside a synctest bubble may not be sent on by the reaper, outside.
func (r *Ring) mint() {
	for {
		select {
		case r.fresh <- make(chan struct{}, 1):
		case <-r.stop:
			return
		}
	}
}
