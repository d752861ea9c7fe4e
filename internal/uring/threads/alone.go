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
	f     syscall.Conn              // what interrupt is for; may be nil
	reads bool
	at    bool   // the goroutine is in call
	ends  bool   // the request is being interrupted
	left  bool   // it was cancelled, and its goroutine left alone
	ahead []byte // was read for nobody
}

// patience is how often, a millisecond each, what waits is interrupted before it is left alone: it may just be about to wait.
const patience = 100

// cancelAlone cancels r, the first one in the queue, as cancel does. Under mu.
func (d *direction) cancelAlone(r *request) (ended bool) {
	a := &d.alone
	switch {
	case a.ends:
		return false
	case a.at && !a.left && a.f != nil && canInterrupt:
		a.ends = true
		go d.interrupt(r.k)
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

// interrupt ends what the first request waits in, or leaves it alone.
func (d *direction) interrupt(k *kernel) {
	a := &d.alone
	for range patience {
		interrupt(a.f)
		time.Sleep(time.Millisecond)
		k.mu.Lock()
		ends := a.ends
		k.mu.Unlock()
		if !ends {
			return
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if a.ends {
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
		k.mu.Unlock()
		n, err = a.call(p)
		k.mu.Lock()
		a.at = false
		if n == 0 && interrupted(err) {
			if !a.ends && !a.left {
				return // it was meant for the one before: once more
			}
			err = syscall.ECANCELED
		}
		a.ends = false
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
