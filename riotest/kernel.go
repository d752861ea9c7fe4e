package riotest

import (
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
	"github.com/seed-9c58b644/rio/internal/uring/calls"
)

// A kernel serves one pair of queues (a Ring with side lanes has several). Requests that will end by themselves are ready,
// and which of them is next is drawn; those that wait for something are armed.
//
// Everything is under Sim.mu.
type kernel struct {
	s        *Sim
	q        *uring.Queues
	ready    []*request
	armed    []*request
	overflow []uring.CQE // had no place
	files    map[uint32]target
	stop     chan struct{}
	work     chan struct{} // there may be something to do for the device
	gone     chan struct{}
}

var _ uring.Kernel = (*kernel)(nil)

func (s *Sim) newKernel(q *uring.Queues) uring.Kernel {
	k := &kernel{
		s: s, q: q, files: map[uint32]target{},
		stop: make(chan struct{}), work: make(chan struct{}, 1), gone: make(chan struct{}),
	}
	s.mu.Lock()
	s.kernels = append(s.kernels, k)
	s.mu.Unlock()
	go k.device()
	return k
}

// Enter is io_uring_enter(2).
func (k *kernel) Enter(submit, wait, flags uint32, limit time.Duration) (int, syscall.Errno) {
	s := k.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if errno := s.faults.enter(s.rand); errno != 0 {
		return 0, errno
	}
	n := k.submit(submit)
	if flags&uring.EnterGetEvents == 0 {
		for range s.rand.IntN(3) {
			k.step() // the disk goes on meanwhile
		}
		k.call()
		return n, 0
	}
	k.unflow()
	if wait == 0 {
		return n, 0
	}
	if !s.lockstep && s.rand.IntN(16) == 0 {
		limit /= 8
		k.rest() // the disk is slow just now: whoever waits may give up
	}
	for began := time.Now(); k.q.Unread() < wait; {
		if k.step() {
			continue
		}
		if time.Since(began) >= limit {
			return n, uring.ETIME
		}
		k.rest()
	}
	return n, 0
}

// submit takes up to limit SQEs, and starts what they say. It may take fewer, but no half of a chain.
func (k *kernel) submit(limit uint32) (n int) {
	limit = min(limit, k.q.Published())
	for enough := k.s.faults.partial(k.s.rand, int(limit)); n < enough; {
		chain := k.q.Chain(limit - uint32(n))
		n += len(chain)
		var head *request
		for i := len(chain) - 1; i >= 0; i-- {
			head = &request{Request: chain[i].Request, data: chain[i].Data, next: head}
		}
		k.start(head)
	}
	return n
}

// start looks at all of a chain before anything of it begins.
func (k *kernel) start(head *request) {
	for r := head; r != nil; r = r.next {
		if !r.known() {
			for p := head; p != nil; p = p.next {
				res := -int32(syscall.ECANCELED)
				if p == r {
					res = -int32(syscall.EINVAL)
				}
				k.post(p.data, res)
			}
			return
		}
	}
	k.begin(head)
}

// step ends one of the ready requests, or one that has waited for long enough. It reports whether there was one.
func (k *kernel) step() bool {
	if k.poll() {
		return true
	}
	n := len(k.ready)
	if n == 0 {
		return false
	}
	i := k.s.rand.IntN(n)
	for range n {
		if k.ready[i].hold == 0 {
			break
		}
		k.ready[i].hold--
		i = (i + 1) % n
	}
	r := k.ready[i]
	k.ready[i] = k.ready[n-1]
	k.ready[n-1] = nil
	k.ready = k.ready[:n-1]
	k.run(r)
	return true
}

// poll tries the armed requests, and reports whether one of them has ended.
func (k *kernel) poll() bool {
	for i, r := range k.armed {
		res, blocked := r.file.perform(r)
		if blocked {
			continue
		}
		if k.shoot(r, res) {
			return true
		}
		k.armed = append(k.armed[:i], k.armed[i+1:]...)
		k.complete(r, res)
		return true
	}
	return false
}

// Multishot says that accept may be asked for once and for all.
func (k *kernel) Multishot() bool { return true }

// shoot posts what a multishot request has brought, unless it ends with that: always, if the queue is full.
func (k *kernel) shoot(r *request, res int32) bool {
	if !r.Multishot() || res < 0 || len(k.overflow) > 0 || k.q.Unread() == k.q.Entries() || draw(k.s.rand, k.s.faults.Ended) {
		return false
	}
	r.progress = calls.Progress{}
	k.q.Post(uring.CQE{UserData: r.data, Res: res, Flags: uring.CQEMore})
	return true
}

// post writes a CQE, or keeps it until there is room (IORING_FEAT_NODROP). Now and then the queue passes for a smaller one
// than it is; never for an empty one, because it is the CQE that is there already that somebody has heard of.
func (k *kernel) post(data uint64, res int32) {
	c := uring.CQE{UserData: data, Res: res}
	if k.s.faults.overflows(k.s.rand, k.q.Unread(), k.q.Entries()) || len(k.overflow) > 0 {
		k.overflow = append(k.overflow, c)
		k.q.Overflown(true)
		return
	}
	k.q.Post(c)
}

// unflow gives out what had no place.
func (k *kernel) unflow() {
	for len(k.overflow) > 0 && k.q.Unread() < k.q.Entries() {
		k.q.Post(k.overflow[0])
		k.overflow = k.overflow[1:]
	}
	k.q.Overflown(len(k.overflow) > 0)
}

// cancel is IORING_OP_ASYNC_CANCEL. It does not find what hangs behind another request, and what the disk has begun goes on.
func (k *kernel) cancel(r *request) int32 {
	of := r.Addr.Uint64()
	if !k.s.lockstep && k.s.rand.IntN(8) == 0 {
		return -int32(syscall.ENOENT) // it is between two lists just now
	}
	for i, a := range k.armed {
		if a.data == of {
			k.armed = append(k.armed[:i], k.armed[i+1:]...)
			res := -int32(syscall.ECANCELED)
			if a.progress.Done > 0 {
				res = a.progress.Done
			}
			k.complete(a, res)
			return 0
		}
	}
	for i, a := range k.ready {
		if a.data != of {
			continue
		}
		if k.s.rand.IntN(2) == 0 {
			return -int32(syscall.EALREADY)
		}
		k.ready = append(k.ready[:i], k.ready[i+1:]...)
		k.complete(a, -int32(syscall.ECANCELED))
		return 0
	}
	return -int32(syscall.ENOENT)
}

// SetFile puts a file into the table of registered files (IORING_REGISTER_FILES_UPDATE).
func (k *kernel) SetFile(place uint32, fd int) error {
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	if old := k.files[place]; old != nil {
		delete(k.files, place)
		old.release()
	}
	if fd < 0 {
		return nil
	}
	t, errno := k.s.target(fd)
	if errno != 0 {
		return errno
	}
	k.files[place] = t
	return nil
}

// Close ends the device. Nothing is in flight.
func (k *kernel) Close() error {
	close(k.stop)
	<-k.gone
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	for _, t := range k.files {
		t.release()
	}
	for _, rs := range [][]*request{k.ready, k.armed} {
		for _, r := range rs {
			r.release()
		}
	}
	k.ready, k.armed, k.files = nil, nil, nil
	for i, other := range k.s.kernels {
		if other == k {
			k.s.kernels = append(k.s.kernels[:i], k.s.kernels[i+1:]...)
			break
		}
	}
	return nil
}
