package threads

import "github.com/seed-9c58b644/rio/internal/uring"

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
	k.wait(r, func(*request) { t.w.Listen(nil) })
	if t.w.Listen(func() { k.ended(r, data, 8) }) {
		k.stop(r)
		k.complete(r, 8)
	}
}

func (t wakerTarget) perform(*request) (int32, bool) { panic("threads: a waker is not for the pool") }
