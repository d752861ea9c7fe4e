package rio

import (
	"sync"
	"sync/atomic"
)

// The results of reads that ended at once lie in ops of their own, which a P has a few of: what one goroutine reads costs
// others nothing, for there is no lock and nothing shared, and who takes a result gives the op back by that. If the few all wait
// to be taken, it is plain that somebody starts many reads at once, which are cheaper in one enter.

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
const burst = 4

// results are some ops to be used in turn.
type results struct {
	ops    [burst]*op
	next   int
	stripe uint32
	missed int // how often in a row none was free
}

// forgotten is after how many reads a result that nobody has taken is given up: more than may be in flight.
const forgotten = 1 << 17

// get is the P's results, which are put back into local.
func (a *atOnce) get() *results {
	if r, _ := a.local.Get().(*results); r != nil {
		return r
	}
	return &results{stripe: a.next.Add(1) % countStripes}
}

// any reports whether there is an op for one more, which is the next then.
func (r *results) any(l *lane) bool {
	for range burst {
		o := r.ops[r.next]
		if o == nil || o.gen() >= lastGen || r.missed >= forgotten {
			r.ops[r.next] = &op{lane: l, kind: kindRead}
			r.missed = 0
			return true
		}
		if o.state.Load() == uint64(o.born)<<genShift {
			r.missed = 0
			return true
		}
		r.next = (r.next + 1) % burst
	}
	r.missed++
	return false
}

// put makes the next op one that has ended with n. There is one.
func (r *results) put(a *atOnce, n int) (o *op, gen uint64) {
	o = r.ops[r.next]
	r.next = (r.next + 1) % burst
	o.res, gen = int32(n), uint64(o.born)
	o.born++ // the generation in which it is free again
	a.counts[r.stripe].n.Add(1)
	o.state.Store(gen<<genShift | uint64(uint32(n))<<resShift | isDone | isPlain)
	return o, gen
}

// count is how many there were.
func (a *atOnce) count() (n uint64) {
	for i := range a.counts {
		n += a.counts[i].n.Load()
	}
	return n
}
