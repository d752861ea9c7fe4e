package rio

import (
	"runtime"
	"sync/atomic"
	"time"
)

// The runtime is not told of most of what is done at once. So its monitor doesn't take the P of who goes from one such system call to the next,
// and all others there would wait until he is preempted, after 10 ms, as if he computed. Therefore he lets them run now and then.

// rests are those of a P's goroutines. Like breaks, they are fewer beside somebody who computes: he has the P for 10 ms each time.
type rests struct {
	next  atomic.Int64 // in the Ring's life
	pause atomic.Int64
	seen  atomic.Int64 // when one of them last had the P
	out   atomic.Int32 // who rests
}

// often is after how many operations in a row, that were done at once, somebody looks whether it is time to.
const often = 16

// restAfter is when it is. A benchmark changes it.
var restAfter = slice

// respite lets others run if it is time to.
func (r *Ring) respite() {
	a := r.atOnce.get()
	b := &a.rests
	r.atOnce.local.Put(a)
	b.look(r)
}

// look is respite.
func (b *rests) look(r *Ring) {
	now, next := int64(time.Since(r.born)), b.next.Load()
	switch {
	case now-b.seen.Swap(now) > int64(restAfter) && b.out.Load() > 0: // somebody else has run, who is in no hurry
		b.seldom(now)
		return
	case now < next || !b.next.CompareAndSwap(next, now+int64(restAfter)):
		return
	}
	pause := b.pause.Load()
	b.out.Add(1)
	runtime.Gosched()
	b.out.Add(-1)
	switch now = int64(time.Since(r.born)); {
	case now-b.seen.Swap(now) > int64(restAfter):
		b.seldom(now)
	case b.pause.CompareAndSwap(pause, int64(restAfter)): // nobody has met who computes meanwhile
		b.next.Store(now + int64(restAfter))
	}
}

// seldom makes them fewer.
func (b *rests) seldom(now int64) {
	pause := min(8*max(restAfter, time.Duration(b.pause.Load())), maxSlice)
	b.pause.Store(int64(pause))
	b.next.Store(now + int64(pause))
}
