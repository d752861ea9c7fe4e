package rio

import (
	"sync"
	"sync/atomic"
)

// The results of reads that ended at once lie in ops of their own, which a P has a few of: what one goroutine reads costs
// others nothing, for there is no lock and nothing shared, and who takes a result gives the op back by that. If the few all wait
// to be taken, it is plain that somebody starts several reads at once, which are cheaper in one enter: the file's next reads go to
// the ring without a try, and more of them each time that this happens again.

// atOnce are the results of a Ring.
type atOnce struct {
	local  sync.Pool // of *results: those of the P that asks
	next   atomic.Uint32
	counts [countStripes]struct {
		n atomic.Uint64
		_ [56]byte // a cache line each
	}
}

// countStripes is how many counters there are. A P has one of them, others may have the same.
const countStripes = 8

// burst is how many ops a P has.
const burst = 2

// results are some ops to be used in turn.
type results struct {
	ops    [burst]*op
	of     [burst]*handle // whose they were last
	next   int
	stripe uint32
	missed int     // how often in a row none was free
	found  int     // how often in a row one was, for the same file
	last   *handle // that file
	ended  uint8   // how many have, since one has looked whether to rest
	rests  rests
}

// forgotten is after how many reads in a row that found none free the next is given up: its result may never be taken.
const forgotten = 16

// steady is after how many reads of a file in a row that found one nobody starts several at once any more.
const steady = 32

// get is the P's results, which are put back into local.
func (a *atOnce) get() *results {
	if r, _ := a.local.Get().(*results); r != nil {
		return r
	}
	return &results{stripe: a.next.Add(1) % countStripes}
}

// any reports whether there is an op for one more read of h, which is the next then.
func (r *results) any(l *lane, h *handle) bool {
	if r.last != h {
		r.last, r.found = h, 0
	}
	for range burst {
		o := r.ops[r.next]
		if o == nil || o.gen() >= lastGen || r.missed >= forgotten {
			r.ops[r.next] = &op{lane: l, kind: kindRead}
		} else if o.state.Load() != uint64(o.born)<<genShift {
			r.next = (r.next + 1) % burst
			continue
		}
		r.missed = 0
		r.found++
		return true
	}
	if r.found = 0; !h.memory { // whose reads go nowhere else
		r.missed++
	}
	return false
}

// crowded reports whether all that are not free are h's.
func (r *results) crowded(h *handle) bool {
	for _, of := range r.of {
		if of != h {
			return false
		}
	}
	return true
}

// put makes the next op one of h that has ended with n. There is one.
func (r *results) put(a *atOnce, h *handle, n int) (o *op, gen uint64) {
	o = r.ops[r.next]
	r.of[r.next] = h
	r.next = (r.next + 1) % burst
	o.res, gen = int32(n), uint64(o.born)
	o.born++ // the generation in which it is free again
	r.ends(a)
	o.state.Store(gen<<genShift | uint64(uint32(n))<<resShift | isDone | isPlain)
	return o, gen
}

// ended is an op of the ring's that has ended with n: for what must not go to the ring, though none of those is free.
func (r *Ring) ended(n int) (o *op, gen uint64) {
	r.sq.mu.Lock()
	o = r.newOp(false)
	r.sq.instant++
	r.sq.mu.Unlock()
	o.kind, o.bits, o.fate, o.ends, o.res = kindRead, 0, 0, false, int32(n)
	s := o.state.Load()
	o.state.Store(s | isDone | isPlain | uint64(uint32(n))<<resShift)
	return o, s >> genShift
}

// ends counts one.
func (r *results) ends(a *atOnce) {
	a.counts[r.stripe].n.Add(1)
	r.ended++
}

// putBack lets others have a, and its caller rest, if it is time to: who goes on so never lets go of his P.
func (r *Ring) putBack(a *results) {
	rest := a.ended >= often
	if rest {
		a.ended = 0
	}
	r.atOnce.local.Put(a)
	if rest {
		a.rests.look(r)
	}
}

// count is how many there were.
func (a *atOnce) count() (n uint64) {
	for i := range a.counts {
		n += a.counts[i].n.Load()
	}
	return n
}
