package rio

import "slices"

// Where many goroutines have been woken and have not run yet, a receive that is submitted now is done long before its reader's
// turn comes. By then the socket, the buffer and the goroutine have left the processor's cache; the answer needs the socket once
// more. So a Conn's receives are put off, in their order, and each flush submits a portion of them, and the next while there are
// few completions to be read: as many readers run next.
//
// What is put off is in the table, as all that was started, and may be cancelled: the kernel never hears of it then. heldBack
// keeps the sweeper awake, who flushes if nobody else does.
type later struct {
	line []uint64 // user_data: who has been cancelled meanwhile is found no more
	head int      // of line

	pushed uint64 // how many were, so far
}

// portion is how many are submitted at a time.
const portion = 64

func (q *later) any() bool { return len(q.line) > 0 }

func (q *later) push(data uint64) {
	if len(q.line) == cap(q.line) && q.head >= len(q.line)/2 {
		q.line = slices.Delete(q.line, 0, q.head)
		q.head = 0
	}
	q.line = append(q.line, data)
	q.pushed++
}

func (q *later) pop() (data uint64) {
	data = q.line[q.head]
	if q.head++; q.head == len(q.line) {
		q.line, q.head = q.line[:0], 0
	}
	return data
}

// putOff puts o off if it is a receive, and has to be. With several Ps what a Conn waits for is not in the ring, mostly; where
// the kernel's side isn't done within enter nothing says how many were enough. Under sq.mu.
func (l *lane) putOff(o *op) bool {
	if o.kind != kindRecv || !l.sq.later.any() && !l.relay.isLong.Load() || l.ring.procs.Load() > 1 || !l.k.Plain() {
		return false
	}
	l.cq.mu.Lock()
	o.fate |= fateLater
	l.cqUnlock()
	l.sq.later.push(o.data)
	l.heldBack.Store(true)
	return true
}

// putOn publishes a portion, or nothing if it is not the first that a flush does so for and there is enough to be read. It reports
// whether to do so again after an enter. Under both locks.
func (l *lane) putOn(first bool) (again bool) {
	q := &l.sq.later
	if !first && l.k.CQ.Ready() >= portion || len(l.sq.backlog) > 0 {
		return false
	}
	n := 0
	for n < portion && q.any() && l.k.SQ.Has(1) {
		if o := l.find(q.pop()); o != nil {
			o.fate &^= fateLater
			l.write(train{first: o, last: o, n: 1})
			n++
		}
	}
	return n > 0 && q.any()
}

// putsOff reports whether anything is put off.
func (l *lane) putsOff() bool {
	l.sq.mu.Lock()
	defer l.sq.mu.Unlock()
	return l.sq.later.any()
}

// drop ends all that is put off: the ring has broken, and the kernel has nothing of it. Under both locks.
func (q *later) drop(l *lane, res int32) {
	for q.any() {
		if o := l.find(q.pop()); o != nil {
			l.letGo(o)
			o.fate = fateLost
			l.tell(o, res)
		}
	}
}
