package rio

import (
	"os"
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// The intake is how connections reach the loops: the first loop accepts, for all, and hands each one to the loop that
// has the fewest. If all accepted, the first one woken would take most of them.
type intake struct {
	l       *loop
	multi   bool // one request accepts one after the other
	armed   bool // of accept, its timer and its poll one is in flight
	stopped bool
	fault   int // how often in a row it has failed
	ts      *uring.Timespec
	tsAddr  uring.Addr
	pins    uring.Pins
}

func (i *intake) init(l *loop, plain bool) {
	i.l, i.multi, i.ts = l, !plain, new(uring.Timespec)
	i.tsAddr = i.pins.Timespec(i.ts)
}

func (i *intake) arm() {
	i.l.room(1)
	i.l.request().FillAccept(int32(i.l.v.l.fd), uring.CloseExec, i.multi, doesAccept<<doesShift)
	i.armed = true
}

// again is called when what arm waited for is there.
func (i *intake) again() {
	i.armed = false
	if !i.stopped {
		i.arm()
	}
}

// later arms again after a while, twice as long each time, from 5 ms to a second.
func (i *intake) later() {
	i.ts.Set(int64(min(5*time.Millisecond<<min(i.fault, 10), time.Second)))
	i.fault++
	i.l.room(1)
	i.l.request().FillTimeout(i.tsAddr, doesTimer<<doesShift)
	i.armed = true
}

// stop ends it; idle says when it has ended.
func (i *intake) stop() {
	i.stopped = true
	if i.armed {
		i.l.room(3)
		for _, does := range []uint64{doesAccept, doesTimer, doesPoll} {
			i.l.cancel(does << doesShift)
		}
	}
}

func (i *intake) idle() bool { return !i.armed }

// accepted is called for each CQE of accept.
func (i *intake) accepted(e *uring.CQE) {
	i.armed = e.More()
	errno := syscall.Errno(-e.Res)
	switch {
	case e.Res >= 0:
		i.fault = 0
		if i.stopped {
			i.l.refuse(e.Res)
			return
		}
		i.place(e.Res)
		if !i.armed {
			i.arm()
		}
	case i.stopped || i.armed:
	case errno == syscall.ECANCELED, errno == syscall.EINTR, errno == syscall.ECONNABORTED:
		i.arm() // by nobody that we know; or the connection was gone before it was taken
	case errno == syscall.EAGAIN:
		// Older kernels don't wait on a listener that is O_NONBLOCK.
		i.l.room(1)
		i.l.request().FillPoll(0, int32(i.l.v.l.fd), uring.PollIn, doesPoll<<doesShift)
		i.armed = true
	case errno == syscall.EINVAL && i.multi:
		i.multi = false // this kernel takes one at a time
		i.arm()
	case errno == syscall.EINVAL, errno == syscall.EBADF, errno == syscall.ENOTSOCK, errno == syscall.EOPNOTSUPP:
		i.l.v.end(os.NewSyscallError("accept", errno))
	default:
		i.later() // no descriptors, no memory, a network that is down: that may pass
	}
}

// place gives fd to a loop.
func (i *intake) place(fd int32) {
	l := i.l.v.lightest()
	l.load.Add(1)
	if l == i.l {
		l.admit(fd)
	} else if !l.hand(fd) {
		l.load.Add(-1)
		l.refuse(fd)
	}
}
