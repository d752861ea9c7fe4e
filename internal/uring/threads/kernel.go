// Package threads is a Kernel of plain system calls: what ends by itself is done by a bounded pool of goroutines, what has to
// wait for something waits on Go's poller, and takes none of them.
//
// On Linux it works on descriptors. Everywhere else, and on Linux if a test says so, on what packages os and net make of
// them: a descriptor is a Virtual then.
package threads

import (
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// A kernel serves one pair of queues. Requests that may be cancelled, because they wait for something, are in waiting.
//
// Everything is under mu.
type kernel struct {
	mu       sync.Mutex
	q        *uring.Queues
	portable bool
	born     time.Time
	waiting  map[uint64]*request // by user_data
	files    map[uint32]lent
	borrowed map[syscall.Conn]*borrowed
	overflow []uring.CQE // had no place
	free     *request
	sleepers []*sleeper // in Enter
	spare    []*sleeper
	outside  outside
	pool     pool
	os       kernelOS
}

var _ uring.Lender = (*kernel)(nil)

// New makes a Kernel for Linux's descriptors.
func New(q *uring.Queues) uring.Kernel { return newKernel(q, false) }

// NewPortable makes a Kernel for what packages os and net make of them.
func NewPortable(q *uring.Queues) uring.Kernel { return newKernel(q, true) }

func newKernel(q *uring.Queues, portable bool) *kernel {
	k := &kernel{portable: portable, borrowed: map[syscall.Conn]*borrowed{}, q: q, born: time.Now(), waiting: map[uint64]*request{}, files: map[uint32]lent{}}
	k.outside.init()
	k.pool.init(k)
	for range 8 {
		s := &sleeper{wake: make(chan struct{}, 1), timer: time.NewTimer(0)}
		s.timer.Stop()
		k.spare = append(k.spare, s)
	}
	if !portable {
		k.init()
	}
	return k
}

// A lent file is one in the table.
type lent struct {
	target
	release func()
}

// A sleeper waits in Enter for so many CQEs. Its channel and its timer are as old as the kernel: what is made in a synctest
// bubble can't be used outside. In there it is the year 2000, so nobody sleeps for a while.
type sleeper struct {
	need  uint32
	wake  chan struct{}
	timer *time.Timer
}

// Enter is io_uring_enter(2).
func (k *kernel) Enter(submit, wait, flags uint32, limit time.Duration) (int, syscall.Errno) {
	k.mu.Lock()
	n := k.submit(submit)
	if flags&uring.EnterGetEvents != 0 {
		k.unflow()
	}
	if wait == 0 || k.q.Unread() >= wait {
		k.mu.Unlock()
		return n, 0
	}
	if limit != uring.Forever && time.Since(k.born) < 0 {
		k.mu.Unlock()
		return n, uring.ETIME
	}
	s := k.takeSleeper()
	if s == nil {
		k.mu.Unlock()
		return n, uring.ETIME // there are enough who wait
	}
	s.need = wait
	k.sleepers = append(k.sleepers, s)
	k.mu.Unlock()
	if !s.sleep(limit) {
		return n, k.gaveUp(s)
	}
	k.mu.Lock()
	k.spare = append(k.spare, s)
	k.mu.Unlock()
	return n, 0
}

func (k *kernel) takeSleeper() *sleeper {
	if len(k.spare) == 0 {
		return nil
	}
	s := k.spare[len(k.spare)-1]
	k.spare = k.spare[:len(k.spare)-1]
	return s
}

// sleep returns false when its time is up.
func (s *sleeper) sleep(limit time.Duration) bool {
	if limit == uring.Forever {
		<-s.wake
		return true
	}
	s.timer.Reset(limit)
	defer s.timer.Stop()
	select {
	case <-s.wake:
		return true
	case <-s.timer.C:
		return false
	}
}

// gaveUp takes s out of those who sleep, unless it was woken meanwhile.
func (k *kernel) gaveUp(s *sleeper) syscall.Errno {
	k.mu.Lock()
	defer k.mu.Unlock()
	errno := syscall.Errno(0)
	if i := slices.Index(k.sleepers, s); i >= 0 {
		k.sleepers = slices.Delete(k.sleepers, i, i+1)
		errno = uring.ETIME
	} else {
		<-s.wake
	}
	k.spare = append(k.spare, s)
	return errno
}

// post writes a CQE, or keeps it until there is room (IORING_FEAT_NODROP), and wakes who has waited for it.
func (k *kernel) post(data uint64, res int32) {
	c := uring.CQE{UserData: data, Res: res}
	if len(k.overflow) > 0 || k.q.Unread() == k.q.Entries() {
		k.overflow = append(k.overflow, c)
		k.q.Overflown(true)
	} else {
		k.q.Post(c)
	}
	if len(k.sleepers) > 0 {
		k.rouse()
	}
}

func (k *kernel) rouse() {
	left := k.sleepers[:0]
	for _, s := range k.sleepers {
		if k.q.Unread() >= s.need {
			s.wake <- struct{}{}
		} else {
			left = append(left, s)
		}
	}
	k.sleepers = left
}

// unflow gives out what had no place.
func (k *kernel) unflow() {
	if len(k.overflow) == 0 {
		return
	}
	for len(k.overflow) > 0 && k.q.Unread() < k.q.Entries() {
		k.q.Post(k.overflow[0])
		k.overflow = k.overflow[1:]
	}
	k.q.Overflown(len(k.overflow) > 0)
	k.rouse()
}

// SetFile puts a descriptor into the table of registered files, or empties a place of it. What was lent is nobody's then.
func (k *kernel) SetFile(place uint32, fd int) error {
	k.mu.Lock()
	old, ok := k.files[place]
	delete(k.files, place)
	k.mu.Unlock()
	if ok {
		old.release()
	}
	if fd >= 0 {
		return syscall.EBADF // it is files that are lent
	}
	return nil
}

// Lend puts a file into the table.
func (k *kernel) Lend(place uint32, f syscall.Conn) error {
	hold := k.hold
	if k.portable {
		hold = k.holdObject
	}
	t, err := hold(f)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.files[place] = t
	return nil
}

// Close ends all goroutines. Nothing is in flight.
func (k *kernel) Close() error {
	k.mu.Lock()
	files := k.files
	k.files = nil
	k.mu.Unlock()
	for _, t := range files {
		t.release()
	}
	k.pool.close()
	k.closeOS()
	k.outside.close()
	return nil
}
