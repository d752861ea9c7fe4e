package rio

import (
	"runtime"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// An enter that waits for nothing is made without telling the runtime, which costs more than some of them take. Until it
// returns its P is nobody else's: so what it submits must be such that the kernel does it at once, or begins it and lets it wait
// elsewhere, and nobody else may be in the kernel whose work it would have to wait for. That could be a read of a file that this
// very process serves, with its last P held here. So
//
//   - who makes one uses the ring alone: others wait in use, which takes no longer than the enter;
//   - it offers no more than it has looked at.
//
// slowUntil is up to which place in the queue there may be something else. It is written ahead, once in a while: what is
// brief in between goes along.

const ahead = 64

// mayBeBrief reports whether nothing slow is queued, as far as can be seen from here.
func (l *lane) mayBeBrief() bool {
	return int32(l.slowUntil.Load()-l.flushed.Load()) <= 0 && !l.noted && !l.heldBack.Load()
}

// useAlone is use if nobody else does, who then can't until tolerate or unuse.
func (l *lane) useAlone() bool {
	calls := l.calls.Load()
	if calls&(2*alone-1) != 0 || !l.calls.CompareAndSwap(calls, calls+1|alone) {
		return false
	}
	if !l.gone.Load() {
		return true
	}
	l.unuseAlone(0)
	return false
}

// unuseAlone is unuse for who has used it alone.
func (l *lane) unuseAlone(enters int) { l.calls.Add(uint64(enters)<<callShift - alone - 1) }

// tolerate is for who uses the ring alone, and lets others. It returns false.
func (l *lane) tolerate() bool {
	l.calls.And(^uint64(alone))
	return false
}

// afterYou waits until who uses the ring alone has finished.
func (l *lane) afterYou() {
	for l.calls.Load()&alone != 0 {
		runtime.Gosched()
	}
}

// notBrief says that the next n in the queue are not. Under sq.mu, before they are published.
func (l *lane) notBrief(n uint32) {
	if end := l.k.SQ.Claimed() + n; int32(l.slowUntil.Load()-end) < 0 {
		l.slowUntil.Store(end + ahead)
	}
}

// stayNear keeps the distance from slowUntil to what is claimed from wrapping. Under sq.mu.
func (l *lane) stayNear(claimed uint32) {
	if int32(l.slowUntil.Load()-claimed) < 0 {
		l.slowUntil.Store(claimed)
	}
}

// isBrief reports whether the kernel does o at once, or begins it and lets it wait elsewhere.
func (o *op) isBrief() bool { return kinds[o.kind].brief && o.n <= uring.Few }
