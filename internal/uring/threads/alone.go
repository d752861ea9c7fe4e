package threads

import (
	"slices"
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// An alone is a direction of what has no deadlines: Windows' pipes, consoles. A request that is cancelled is interrupted
// until it ends. What can't be ended leaves the goroutine alone, with memory of its own: what that reads then is the next
// request's.
type alone struct {
	call  func([]byte) (int, error) // nil: there are deadlines
	reads bool
	interrupter
	at    bool   // the goroutine is in call
	turn  uint   // how often it has been
	ends  bool   // the request is being interrupted
	left  bool   // it was cancelled, and its goroutine left alone
	again int    // how often the request was interrupted though nobody has cancelled it
	ahead []byte // was read for nobody
}

// An interrupter ends what waits in a file's reads and writes, whosever they are; what begins only then isn't among it.
type interrupter struct {
	interrupt   func() // nil: nothing can
	interrupted func(error) bool
}

// patience is how often, a millisecond each, what waits is interrupted before it is left alone: it may just be about to wait.
const patience = 100

// cancelAlone cancels the first request in the queue, as cancel does. Under mu.
func (d *direction) cancelAlone(k *kernel) (ended bool) {
	a := &d.alone
	switch {
	case a.ends:
		return false
	case a.at && !a.left && a.interrupt != nil:
		a.ends = true
		turn := a.turn
		k.outside.run(func() { d.end(k, turn) })
		return false
	}
	d.leave()
	return true
}

// leave takes the first request out.
func (d *direction) leave() {
	d.queue = slices.Delete(d.queue, 0, 1)
	d.alone.left = d.alone.at
}

// end interrupts the first request, or leaves its goroutine alone. It holds mu meanwhile, without which the request can't
// be complete, lest it interrupt the next.
func (d *direction) end(k *kernel, turn uint) {
	a := &d.alone
	k.mu.Lock()
	defer k.mu.Unlock()
	for range patience {
		if !a.ends || a.turn != turn {
			return
		}
		a.interrupt()
		k.mu.Unlock()
		time.Sleep(time.Millisecond)
		k.mu.Lock()
	}
	if a.ends && a.turn == turn {
		a.ends = false
		r := d.queue[0]
		d.leave()
		r.end = nil
		delete(k.waiting, r.data)
		k.complete(r, -int32(syscall.ECANCELED))
	}
}

// owes reports whether a goroutine was left alone with t, or has read what is the next request's. Under mu.
func owes(t target) bool {
	s, ok := t.(*stream)
	return ok && (s.in.alone.at || s.out.alone.at || len(s.in.alone.ahead) > 0)
}

// runAlone does r, the first one in the queue. Under mu.
func (d *direction) runAlone(k *kernel, r *request) {
	a := &d.alone
	bufs := r.buffers()
	n := 0
	for _, b := range bufs {
		n += len(b)
	}
	p := make([]byte, n)
	var err error
	switch {
	case a.reads && len(a.ahead) > 0:
		n = copy(p, a.ahead)
		a.ahead = a.ahead[n:]
	case a.reads && n == 0:
	default:
		if !a.reads {
			p = flat(bufs)
			if len(bufs) == 1 {
				p = make([]byte, n)
				uring.KernelCopy(p, bufs[0])
			}
		}
		a.at = true
		a.turn++
		k.mu.Unlock()
		n, err = a.call(p)
		k.mu.Lock()
		a.at = false
		if n == 0 && a.interrupt != nil && a.interrupted(err) {
			switch {
			case a.ends || a.left:
				err = syscall.ECANCELED
			case a.reads && a.again < patience: // it was meant for somebody else's; a write might have sent something
				a.again++
				return
			}
		}
		a.ends, a.again = false, 0
		if a.left {
			a.left = false
			if a.reads && n > 0 {
				a.ahead = append(a.ahead, p[:n]...)
			}
			return
		}
	}
	if a.reads {
		for i, left := 0, p[:n]; len(left) > 0; i++ {
			left = left[uring.KernelCopy(bufs[i], left):]
		}
	}
	d.queue = d.queue[1:]
	delete(k.waiting, r.data)
	r.end = nil
	k.complete(r, result(n, err))
}
