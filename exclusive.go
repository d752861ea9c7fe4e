package rio

import (
	"runtime"
	"sync"
)

// Of several accepts that wait on one socket the kernel wakes one for each connection (EPOLLEXCLUSIVE). If that one is cancelled before
// it has looked, it ends as cancelled, the connection lies there, and nobody else is woken until the next one comes (seen on Linux
// 6.18). So whenever an accept has been cancelled, all others of the process are begun again: they look before they wait.

// acceptors are the Rings that have begun an accept in the kernel, until they are closed.
var acceptors struct {
	mu sync.Mutex
	m  map[*Ring]struct{}
}

// accepts is called before r begins one.
func (r *Ring) accepts() {
	if r.acceptor.Load() || !r.linux {
		return
	}
	acceptors.mu.Lock()
	defer acceptors.mu.Unlock()
	if acceptors.m == nil {
		acceptors.m = make(map[*Ring]struct{})
	}
	acceptors.m[r] = struct{}{}
	r.acceptor.Store(true)
}

// acceptsNoMore is called when r is closed.
func (r *Ring) acceptsNoMore() {
	acceptors.mu.Lock()
	defer acceptors.mu.Unlock()
	delete(acceptors.m, r)
}

func (k kind) accepts() bool { return k == kindAccept || k == kindAccepts }

// restartAccepts is called when an accept has been cancelled. No lock is held.
func restartAccepts() {
	acceptors.mu.Lock()
	var all []*Ring
	for r := range acceptors.m {
		all = append(all, r)
	}
	acceptors.mu.Unlock()
	for _, r := range all {
		r.restartAccepts()
	}
}

// restartAccepts has the kernel cancel those accepts that nobody has asked to cancel: again begins them once more. They are all on the
// first lane.
func (r *Ring) restartAccepts() {
	l := &r.lane
	for i, some := 0, true; some; {
		some = false
		l.lock()
		for ; i < len(l.table) && !l.cq.gone; i++ {
			o := l.table[i].op
			if o == nil || !o.kind.accepts() || o.in != nil || o.fate&(fateAbsorb|fateLost) != 0 || o.state.Load()&(isCancelled|isDone|isHanded) != 0 {
				continue
			}
			if some = true; !l.k.SQ.Has(1) {
				break // the rest when these are submitted
			}
			l.askCancel(o)
		}
		some = some && i < len(l.table) && r.broken() == nil
		l.unlock()
		l.flush()
		l.reap()
		if some {
			runtime.Gosched() // others may have filled the queue once more
		}
	}
}
