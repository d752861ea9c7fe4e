package rio

import (
	"fmt"
	"sync/atomic"
	"syscall"
)

// tickets keeps the completion queue from overflowing. It starts out with one ticket for each CQ entry; an operation
// takes one before it may claim an SQE, and it goes back once the CQE has been copied out, so that
//
//	in flight + unread CQEs + free tickets == CQ entries
//
// and a full CQ is not an error to handle but a state that cannot be reached. All lanes share the tickets, and each has a
// CQ for all of them; a lane has some of the free ones at hand.
//
// Who finds too few gets in line, and nobody overtakes: a chain that needs many would wait for ever otherwise. The line
// is the first lane's, under its sq.mu.
type tickets struct {
	_             apart
	free          atomic.Uint32
	_             apart
	waiting       atomic.Int32 // how many are in line
	all           uint32
	first         *op // the line, linked by next; n and off say how many tickets and files each needs
	last          *op
	reservedFiles uint32 // granted to somebody who has not taken them yet
	waits         uint64 // how many had to be
}

func (t *tickets) init(n uint32) {
	t.all = n
	t.free.Store(n)
}

// draw takes most tickets, or those there are; none if they are fewer than least.
func (t *tickets) draw(least, most uint32) uint32 {
	for {
		free := t.free.Load()
		if free < least {
			return 0
		}
		n := min(free, most)
		if t.free.CompareAndSwap(free, free-n) {
			return n
		}
	}
}

// handful is how many tickets a lane takes at a time.
var handful uint32 = 16

// ticket takes one of those at hand, if there is one; otherwise stock may find one. Whoever is in line has recalled them all, and
// stock takes no more then. It is short enough to become part of its caller. Under sq.mu.
func (l *lane) ticket() bool {
	if l.sq.tickets == 0 {
		return false
	}
	l.sq.tickets--
	return true
}

// stock takes a handful, one of them for the caller, unless somebody is in line. Under sq.mu.
func (l *lane) stock() bool {
	t := &l.ring.tickets
	if t.waiting.Load() != 0 {
		return false
	}
	n := t.draw(1, handful)
	if n == 0 {
		return false
	}
	l.sq.tickets += n - 1
	return true
}

// recall takes back what the lanes have at hand. Who is in line has said so before: afterwards no lane takes more. Under
// the first lane's sq.mu.
func (r *Ring) recall() {
	n := r.sq.tickets
	r.sq.tickets = 0
	for _, l := range r.sides() {
		l.sq.mu.Lock()
		n += l.sq.tickets
		l.sq.tickets = 0
		l.sq.mu.Unlock()
	}
	r.tickets.put(n)
}

// put gives n back. Whoever does it sees to those in line afterwards: follow or grant.
func (t *tickets) put(n uint32) { t.free.Add(n) }

// giveBack returns the ticket of an operation that came to nothing.
func (r *Ring) giveBack(c *call) {
	if !c.quiet {
		r.tickets.put(1)
		r.grant()
	}
}

// admit takes n tickets, and waits for them and for so many places in the table of registered files. It returns with the
// first lane's sq.mu held, and the files to be taken, unless there is an error.
func (r *Ring) admit(n, files uint32) error {
	r.sq.mu.Lock()
	if err := r.refuse(); err != nil {
		r.sq.mu.Unlock()
		return err
	}
	t := &r.tickets
	if files > uint32(r.k.Files) {
		r.sq.mu.Unlock()
		return fmt.Errorf("rio: %d foreign descriptors at once, RLIMIT_NOFILE allows %d: %w", files, r.k.Files, syscall.EMFILE)
	}
	if t.first == nil && r.afford(n, files) {
		return nil
	}
	w := r.newOp(false)
	w.ends = false
	w.kind, w.bits, w.fate, w.n, w.off, w.next = kindNop, bitWaiter, 0, n, uint64(files), nil
	gen := w.gen()
	if t.first == nil {
		t.first = w
	} else {
		t.last.next = w
	}
	t.last = w
	t.waits++
	t.waiting.Add(1)
	r.recall() // afford hasn't if it is only files that are too few
	r.sq.mu.Unlock()

	if r.logs {
		defer r.watchLine().Stop()
	}
	// A place may have come free before the line was there to be seen.
	r.grant()
	w.claim(gen)
	sides := r.sides()
	for _, l := range sides {
		l.watch()
	}
	r.help(w, gen) // submits everything, whoever is about to: it is what w waits for
	r.linger(w, nil)
	for _, l := range sides {
		l.watchers.Add(-1)
	}
	granted := w.res == 0
	w.retire()
	r.recycle(w)
	r.sq.mu.Lock()
	if granted {
		t.reservedFiles -= files
	}
	err := r.refuse()
	if err == nil && !granted {
		err = ErrClosed
	}
	if err != nil {
		r.sq.mu.Unlock()
		if granted {
			t.put(n)
		}
	}
	return err
}

// afford takes so many tickets, if there are, and so many places for files. Under sq.mu.
func (r *Ring) afford(n, files uint32) bool {
	if uint32(len(r.sq.files))-r.tickets.reservedFiles < files {
		return false
	}
	if r.tickets.free.Load() < n {
		r.recall()
	}
	return r.tickets.draw(n, n) == n
}

// grant gives free places to those first in line. It takes sq.mu; cq.mu must not be held.
func (r *Ring) grant() {
	t := &r.tickets
	if t.waiting.Load() == 0 {
		return
	}
	r.sq.mu.Lock()
	for t.first != nil && r.afford(t.first.n, uint32(t.first.off)) {
		t.reservedFiles += uint32(t.first.off)
		r.dismiss(0)
	}
	r.sq.mu.Unlock()
}

// dismiss takes the first out of the line, with that result. Under sq.mu.
func (r *Ring) dismiss(res int32) {
	t := &r.tickets
	w := t.first
	t.first, w.next = w.next, nil
	t.waiting.Add(-1)
	w.resolve(res)
}
