package rio

import (
	"runtime"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// An enter that waits for nothing is made without telling the runtime, which costs more than some of them take. Until it
// returns its P is nobody else's: so what it submits must be little, and such that the kernel does it at once, or begins it and
// lets it wait elsewhere; and nobody else may be in the kernel whose work it would have to wait for. That could be a read of a
// file that this very process serves, with its last P held here. So
//
//   - who makes one uses the ring alone: others wait in use, which takes no longer than the enter;
//   - it offers no more than it has looked at;
//   - what somebody else answers is left to the kernel's workers (isRemote), lest the kernel does it where it is of no account who
//     uses the ring: when a thread goes back to its own work, which is where followers of a link begin.
//
// slowUntil is up to which place in the queue there may be something else. It is written ahead of what is slow, so that it
// needn't be for each; what is brief in the same places goes along.

const (
	ahead = 64
	// mostBrief is how many at most make a brief enter: for more it isn't worth it.
	mostBrief = 8
)

// mayBeBrief reports whether nothing slow is queued, as far as can be seen from here.
func (l *lane) mayBeBrief() bool {
	return int32(l.slowUntil.Load()-l.flushed.Load()) <= 0 && !l.noted && !l.heldBack.Load()
}

// briefly reports whether so many as are left in the queue, and nothing slow, can be entered with briefly. The caller uses the
// ring alone, and has looked at the tail before.
func (l *lane) briefly(left uint32) bool {
	if left > mostBrief || !l.k.SQ.Passed(l.slowUntil.Load()) {
		return false
	}
	if l.onBrief != nil {
		l.onBrief()
	}
	return true
}

// useAlone is use if nobody else does, who then can't until tolerate or unuseAlone.
func (l *lane) useAlone() bool {
	calls := l.calls.Load()
	if calls&(2*aloneBit-1) != 0 || !l.calls.CompareAndSwap(calls, calls+1|aloneBit) {
		return false
	}
	if !l.gone.Load() {
		return true
	}
	l.unuseAlone(0)
	return false
}

// unuseAlone is unuse for who has used it alone.
func (l *lane) unuseAlone(enters int) { l.calls.Add(uint64(enters)<<callShift - aloneBit - 1) }

// tolerate is for who uses the ring alone, and lets others. It returns false.
func (l *lane) tolerate() bool {
	l.calls.And(^uint64(aloneBit))
	return false
}

// afterYou waits until who uses the ring alone has finished.
func (l *lane) afterYou() {
	l.contend()
	for l.calls.Load()&aloneBit != 0 {
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
func (o *op) isBrief() bool { return kinds[o.kind].brief && o.n <= uring.FewBytes }
