package rio

import (
	"sync"
	"sync/atomic"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// provided are the buffers that the kernel receives into for a Ring's loops (IORING_REGISTER_PBUF_RING, Linux 5.19). All
// Conns share them, so an idle one costs none; they are made for the first loop that gets to its second piece.
type provided struct {
	mu    sync.Mutex
	tried bool
	bufs  *uring.Buffers // under mu and cq.mu to write; under cq.mu to use

	lent int // how many of them have something that nobody is through with yet; under cq.mu

	noAccepts, noReceives atomic.Bool // this kernel hasn't got them
	accepted, received    bool        // it has: under cq.mu
}

const (
	shotGroup   = 0
	shotBuffers = 64
	shotBuffer  = 8 << 10
)

// lacks reports whether this kernel has no multishot request of that kind.
func (r *Ring) lacks(k kind) bool {
	if k == kindAccepts {
		return r.provided.noAccepts.Load() || !r.k.Multishot()
	}
	return r.provided.noReceives.Load()
}

// provide makes the buffers, unless there are some.
func (r *Ring) provide() {
	v := &r.provided
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.tried {
		return
	}
	v.tried = true
	if !r.use() { // Close waits for who uses the ring
		return
	}
	defer r.unuse(0)
	bufs, err := r.k.Provide(shotGroup, shotBuffers, shotBuffer)
	if err != nil {
		v.noReceives.Store(true)
		return
	}
	r.cq.mu.Lock()
	v.bufs = bufs
	r.cqUnlock()
}

// withdraw takes the buffers back. Nothing is in flight, and nobody uses the ring any more.
func (r *Ring) withdraw() {
	v := &r.provided
	v.mu.Lock()
	defer v.mu.Unlock()
	v.tried = true
	if v.bufs == nil {
		return
	}
	r.cq.mu.Lock()
	bufs := v.bufs
	v.bufs = nil
	r.cqUnlock()
	r.k.Withdraw(bufs)
}

// refill gives a buffer back to the kernel. Under cq.mu.
func (v *provided) refill(id uint16) {
	v.lent--
	if v.bufs != nil {
		v.bufs.Give(id)
		v.bufs.Publish()
	}
}
