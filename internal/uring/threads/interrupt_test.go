package threads

import (
	"errors"
	"syscall"
	"testing"

	"github.com/seed-9c58b644/rio/internal/uring"
)

var errAborted = errors.New("aborted")

// abortable is a file whose waiting calls can be interrupted, as Windows' pipes are.
type abortable struct {
	data   chan string
	stop   chan struct{} // an interrupt of who waits
	called chan string   // gets "read" or what is written, for each call
}

func (f *abortable) wait() (string, error) {
	select {
	case s := <-f.data:
		return s, nil
	case <-f.stop:
		return "", errAborted
	}
}

func (f *abortable) Read(p []byte) (int, error) {
	f.called <- "read"
	s, err := f.wait()
	return copy(p, s), err
}

func (f *abortable) Write(p []byte) (int, error) {
	f.called <- string(p)
	_, err := f.wait()
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// interrupt hits nobody if nobody waits.
func (f *abortable) interrupt() {
	select {
	case f.stop <- struct{}{}:
	default:
	}
}

func newAbortable() (*abortable, *stream) {
	f := &abortable{make(chan string), make(chan struct{}), make(chan string, 100)}
	i := interrupter{f.interrupt, func(err error) bool { return err == errAborted }}
	return f, &stream{in: direction{alone: alone{call: f.Read, interrupter: i, reads: true}}, out: direction{alone: alone{call: f.Write, interrupter: i}}}
}

// What waits and can be interrupted is, when it is cancelled, and nothing else is: what comes goes to the next request.
func TestWhatCanBeInterruptedIsCancelled(t *testing.T) {
	r := openRing(t)
	f, s := newAbortable()
	fd := uring.NewVirtual(s)
	defer uring.FreeVirtual(fd)
	var pins uring.Pins
	defer pins.Release()
	p := make([]byte, 10)
	canceled, already := -int32(syscall.ECANCELED), -int32(syscall.EALREADY)
	for range 50 {
		begin(r, uring.OpRead, 0, fd, &pins, p, 1)
		<-f.called
		cancel(r, 1, 2)
		if res := reap(t, r, 2); res[1] != canceled || res[2] != already {
			t.Fatal(res)
		}
		begin(r, uring.OpRead, 0, fd, &pins, p, 3) // nobody interrupts this one
		<-f.called
		f.data <- "abc"
		if res := reap(t, r, 1); res[3] != 3 || string(p[:3]) != "abc" || len(f.called) != 0 {
			t.Fatal(res, string(p), len(f.called))
		}
	}

	// A read that somebody else's interrupt hits goes on; a write does not: it may have sent something.
	begin(r, uring.OpRead, 0, fd, &pins, p, 4)
	<-f.called
	f.stop <- struct{}{}
	<-f.called
	f.data <- "x"
	if res := reap(t, r, 1); res[4] != 1 {
		t.Fatal(res)
	}
	begin(r, uring.OpWrite, 0, fd, &pins, p, 5)
	<-f.called
	f.stop <- struct{}{}
	if res := reap(t, r, 1); res[5] >= 0 || len(f.called) != 0 {
		t.Fatal(res, len(f.called))
	}
	begin(r, uring.OpWrite, 0, fd, &pins, p, 6)
	<-f.called
	cancel(r, 6, 7)
	if res := reap(t, r, 2); res[6] != canceled || res[7] != already || len(f.called) != 0 {
		t.Fatal(res, len(f.called))
	}

	// What is interrupted again and again by others ends.
	begin(r, uring.OpRead, 0, fd, &pins, p, 8)
	for range patience + 1 {
		<-f.called
		f.stop <- struct{}{}
	}
	if res := reap(t, r, 1); res[8] >= 0 {
		t.Fatal(res)
	}
}

// What an interrupt doesn't end is left alone after a while, and its goroutine's data is the next request's.
func TestWhatAnInterruptDoesNotEndIsLeftAlone(t *testing.T) {
	r := openRing(t)
	f, s := newAbortable()
	tries := 0
	s.in.alone.interrupt = func() { tries++ } // under mu
	fd := uring.NewVirtual(s)
	defer uring.FreeVirtual(fd)
	var pins uring.Pins
	defer pins.Release()
	first, second := make([]byte, 4), make([]byte, 4)
	begin(r, uring.OpRead, 0, fd, &pins, first, 1)
	<-f.called
	cancel(r, 1, 2)
	if res := reap(t, r, 2); res[1] != -int32(syscall.ECANCELED) || tries != patience {
		t.Fatal(res, tries)
	}
	begin(r, uring.OpRead, 0, fd, &pins, second, 3)
	f.data <- "abc"
	if res := reap(t, r, 1); res[3] != 3 || string(second[:3]) != "abc" || first[0] != 0 {
		t.Fatal(res, string(first), string(second))
	}
}
