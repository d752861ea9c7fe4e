package rio

import (
	"cmp"
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// flush hands everything to the kernel that was started so far, but for some of what is put off. What another flush is about to
// submit counts as submitted: it makes its system call before it does anything else.
func (l *lane) flush() {
	alone := l.mayBeBrief() && l.useAlone()
	if !alone && !l.use() {
		return
	}
	enters := 0
	for first := true; ; first = false {
		again := l.heldBack.Load() && l.unhold(first)
		t := l.k.SQ.Tail()
		if t == l.flushed.Load() && !again || l.ring.broken() != nil {
			break
		}
		l.flushed.Store(t)
		if !alone {
			l.meet()
		}
		if l.noted || l.k.SQ.Passed(t) {
			enters += l.submit(t)
		} else { // here, as mostly
			var errno syscall.Errno
			if left := l.k.SQ.Left(t); alone && l.briefly(left) {
				errno = l.k.EnterBriefly(left)
			} else {
				alone = alone && l.tolerate()
				errno = l.k.Enter()
			}
			if enters++; errno != 0 || !l.k.SQ.Passed(t) {
				alone = alone && l.tolerate()
				enters += l.insist(t, errno)
			}
		}
		if !again {
			break
		}
	}
	if alone {
		l.unuseAlone(enters)
	} else {
		l.unuse(enters)
	}
}

// unhold publishes what is held back for a successor that has not come, what found no room, and some of what was put off. It
// reports whether to do so again after an enter; first, whether it hasn't been asked that before in this flush.
func (l *lane) unhold(first bool) (again bool) {
	l.lock()
	defer l.unlock()
	l.heldBack.Store(false)
	if g := l.link.open; g != nil {
		l.link.open = nil
		l.release(g)
	}
	n := 0
	for _, t := range l.sq.backlog {
		if !l.k.SQ.Has(t.n) {
			break
		}
		l.write(t)
		n++
	}
	l.sq.backlog = append(l.sq.backlog[:0], l.sq.backlog[n:]...)
	again = l.putOn(first)
	crowd := len(l.sq.backlog) > 0
	l.crowded.Store(crowd)
	if crowd || l.sq.later.any() {
		l.heldBack.Store(true)
	}
	return again || crowd
}

// submit enters the kernel until it has taken everything up to tail, and returns how often. The caller uses the ring.
func (l *lane) submit(tail uint32) (enters int) { return l.submitWith(patience{}, tail) }

// insist is submit after an enter that didn't take everything.
func (l *lane) insist(tail uint32, errno syscall.Errno) (enters int) {
	var p patience
	if errno != 0 && !p.endure(l, errno) {
		return 0
	}
	return l.submitWith(p, tail)
}

func (l *lane) submitWith(p patience, tail uint32) (enters int) {
	if l.k.Flags&uring.SetupSQPoll != 0 {
		return l.wakeThread()
	}
	for !l.k.SQ.Passed(tail) {
		n, errno := l.k.Submit()
		enters++
		if l.profile != nil {
			l.profile.batches.note(n)
		}
		if (errno != 0 || n == 0) && !p.endure(l, errno) {
			break
		}
	}
	return enters
}

// wakeThread makes the SQPOLL thread look, and waits for room if that has run out.
func (l *lane) wakeThread() (enters int) {
	if l.k.SQ.NeedWakeup() {
		l.k.Submit()
		enters++
	}
	for l.crowded.Load() && l.full() && l.ring.broken() == nil {
		l.k.WaitRoom()
		enters++
	}
	return enters
}

func (l *lane) full() bool {
	l.sq.mu.Lock()
	defer l.sq.mu.Unlock()
	return !l.k.SQ.Has(1)
}

// patience is how an enter that failed is dealt with.
type patience struct {
	tries  int
	since  time.Time
	within bool // somebody's Control: what reading the CQ makes possible, which may be another Control, comes after it
}

// endure says whether to try again, after making what room it can; if not, the ring is broken.
func (p *patience) endure(l *lane, errno syscall.Errno) bool {
	switch errno {
	case syscall.EINTR: // a signal, perhaps Go's own for preemption
		return true
	case 0, syscall.EAGAIN, syscall.EBUSY: // no memory for requests just now; CQEs to be read first
		return p.wait(l, errno, time.Minute)
	case uring.EBADR: // said once, when CQEs were lost for want of memory: whose, nobody knows, and they would be waited for for ever
		if l.lost() {
			break
		}
		fallthrough
	case syscall.ENOMEM:
		return p.wait(l, errno, time.Second/2)
	}
	l.ring.fail(errno)
	return false
}

// lost reports whether the kernel has dropped CQEs of l.
func (l *lane) lost() bool {
	l.cq.mu.Lock()
	defer l.cqUnlock()
	return !l.cq.gone && l.k.CQ.Lost() > 0
}

// wait makes what room it can, and lets some time pass, but not more than limit in all.
func (p *patience) wait(l *lane, errno syscall.Errno, limit time.Duration) bool {
	if p.since.IsZero() {
		p.since = time.Now()
		if errno == syscall.ENOMEM || errno == uring.EBADR {
			l.ring.log.Warn("rio: the kernel has no memory; trying again", "error", errno, "for", limit)
		}
	} else if time.Since(p.since) > limit {
		l.ring.fail(cmp.Or(errno, syscall.EIO)) // 0: it takes nothing, and doesn't say why
		return false
	}
	if l.ring.broken() != nil {
		return false // somebody else's patience is over
	}
	if p.within {
		l.cq.mu.Lock()
		l.drain()
		l.cqUnlock()
	} else {
		l.reap()
	}
	p.tries++
	if p.tries > 4 {
		time.Sleep(min(time.Duration(p.tries)*10*time.Microsecond, time.Millisecond))
	}
	return true
}
