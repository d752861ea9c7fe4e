package rio

import (
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// The parts of a loop's round: settle, enter, reap.

// enter submits what was written, and waits for so many CQEs. Who is woken now and then has no need of a break between what has come and
// the answer.
func (l *loop) enter(wait uint32) syscall.Errno {
	r := l.v.l.r
	l.breaks.look(r)
	began := time.Since(r.born)
	errno := l.k.Enter(wait)
	if wait > 0 && time.Since(r.born)-began > loopIdle {
		l.breaks.postpone(r)
	}
	return errno
}

// letOthers runs other goroutines first if those have lately written to Streams: a loop that waits for the
// kernel would wait for what they are about to write.
func (l *loop) letOthers() {
	if l.others == 0 {
		return
	}
	l.others--
	before := l.posted()
	l.breaks.take(l.v.l.r)
	if l.posted() > before {
		l.others = loopOthers
	}
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

// loopReserve is how many requests the loop itself may have to write while the kernel takes none: for the waker and its end, for one of
// accept, its timer and its poll and the ends of all three, for the lookout's timer and its end. Who writes a Stream's leaves room for them.
const loopReserve = 8

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
	for range l.k.CQ.Ready() {
		e := l.k.CQ.Next()
		if !e.More() {
			l.inFlight--
		}
		switch e.UserData >> doesShift {
		case doesRecv:
			l.received(l.seats.find(e.UserData), &e)
		case doesSend:
			l.sent(l.seats.find(e.UserData), e.Res)
		case doesAccept:
			l.intake.accepted(&e)
		case doesTimer, doesPoll:
			l.intake.again()
		case doesLook:
			l.look()
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
	l.armLookout()
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
	doesLook
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
