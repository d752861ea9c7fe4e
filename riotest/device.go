package riotest

import "time"

// The device is the goroutine that has requests end while nobody is in the kernel. In lockstep it does so only for who
// relies on being notified, and sleeps.

// call makes the device look.
func (k *kernel) call() {
	if len(k.ready)+len(k.armed)+len(k.overflow) == 0 {
		return
	}
	select {
	case k.work <- struct{}{}:
	default:
	}
}

func (k *kernel) device() {
	defer close(k.gone)
	for {
		select {
		case <-k.work:
		case <-k.stop:
			return
		}
		for pause := 50 * time.Microsecond; k.serve(); pause = min(pause*2, time.Millisecond) {
			select {
			case <-time.After(pause):
			case <-k.stop:
				return
			}
		}
	}
}

// serve lets something end, and reports whether there is more.
func (k *kernel) serve() (more bool) {
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	if !k.s.lockstep || k.q.Notified() {
		k.step()
		if len(k.overflow) > 0 && k.q.Notified() {
			k.unflow() // nobody hears of those otherwise, if nobody is in the kernel
		}
	}
	return len(k.ready)+len(k.armed)+len(k.overflow) > 0
}

// rest lets others use the kernel for a moment.
func (k *kernel) rest() {
	k.s.mu.Unlock()
	time.Sleep(30 * time.Microsecond)
	k.s.mu.Lock()
}
