package rio

import "github.com/seed-9c58b644/rio/internal/uring"

// A train is a run of ops, linked by next, that goes to the kernel in one piece: each is IO_LINKed to the one before.
type train struct {
	first, last *op
	n           uint32
}

// send writes t's SQEs and publishes them, all at once: the kernel's own tail moves when the last one is written. What
// finds no room goes out with the next flush. Under sq.mu.
func (l *lane) send(t train) {
	if len(l.sq.backlog) > 0 || !l.k.SQ.Has(t.n) {
		l.sq.backlog = append(l.sq.backlog, t)
		l.heldBack.Store(true)
		l.crowded.Store(true)
		return
	}
	l.write(t)
}

func (l *lane) write(t train) {
	l.notBrief(t.n)
	for o := t.first; o != t.last; o = o.next {
		o.bits |= bitLinked
		o.fillSQE(l.k.SQ.Claim(), o.data)
	}
	t.last.bits &^= bitLinked
	t.last.fillSQE(l.k.SQ.Claim(), t.last.data)
	l.publish(t.n)
}

// publish shows the kernel n more SQEs. Under sq.mu.
func (l *lane) publish(n uint32) {
	if uring.Race {
		l.edge.Add(1)
	}
	l.sq.written += uint64(n)
	l.k.SQ.Publish()
}

// started is called after something was sent, without locks: the sweeper may have to be woken, room to be made.
func (l *lane) started() {
	if l.wanted() || l.ring.wanted() {
		l.attend()
	}
}

func (l *lane) wanted() bool { return l.crowded.Load() || l.todo.Load() }

func (r *Ring) wanted() bool { return r.asleep.Load() || r.tickets.waiting.Load() > 0 }

// attend is started where there is something to do.
func (l *lane) attend() {
	if l.ring.asleep.Load() {
		l.ring.nudge()
	}
	if l.crowded.Load() {
		l.flush()
	}
	l.follow()
}
