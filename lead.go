package rio

import (
	"context"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// A leader stays in the kernel for lead if nothing comes, and looks at his context only afterwards. For longLead who waits for
// what a file's operation takes: a disk with much to do takes longer than lead, and he would park, and be woken by way of the
// reaper, each time. A timeout that is shorter than the kernel's tick (4 ms at 250 Hz) costs setting the timer, too.
const lead, longLead = time.Millisecond, 5 * time.Millisecond

// longLeaders is how many leaders of all Rings stay for longLead, or would. A goroutine in a system call holds its P until the
// runtime's monitor takes it away, which may be after 10 ms: if that is the last P nobody looks at timers or at the netpoller.
var longLeaders atomic.Int32

// stay waits in the kernel until something comes, but not for too long.
func (l *lane) stay(o *op, ctx context.Context) syscall.Errno {
	if !o.ends || ctx != nil || l.holdsBack(o) {
		_, errno := l.k.Wait(false)
		return errno
	}
	_, errno := l.k.Wait(longLeaders.Add(1) < l.ring.procs.Load())
	longLeaders.Add(-1)
	return errno
}

// holdsBack reports whether o waits for others: what ends it then may be no CQE, which would wake its leader.
func (l *lane) holdsBack(o *op) bool {
	l.cq.mu.Lock()
	defer l.cqUnlock()
	return o.in != nil
}

// lead waits in the kernel, and reads what comes, until o is done or nothing came for a while. There is one leader: two
// wake each other up, and would pass a relay to each other. It lets others run before it submits, so that what they start goes
// along.
func (l *lane) lead(o *op, ctx context.Context) {
	if l.armed.Load() {
		l.disarm()
	}
	var p patience
	for some := true; ; {
		for some && l.shared() && !o.isDone() && (ctx == nil || ctx.Err() == nil) {
			before := l.flushed.Load()
			l.yielding.Store(true)
			inTurn := l.scheduler.yield(l, o, l.feed(o))
			l.yielding.Store(false)
			l.submitFor(before)
			if !inTurn {
				break
			}
			l.passOn() // not before: while it submits nobody has to run elsewhere
		}
		if !o.isDone() {
			l.takeBreak()
		}
		if l.heldBack.Load() {
			l.flush() // it may be o itself
		}
		if o.isDone() || o.isHandedOver() || ctx != nil && ctx.Err() != nil {
			break
		}
		if some = l.askPoller(); some {
			continue
		}
		if !l.use() {
			break
		}
		enters := l.submit(l.k.SQ.Tail()) // nothing, mostly; but what another flush has only promised would wait for us
		errno := l.stay(o, ctx)
		l.unuse(enters + 1)
		some = l.reap()
		if errno == uring.ETIME {
			break
		}
		if errno != 0 && !p.endure(l, errno) {
			break
		}
	}
	// Who parked while there was a leader has relied on it.
	l.leaders.Store(0)
	if !l.relay.active.Load() {
		l.entrust()
	}
}

// entrust has the reaper see to those who rely on somebody, if there is no leader.
func (l *lane) entrust() {
	if l.leaders.Load() == 0 && l.watchers.Load() > 0 {
		l.flush() // what they have left to the last one
		l.arm()
	}
}
