package threads

import "github.com/seed-9c58b644/rio/internal/uring"

// An alone is a direction of what has no deadlines: Windows' pipes, consoles. What waits there can't be ended, so a request
// that is cancelled leaves the goroutine alone, with memory of its own: what that reads then is the next request's.
type alone struct {
	call  func([]byte) (int, error) // nil: there are deadlines
	reads bool
	at    bool   // the goroutine is in call
	left  bool   // the request was cancelled meanwhile
	ahead []byte // was read for nobody
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
