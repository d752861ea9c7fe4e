package rio

import (
	"fmt"
	"os"
	"runtime"
	"slices"
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
// Everything in a loop but what lies under mu is for its own thread.
type loop struct {
	v     *service
	k     *uring.Loop
	bufs  *uring.Buffers // nil: the kernel takes no buffers by itself
	seats seats
	todo  []*Stream // to be advanced
	spare chunks

	sends    uint32 // written in this round
	heard    uint32 // CQEs of recvs in the last one
	yielded  time.Time
	others   int // for so many rounds, other goroutines are likely to have something for it
	inFlight int // requests whose last CQE is to come
	intake   intake
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
	loopHeld      = 100 * time.Microsecond
	loopHeldSends = 64 // more at once take too long to keep a P for
	loopBusy      = 5 * time.Millisecond
	loopOthers    = 64  // rounds
	loopBuffers   = 512 // of loopBuffer bytes: what a round can receive at most
	loopBuffer    = 4 << 10
	bufferGroup   = 0
)

// plainLoops has loops do without whatever Linux 5.11 does not have, for tests.
var plainLoops atomic.Bool

// run is the loop's goroutine. It begins when start says so, after ready was told that it can.
func (l *loop) run(ready chan<- error, start <-chan bool) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := l.open()
	ready <- err
	if <-start {
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

// exiting reports whether the deferred call that asks was made by runtime.Goexit, and not by a panic, which is to end the
// process in its own words.
func exiting() bool {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for {
		f, more := frames.Next()
		if f.Function == "runtime.Goexit" {
			return true
		}
		if !more {
			return false
		}
	}
}

func (l *loop) open() (err error) {
	plain := plainLoops.Load()
	if l.waker, err = uring.NewWaker(); err != nil {
		return err
	}
	if l.k, err = uring.OpenLoop(loopEntries, loopCQEntries, loopHeld, plain); err != nil {
		return err
	}
	if !plain {
		l.bufs, _ = l.k.Buffers(bufferGroup, loopBuffers, loopBuffer) // without them it goes on, too
	}
	l.intake.init(l, plain)
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
	if l == l.v.loops[0] {
		l.intake.arm()
	}
	for {
		l.letOthers()
		wait := l.settle()
		if l.ending && l.over() {
			return nil
		}
		switch errno := l.enter(wait); errno {
		case 0, syscall.EINTR, syscall.EAGAIN, syscall.EBUSY, uring.ETIME:
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
	l.sends = 0
	l.mu.Lock()
	l.asleep = false
	l.mu.Unlock()
}

// enter submits what was written, and waits for so many CQEs.
//
// A busy loop keeps its P while it waits: the next connection is heard from soon. If none is, whoever else wants to run
// does, and only then it sleeps. It also lets others run when it has been busy for long, since nothing but the runtime's
// preemption would. What is sent completes inside the enter that submits it, unless the peer is slow; so the wait is for
// those and wait more, at the risk of waiting all of loopHeld for one that doesn't.
//
// A loop that hears of one message at a time sleeps at once: a timer for each costs more than giving the P away.
func (l *loop) enter(wait uint32) syscall.Errno {
	if time.Since(l.yielded) > loopBusy {
		runtime.Gosched()
		l.yielded = time.Now()
	}
	switch {
	case l.k.SQ.Pending() > loopHeldSends:
		return l.k.Enter(0)
	case wait == 0:
		return l.k.EnterHeld(0)
	case l.heard <= 1:
		return l.sleep(wait)
	}
	if errno := l.k.EnterHeld(wait + l.sends); errno != 0 && errno != uring.ETIME || l.k.CQ.Ready() > 0 {
		return errno
	}
	runtime.Gosched()
	l.yielded = time.Now()
	if errno := l.k.EnterHeld(0); errno != 0 || l.k.CQ.Ready() > 0 {
		return errno // that took a while: something has come, and whoever sleeps now has to wait for a P again
	}
	return l.sleep(wait)
}

// sleep is an enter during which the runtime may give the P to somebody else.
func (l *loop) sleep(wait uint32) syscall.Errno {
	errno := l.k.Enter(wait)
	l.yielded = time.Now()
	return errno
}

// letOthers runs other goroutines first if those have lately written to Streams: a loop that keeps its P to wait for the
// kernel would wait for what they are about to write.
func (l *loop) letOthers() {
	if l.others == 0 {
		return
	}
	l.others--
	before := l.posted()
	runtime.Gosched()
	l.yielded = time.Now()
	if l.posted() > before {
		l.others = loopOthers
	}
}

func (l *loop) posted() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.inbox)
}

// settle does all that can be done without the kernel, and returns how many CQEs are to be waited for: none if something
// is left to do.
func (l *loop) settle() (wait uint32) {
	for {
		if l.v.stopping.Load() && !l.ending {
			l.end()
		}
		l.mu.Lock()
		l.todo = append(l.todo, l.inbox...)
		clear(l.inbox)
		l.inbox = l.inbox[:0]
		fresh := l.fresh
		l.fresh = nil
		idle := len(l.todo) == 0 && len(fresh) == 0 && l.v.stopping.Load() == l.ending
		l.asleep = idle // from here on, whoever leaves something sees it
		l.mu.Unlock()
		if idle {
			break
		}
		for _, fd := range fresh {
			l.admit(fd)
		}
		if !l.work() {
			l.publish()
			return 0
		}
	}
	l.publish()
	if l.k.CQ.Ready() > 0 {
		return 0
	}
	return 1
}

// work advances what there is to be advanced; false if the kernel has no room for more.
func (l *loop) work() bool {
	for i := 0; i < len(l.todo); i++ { // it may grow meanwhile
		if !l.advance(l.todo[i]) {
			l.todo = slices.Delete(l.todo, 0, i)
			return false
		}
	}
	clear(l.todo)
	l.todo = l.todo[:0]
	return true
}

func (l *loop) publish() {
	if l.bufs != nil {
		l.bufs.Publish()
	}
	l.k.SQ.Publish()
}

// room reports whether n requests can be written, for which it submits if it must.
func (l *loop) room(n uint32) bool {
	if l.k.SQ.Has(n) {
		return true
	}
	l.publish()
	l.k.Enter(0)
	return l.k.SQ.Has(n)
}

// request is the next SQE, for which there is room.
func (l *loop) request() *uring.SQE {
	l.inFlight++
	return l.k.SQ.Claim()
}

// reap works off the CQEs that are there.
func (l *loop) reap() {
	l.heard = 0
	for range l.k.CQ.Ready() {
		e := l.k.CQ.Next()
		if !e.More() {
			l.inFlight--
		}
		switch does := e.UserData >> doesShift; does {
		case doesRecv:
			l.heard++
			l.received(l.seats.find(e.UserData), &e)
		case doesSend:
			l.sent(l.seats.find(e.UserData), e.Res)
		case doesAccept:
			l.intake.accepted(&e)
		case doesTimer, doesPoll:
			l.intake.again(does)
		case doesWake:
			if !l.wakeOff {
				l.others = loopOthers
				l.armWaker()
			}
		case doesCancel:
		default:
			panic(fmt.Sprintf("rio: a CQE (user_data %#x) that fits no request of this loop", e.UserData))
		}
	}
	l.k.CQ.Done()
}

// What a request does, in the highest bits of its user_data. Below are the generation and the number of a seat.
const (
	doesRecv uint64 = 1 + iota
	doesSend
	doesAccept
	doesCancel
	doesWake
	doesTimer
	doesPoll
	doesShift = 60
)

// cancel asks the kernel to end a request.
func (l *loop) cancel(userData uint64) {
	l.request().FillCancel(userData, doesCancel<<doesShift)
}

func (l *loop) armWaker() {
	w := l.waker
	l.room(1)
	l.request().Fill(uring.OpRead, 0, w.FD, 0, w.Addr, 8, 0, doesWake<<doesShift)
}

// post leaves c for the loop: something is to be done for it.
func (l *loop) post(c *Stream) {
	l.mu.Lock()
	l.inbox = append(l.inbox, c)
	l.wakeLocked()
}

// hand leaves an accepted connection; false if the loop is gone.
func (l *loop) hand(fd int32) bool {
	l.mu.Lock()
	if l.gone {
		l.mu.Unlock()
		return false
	}
	l.fresh = append(l.fresh, fd)
	l.wakeLocked()
	return true
}

func (l *loop) nudge() {
	l.mu.Lock()
	l.wakeLocked()
}

// wakeLocked wakes the loop if it sleeps, and unlocks mu. Under mu it can't go away.
func (l *loop) wakeLocked() {
	if l.asleep && !l.gone {
		l.asleep = false
		l.waker.Wake()
	}
	l.mu.Unlock()
}

// end begins the loop's end: no more connections, and all that there are closed.
func (l *loop) end() {
	l.ending = true
	l.intake.stop()
	for _, s := range l.seats.all {
		if c := s.c; c != nil {
			c.has |= isLast
			l.mark(c)
		}
	}
}

// over reports whether nothing is in flight any more. The request that others wake it with is the last one.
func (l *loop) over() bool {
	if !l.wakeOff && l.seats.taken == 0 && l.intake.idle() {
		l.mu.Lock()
		if l.gone = len(l.fresh) == 0; l.gone {
			l.asleep = false
			l.wakeOff = true
		}
		l.mu.Unlock()
		if l.wakeOff {
			l.room(1)
			l.cancel(doesWake << doesShift)
			l.publish()
		}
	}
	return l.wakeOff && l.inFlight == 0
}

// wreck is the end of a loop whose ring the kernel refuses to serve: its memory stays, for the kernel may have some of it.
func (l *loop) wreck(err error) {
	l.wrecked = true
	l.mu.Lock()
	l.gone = true
	fresh := l.fresh
	l.mu.Unlock()
	l.v.end(err)
	for _, fd := range fresh {
		l.refuse(fd)
	}
	for _, s := range l.seats.all {
		if c := s.c; c != nil {
			c.err = err
			l.finish(c)
		}
	}
	brokenLoops.mu.Lock()
	defer brokenLoops.mu.Unlock()
	brokenLoops.all = append(brokenLoops.all, l)
}

var brokenLoops struct {
	mu  sync.Mutex
	all []*loop
}
