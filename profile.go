package rio

import (
	"fmt"
	"io"
	"math/bits"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"
)

// A profile counts latencies. Its buckets are an eighth of a power of two wide: 12.5 percent at most.
type profile struct {
	w       io.Writer
	mu      sync.Mutex // a leaf: lanes add to it under the cq.mu of each
	kinds   [numKinds]histogram
	batches batches
}

type histogram struct {
	count   uint64
	max     time.Duration
	buckets [64 * 8]uint64
}

// batches are how many SQEs an enter took.
type batches struct{ enters, sqes, max atomic.Uint64 }

func (b *batches) note(n int) {
	if n <= 0 {
		return
	}
	b.enters.Add(1)
	b.sqes.Add(uint64(n))
	for {
		m := b.max.Load()
		if uint64(n) <= m || b.max.CompareAndSwap(m, uint64(n)) {
			return
		}
	}
}

// note is called when o's CQE has been read.
func (p *profile) note(o *op, r *Ring) {
	p.add(o.kind, time.Since(r.born)-time.Duration(o.began))
}

// add counts an operation that has taken d.
func (p *profile) add(k kind, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := &p.kinds[k.told()]
	h.count++
	h.max = max(h.max, d)
	h.buckets[bucket(d)]++
}

func bucket(d time.Duration) int {
	if d < 8 {
		return int(max(d, 0))
	}
	n := bits.Len64(uint64(d)) - 4
	return (n+1)*8 + int(d>>n)&7
}

// upper is the largest duration in bucket i.
func upper(i int) time.Duration {
	if i < 8 {
		return time.Duration(i)
	}
	n := i/8 - 1
	return time.Duration(i%8+9)<<n - 1
}

func (h *histogram) quantile(q float64) time.Duration {
	rank := uint64(q*float64(h.count) + 0.5)
	for i, n := range h.buckets {
		if n >= rank && n > 0 {
			return min(upper(i), h.max)
		}
		rank -= n
	}
	return h.max
}

// write writes the table. The Ring is closed, or nobody starts anything on it any more.
func (p *profile) write(r *Ring) {
	t := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "operation\tcount\tp50\tp90\tp99\tp99.9\tmax\t")
	for k := range p.kinds {
		if h := &p.kinds[k]; h.count > 0 {
			fmt.Fprintf(t, "%s\t%d\t%v\t%v\t%v\t%v\t%v\t\n", kinds[k].name, h.count,
				h.quantile(.5), h.quantile(.9), h.quantile(.99), h.quantile(.999), h.max)
		}
	}
	t.Flush()
	s, b := r.Stats(), &p.batches
	mean := 0.0
	if n := b.enters.Load(); n > 0 {
		mean = float64(b.sqes.Load()) / float64(n)
	}
	fmt.Fprintf(p.w, "%d enters; %d submissions of %.1f entries on average, %d at most; %d waits for a place; %d overflows\n",
		s.Enters, b.enters.Load(), mean, b.max.Load(), s.Waits, s.Overflows)
}
