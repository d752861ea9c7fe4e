package rio

import (
	"errors"
	"sync"
	"syscall"
)

// What RawConn.Control is, and does with its function, is up to whoever has made it: it may call that twice, never, or later, panic, or
// say that it failed. What has been published is the kernel's all the same.

// errUncalled is what a Control has done that says nothing else.
var errUncalled = errors.New("RawConn.Control has not called its function")

// control is raw.Control, but that calls f once, before it returns, or is an error; what it says after f is of no account. If somebody
// else is at f when Control returns it waits for that.
func control(raw syscall.RawConn, f func(fd uintptr)) error {
	var mu sync.Mutex
	called, over := false, false // over: or it won't be any more
	end := func() bool {
		mu.Lock()
		defer mu.Unlock()
		over = true
		return called
	}
	defer end()
	err := raw.Control(func(fd uintptr) {
		mu.Lock()
		defer mu.Unlock()
		if !called && !over {
			called = true
			f(fd)
		}
	})
	switch {
	case end():
		return nil
	case err == nil:
		return errUncalled
	}
	return err
}

// enterIn publishes o and submits it while raw keeps its descriptor open. It sets has when it has published o.
func (r *Ring) enterIn(o *op, raw syscall.RawConn, has *bool) error {
	if !r.use() {
		return ErrClosed
	}
	enters := 0
	defer func() {
		r.unuse(enters)
		r.follow()
	}()
	return control(raw, func(fd uintptr) {
		*has = true
		enters = r.enterAs(o, fd)
	})
}

// enterAs publishes o, whose descriptor is fd, and submits it.
func (r *Ring) enterAs(o *op, fd uintptr) (enters int) {
	r.sq.mu.Lock()
	for !r.k.SQ.Has(1) && r.broken() == nil {
		r.sq.mu.Unlock()
		enters += r.submitWith(patience{within: true}, r.k.SQ.Tail())
		r.sq.mu.Lock()
	}
	if r.broken() != nil {
		r.sq.mu.Unlock()
		return enters
	}
	o.fd = int32(fd)
	if o.tries == 0 {
		r.join(o)
	}
	r.write(train{first: o, last: o, n: 1})
	r.sq.mu.Unlock()
	return enters + r.submitWith(patience{within: true}, r.k.SQ.Tail())
}
