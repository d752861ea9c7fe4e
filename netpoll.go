package rio

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// With one P a leader who waits in the kernel has it, until the runtime's monitor takes it away, which is 20 µs later at the
// least, and costs two threads' switches. Until then nobody asks Go's poller who else could run; whose peers they may be that
// he waits for. So before he waits in the kernel he has the poller asked, as long as that pays.
type netpoll struct {
	busy  atomic.Bool // somebody asks, or is about to: what follows is his
	dozer *uring.Dozer
	none  bool // and there won't be one
	gain  int  // how often more to ask, because it paid
	idle  int  // how often it wasn't asked because it didn't
	shy   int  // how often more not to, because somebody has run for long
	fear  int  // how long shy was to last the last time
}

const (
	askFor   = 8
	askAfter = 64 // of idle
	aStep    = 20 * time.Microsecond
)

// askPoller lets run who can, who Go's poller knows to be ready included. It reports whether l's operations have got further.
func (l *lane) askPoller() bool {
	p := &l.ring.netpoll
	if l.ring.procs.Load() > 1 || !l.k.Plain() || !p.begin() {
		return false
	}
	before, began := l.queuedSQEs(), time.Now()
	p.dozer.Doze()
	letTwo(began)
	took := time.Since(began)
	steps := int(l.queuedSQEs() - before)
	l.flush()
	l.cq.mu.Lock()
	steps += int(l.drain())
	l.cqUnlock()
	l.follow()
	p.end(steps, took)
	return steps > 0
}

// letTwo lets others run after Doze, which lets who rang it run first. The other way round it is after one Gosched, but for each 61st.
// Beside somebody who computes each would take as long as the first.
func letTwo(began time.Time) {
	for range 2 {
		if time.Since(began) <= patient {
			runtime.Gosched()
		}
	}
}

// begin reports whether to ask; then end has to follow.
func (p *netpoll) begin() bool {
	if !p.busy.CompareAndSwap(false, true) {
		return false
	}
	if p.wanted() && p.open() {
		return true
	}
	p.busy.Store(false)
	return false
}

func (p *netpoll) wanted() bool {
	switch {
	case p.shy > 0:
		p.shy--
		return false
	case p.gain > 0:
		return true
	}
	p.idle++
	return p.idle%askAfter == 0
}

func (p *netpoll) open() bool {
	if p.dozer == nil && !p.none {
		var err error
		p.dozer, err = uring.NewDozer()
		p.none = err != nil
	}
	return !p.none
}

// end notes what came of it. Who runs for longer than those would whose steps there were computes: see scheduler.
func (p *netpoll) end(steps int, took time.Duration) {
	switch {
	case took > patient && took/time.Duration(steps+1) > aStep:
		p.fear = min(max(2*p.fear, minFear), maxFear)
		p.shy, p.gain = p.fear, 0
	case steps > 0:
		p.gain = askFor
		if p.fear -= p.fear / 8; p.fear < minFear/2 {
			p.fear = 0
		}
	case p.gain > 0:
		p.gain--
	}
	p.busy.Store(false)
}

// close lets nobody ask any more.
func (p *netpoll) close() {
	for !p.busy.CompareAndSwap(false, true) {
		runtime.Gosched()
	}
	if p.dozer != nil {
		p.dozer.Close()
	}
}
