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
// and a full CQ is not an error to handle but a state that cannot be reached. A ticket is at the same time a place in
// the table that user_data points into.
//
// Free places lie in a queue with one producer (under cq.mu) and one consumer (under sq.mu): neither waits for the
// other. Who finds too few gets in line, and nobody overtakes: a chain that needs many would wait for ever otherwise.
type tickets struct {
	places        []uint32 // the free ones, from head to tail
	mask          uint32
	head          uint32 // under sq.mu
	back          uint32 // under cq.mu: tail is what of it the other side sees
	tail          atomic.Uint32
	reserved      uint32 // granted to somebody who has not taken them yet; under sq.mu
	first         *op    // the line, linked by next; n and off say how many tickets and files each needs
	last          *op
	reservedFiles uint32
	waiting       atomic.Int32 // how many are in line
	waits         uint64       // how many had to be
}

func (t *tickets) init(n uint32) {
	t.places = make([]uint32, n)
	for i := range t.places {
		t.places[i] = uint32(i)
	}
	t.mask = n - 1 // the kernel's queues are powers of two
	t.back = n
	t.tail.Store(n)
}

// free is how many places nobody has a claim to. Under sq.mu.
func (t *tickets) free() uint32 { return t.tail.Load() - t.head - t.reserved }

// take returns a place. Under sq.mu; there is one.
func (t *tickets) take() uint32 {
	p := t.places[t.head&t.mask]
	t.head++
	return p
}

// put gives a place back; publish shows it to take. Both under cq.mu.
func (t *tickets) put(place uint32) {
	t.places[t.back&t.mask] = place
	t.back++
}

func (t *tickets) publish() {
	if t.tail.Load() != t.back {
		t.tail.Store(t.back)
	}
}

// admit waits for n tickets, and for so many places in the table of registered files. It returns with sq.mu held, and
// all of that to be taken, unless there is an error.
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
	if t.first == nil && r.affords(n, files) {
		return nil
	}
	w := r.newOp()
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
	r.sq.mu.Unlock()

	// A place may have come free before the line was there to be seen.
	r.grant()
	w.claim(gen)
	r.await(w, nil) // submits everything first
	granted := w.res == 0
	w.retire()
	r.recycle(w)
	r.sq.mu.Lock()
	if granted {
		t.reserved -= n
		t.reservedFiles -= files
	}
	err := r.refuse()
	if err == nil && !granted {
		err = ErrClosed
	}
	if err != nil {
		r.sq.mu.Unlock()
	}
	return err
}

// affords reports whether there are so many tickets, and places for files, that nobody has a claim to. Under sq.mu.
func (r *Ring) affords(n, files uint32) bool {
	return r.tickets.free() >= n && uint32(len(r.sq.files))-r.tickets.reservedFiles >= files
}

// grant gives free places to those first in line. It takes sq.mu; cq.mu must not be held.
func (r *Ring) grant() {
	t := &r.tickets
	if t.waiting.Load() == 0 {
		return
	}
	r.sq.mu.Lock()
	for t.first != nil && r.affords(t.first.n, uint32(t.first.off)) {
		t.reserved += t.first.n
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

// spare are places for operations that nobody holds a Completion of (what a Conn or a Listener waits for): a thousand
// idle connections must not use up the tickets. The table grows for them. Should they all complete at once the kernel
// keeps the CQEs that find no room (IORING_FEAT_NODROP).
type spare []uint32

// placeQuiet returns a place that is no ticket. Under sq.mu and cq.mu.
func (r *Ring) placeQuiet() uint32 {
	if len(r.spare) == 0 {
		n := len(r.table)
		grown := make([]entry, n+max(64, n/4))
		copy(grown, r.table)
		r.table = grown
		for i := len(grown) - 1; i >= n; i-- {
			r.spare = append(r.spare, uint32(i))
		}
	}
	p := r.spare[len(r.spare)-1]
	r.spare = r.spare[:len(r.spare)-1]
	return p
}
