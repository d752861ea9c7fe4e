package uring

import "sync"

// A Waker is what any thread wakes a Loop with, which reads eight bytes from it: an eventfd, or a Virtual of the same
// behaviour for a Loop that has a Kernel.
type Waker struct {
	FD    int32
	Addr  Addr // of the count that is read
	count *[8]byte
	pins  Pins
	soft  *SoftWaker
}

// NewWaker makes one; soft says that the Loop has a Kernel.
func NewWaker(soft bool) (*Waker, error) {
	w := &Waker{count: new([8]byte)}
	if soft {
		w.soft = new(SoftWaker)
		w.FD = int32(NewVirtual(w.soft))
	} else {
		fd, err := newEventfd()
		if err != nil {
			return nil, err
		}
		w.FD = int32(fd)
	}
	w.Addr = w.pins.Bytes(w.count[:])
	return w, nil
}

// Wake makes the read end.
func (w *Waker) Wake() error {
	if w.soft != nil {
		w.soft.wake()
		return nil
	}
	return writeEventfd(int(w.FD))
}

// Close closes it; nothing reads it any more.
func (w *Waker) Close() {
	w.pins.Release()
	if w.soft != nil {
		FreeVirtual(int(w.FD))
		return
	}
	CloseFD(int(w.FD))
}

// A SoftWaker is an eventfd in ordinary memory, for a Kernel that is told when it can be read.
type SoftWaker struct {
	mu     sync.Mutex
	awake  bool
	listen func()
}

func (w *SoftWaker) wake() {
	w.mu.Lock()
	listen := w.listen
	w.listen = nil
	w.awake = listen == nil
	w.mu.Unlock()
	if listen != nil {
		listen()
	}
}

// Listen reads: true if it was woken since the last time; otherwise f is called, once, when it is. A nil f takes the last
// one back.
func (w *SoftWaker) Listen(f func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if f != nil && w.awake {
		w.awake = false
		return true
	}
	w.listen = f
	return false
}
