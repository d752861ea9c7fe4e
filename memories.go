package rio

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// memories are the stretches of memory that are pinned, and that the kernel holds the pages of, for as long as the Ring is
// open: the buffers of Buffers. Nobody has to pin what lies in one of them, and an operation on a device says so to the
// kernel, which needn't look the pages up then: they are the first lane's, whose kernel ring has them. What the kernel
// only copies, it copies faster when told no more than the address.
type memories struct {
	mu  sync.Mutex
	all atomic.Pointer[uring.Memories]
}

// registered has o use registered memory, if p lies in some of it.
func (o *op) registered(all uring.Memories, p []byte) bool {
	a, place, ok := all.Find(p)
	if !ok || len(p) == 0 {
		return false
	}
	if o.addr, o.n = a, uint32(len(p)); o.h != nil && o.h.direct && o.lane == &o.lane.ring.lane {
		o.held = place + 1
	}
	return true
}

// Buffers returns n buffers of size bytes each, for files opened with O_DIRECT. They begin with a page, as if made by Aligned.
// The kernel holds their pages until r is closed (IORING_REGISTER_BUFFERS2): a ReadAt or WriteAt of r on a File opened with
// O_DIRECT whose buffer is one of them, or a part of one, becomes an IORING_OP_READ_FIXED or WRITE_FIXED by itself, and takes
// less CPU time the larger it is. Two MiB of them or more are made of huge pages where there are any. Other reads and writes of
// one buffer, sends and receives, save the pinning.
//
// The memory is Go's, and lasts as long as somebody refers to it; r does until Close. So call Buffers once for a pool,
// not for each transfer. It counts as locked (RLIMIT_MEMLOCK). What the kernel doesn't take, because that limit is reached,
// or it has those of 64 calls (one of more than 1 GiB counts as several), or it is older than Linux 5.19, or r runs on threads,
// are buffers all the same; Config.Logger hears of it.
func (r *Ring) Buffers(n, size int) ([][]byte, error) {
	if err := r.usable("Buffers"); err != nil {
		return nil, err
	}
	const page, most = 4096, min(1<<40, math.MaxInt>>1)
	if n < 0 || size < 0 || size > most || n > most/(size+page) {
		return nil, badArg("Buffers", fmt.Sprintf("%d buffers of %d bytes", n, size))
	}
	bufs := make([][]byte, 0, n)
	stride := (max(size, 1) + page - 1) &^ (page - 1)
	for at := max(uring.MaxMemory/stride, 1); len(bufs) < n; {
		some := min(at, n-len(bufs))
		mem := uring.Pages(some * stride)
		r.keep(mem)
		for i := range some {
			bufs = append(bufs, mem[i*stride:][:size:size])
		}
	}
	return bufs, nil
}

// keep has the kernel hold mem's pages.
func (r *Ring) keep(mem []byte) {
	s := &r.memories
	s.mu.Lock()
	defer s.mu.Unlock()
	if !r.use() { // Close unmaps when nobody does
		return
	}
	m, err := r.k.Register(mem)
	r.unuse(0)
	if err != nil {
		r.log.Info("rio: the kernel doesn't hold the pages of these Buffers", "error", err, "bytes", len(mem))
		return
	}
	var all uring.Memories
	if p := s.all.Load(); p != nil {
		all = *p
	}
	all = all.With(m)
	s.all.Store(&all)
}
