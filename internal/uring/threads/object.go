package threads

import (
	"errors"
	"net"
	"reflect"
	"syscall"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// objectTarget is the target that a descriptor of NewVirtual's stands for.
func objectTarget(o any) target {
	switch o := o.(type) {
	case target:
		return o
	case *uring.SoftWaker:
		return wakerTarget{o}
	}
	return nil
}

// A wakerTarget is what wakes a loop: eight bytes can be read from it.
type wakerTarget struct{ w *uring.SoftWaker }

func (t wakerTarget) begin(r *request) {
	k, data := r.k, r.data
	k.wait(r, func(*request) bool {
		t.w.Listen(nil)
		return true
	})
	if t.w.Listen(func() { k.ended(r, data, 8) }) {
		k.stop(r)
		k.complete(r, 8)
	}
}

func (t wakerTarget) perform(*request) (int32, bool) { panic("threads: a waker is not for the pool") }

// A borrowed object is somebody else's file, connection or listener. All requests for one share its directions.
type borrowed struct {
	target
	users int
}

// holdObject lends f to the table as what package os or net makes of it. Closed meanwhile, it is an error for what was begun
// on it.
func (k *kernel) holdObject(f syscall.Conn) (lent, error) {
	raw, err := f.SyscallConn()
	if err == nil {
		err = raw.Control(func(uintptr) {}) // is it closed?
	}
	if err != nil {
		return lent{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	hashable := reflect.ValueOf(f).Comparable()
	var b *borrowed
	if hashable {
		b = k.borrowed[f]
	}
	if b == nil {
		t := foreign(f)
		if t == nil {
			return lent{}, errors.ErrUnsupported
		}
		b = &borrowed{target: t}
		if hashable {
			k.borrowed[f] = b
		}
	}
	b.users++
	return lent{b.target, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if b.users--; b.users == 0 && hashable && !owes(b.target) { // otherwise for good, unless it is lent once more
			delete(k.borrowed, f)
		}
	}}, nil
}

func foreign(f syscall.Conn) target {
	switch f := f.(type) {
	case net.Conn:
		return newStream(f, f)
	case net.Listener:
		return NewListener(f)
	case interface {
		fileLike
		statter
		deadlines
	}:
		if !bounded(f) {
			return newStream(f, f)
		}
		return &files{f: f}
	case interface {
		fileLike
		statter
	}:
		return &files{f: f}
	}
	return nil
}

// Domain is f's address family, in Linux's numbers.
func (k *kernel) Domain(f syscall.Conn) (int, error) { return family(f) }

// Look says what has to be known of f before anything is begun on it; ok is false if its descriptor can be asked.
func (k *kernel) Look(f syscall.Conn) (bounds, socket, ok bool) {
	if !k.portable {
		return false, false, false
	}
	switch f := f.(type) {
	case net.Conn, net.Listener:
		return false, true, true
	case statter:
		return bounded(f), false, true
	}
	return false, false, true
}
