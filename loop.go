package rio

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// A loop is a goroutine that has a thread and a kernel ring for itself. A round of it is: take what others want, write
// the SQEs for that, one enter that submits them and waits, and then a call of a Handler for each CQE that has brought
// data; what those write is the next round's. So nothing that a connection does ever crosses to another thread, and a
// batch of messages costs an enter to send the answers and another to wait for more.
//
// Everything in a loop but what lies under mu is for its own thread; spare, which has a lock of its own, and load are for anybody.
type loop struct {
	v     *service
	k     *uring.Loop
	bufs  *uring.Buffers // nil: the kernel takes no buffers by itself
	seats seats
	todo  []*Stream // to be advanced
	spare chunks

	breaks   breaks
	others   int // for so many rounds, other goroutines are likely to have something for it
	inFlight int // requests whose last CQE is to come
	intake   intake
	lookout  lookout
	ending   bool
	wakeOff  bool // nobody will wake it any more
	wrecked  bool // the kernel may still use what it was given
	waker    *uring.Waker
	load     atomic.Int64 // connections, those on their way included

	mu     sync.Mutex
	inbox  []*Stream // posted
	fresh  []int32   // accepted for this loop
	asleep bool      // whoever leaves something wakes it
	gone   bool      // and nothing can be left any more
}

const (
	loopEntries   = 1024 // SQEs: a round submits them in several enters if it needs more
	loopCQEntries = 4096
	loopIdle      = time.Millisecond
	loopBuffers   = 512 // of loopBuffer bytes: what a round can receive at most
	loopBuffer    = 4 << 10
	bufferGroup   = 0
)

// openLoop is another one in tests.
var openLoop = uring.OpenLoop

// loopOthers is for how many rounds; a variable for the benchmark that shows what it is worth.
var loopOthers = 64

// plainLoops has loops do without whatever Linux 5.11 does not have, for tests.
var plainLoops atomic.Bool

// run is the loop's goroutine. It begins when start says so, after ready was told that it can.
func (l *loop) run(ready chan<- error, start <-chan bool) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := l.open()
	ready <- err
	if <-start && err == nil {
		returned := false
		defer func() {
			if !returned && exiting() {
				panic("rio: a Handler has ended the loop's goroutine (runtime.Goexit)")
			}
		}()
		err = l.rounds()
		returned = true
		if err != nil {
			l.wreck(err)
			return
		}
	}
	l.close()
}

func (l *loop) open() (err error) {
	on := l.v.l.r.loopKernel
	plain := plainLoops.Load() || on != nil
	if l.waker, err = uring.NewWaker(on != nil); err != nil {
		return err
	}
	if l.k, err = openLoop(loopEntries, loopCQEntries, plain, l.v.l.r.side.config.Free, on); err != nil {
		return err
	}
	if !plain {
		l.bufs, _ = l.k.Buffers(bufferGroup, loopBuffers, loopBuffer) // without them it goes on, too
	}
	l.intake.init(l, plain)
	l.lookout.init(&l.intake.pins)
	return nil
}

// close gives back what open took. Nothing is in flight.
func (l *loop) close() {
	l.mu.Lock()
	l.gone = true
	l.mu.Unlock()
	if l.bufs != nil {
		l.bufs.Close(l.k)
	}
	if l.k != nil {
		l.k.Close()
	}
	if l.waker != nil {
		l.waker.Close()
	}
	l.intake.pins.Release()
	l.spare.drop()
}

// rounds is the loop.
func (l *loop) rounds() error {
	l.armWaker()
	if l == l.v.running[0] {
		for _, c := range l.v.l.in.untaken() {
			if fd, ok := c.giveUp(); ok {
				l.intake.place(fd)
			}
		}
		l.intake.arm()
	}
	for {
		l.letOthers()
		wait := l.settle()
		if l.ending && l.over() {
			return nil
		}
		switch errno := l.enter(wait); errno {
		case 0, syscall.EINTR, syscall.EAGAIN, syscall.EBUSY:
			// Signals; or the kernel wants its CQEs read, or memory, before it takes more.
		default:
			return os.NewSyscallError("io_uring_enter", errno)
		}
		l.awake()
		l.reap()
	}
}

// awake is called behind each enter: what is left for the loop from here on needs no wake-up.
func (l *loop) awake() {
	l.mu.Lock()
	l.asleep = false
	l.mu.Unlock()
}

// end begins the loop's end: no more connections, and all that there are closed.
func (l *loop) end() {
	l.ending = true
	l.intake.stop()
	l.stopLookout()
	for _, s := range l.seats.all {
		if c := s.c; c != nil {
			c.has |= isLast
			l.mark(c)
		}
	}
}

// over reports whether nothing is in flight any more. The request that others wake it with is the last one; before that has ended the loop
// looks once more at what it was given.
func (l *loop) over() bool {
	if !l.wakeOff && l.seats.taken == 0 && l.intake.idle() {
		l.mu.Lock()
		l.gone = true
		l.mu.Unlock()
		l.wakeOff = true
		l.room(1)
		l.cancel(doesWake << doesShift)
		l.publish()
	}
	return l.wakeOff && l.inFlight == 0
}
