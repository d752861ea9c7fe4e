package rio

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// What comes late: when the Ring closes already, when a thread has ended, when the sweeper is about to rest.

// returns is what do returns, if it does so before long; if not, free has to make it return.
func returns(t *testing.T, do func() error, free func()) error {
	t.Helper()
	got := make(chan error, 1)
	go func() { got <- do() }()
	select {
	case err := <-got:
		return err
	case <-time.After(10 * time.Second):
		t.Error("it waits")
		free()
		return <-got
	}
}

// Who begins to wait on Go's poller when Close has woken those that do is in nobody's list: Close would wait for it for ever.
func TestNobodyBeginsToWaitOnGosPollerOnceTheRingCloses(t *testing.T) {
	r, c, peer := polling(t, nil)
	r.closing.Store(true) // as shut does
	r.waits.end()
	err := returns(t, func() error {
		c.rd.turn.Lock()
		defer c.rd.turn.Unlock()
		_, err := c.rd.poll(&c.handle, make([]byte, 1))
		return err
	}, func() { peer.Close() })
	if err != syscall.EAGAIN {
		t.Error(err)
	}
	r.closing.Store(false)
}

// A deadline that is moved while the Ring closes has nobody wait again.
func TestNoDeadlineUndoesTheEndOfAReadiness(t *testing.T) {
	_, c, peer := polling(t, nil)
	c.rd.turn.Lock()
	defer c.rd.turn.Unlock()
	w := c.rd.waitable(&c.handle)
	w.end()
	w.setDeadline(time.Time{})
	err := returns(t, func() error { _, err := w.read(make([]byte, 1)); return err }, func() { peer.Write([]byte("x")) })
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

// Lanes that are opened while the Ring closes refuse what the first one does.
func TestLanesThatComeLateRefuse(t *testing.T) {
	firstLaneOnly(t)
	r := openRing(t, nil)
	if r.side.most == 0 {
		t.Skip("there are no side lanes")
	}
	r.lock()
	r.sq.refusal = ErrClosed // as shut does
	r.unlock()
	r.widen(2)
	r.lock()
	r.sq.refusal = nil
	r.unlock()
	if len(r.sides()) == 0 {
		t.Fatal("none was opened")
	}
	for _, l := range r.sides() {
		if l.sq.refusal != ErrClosed {
			t.Error("it takes more")
		}
	}
}

// The kernel ends what a thread has submitted when that does, and it is started again: not if its file was closed meanwhile.
func TestWhatIsStartedAgainSaysThatItsForeignFileIsClosed(t *testing.T) {
	r := openRing(t, nil)
	if !r.linux {
		t.Skip("only io_uring ends what a thread has submitted with it")
	}
	for range 20 { // the main thread never ends
		pr, pw, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer pw.Close()
		var tid int
		begun := make(chan Completion[int])
		go func() {
			runtime.LockOSThread() // and the thread ends with the goroutine
			tid = syscall.Gettid()
			c := r.ReadAt(pr, make([]byte, 1), 0)
			pr.Close()
			begun <- c
		}()
		c := <-begun
		ended := tid != os.Getpid()
		if ended {
			until(t, "the thread has ended", func() bool {
				_, err := os.Stat(fmt.Sprint("/proc/self/task/", tid))
				return err != nil
			})
		}
		pw.Write([]byte("x")) // which the kernel won't read for who has gone
		if _, err := c.Wait(); ended && !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
		if n := r.inFlight(); n != 0 {
			t.Errorf("%d in flight", n)
		}
		if ended {
			return
		}
	}
}

// What is started between the sweeper's last look and its rest is seen by it.
func TestTheSweeperLooksOnceMoreBeforeItRests(t *testing.T) {
	r, _ := unsweptFile(t, 0)
	last := r.tails()
	r.Nop() // nobody waits for it
	ticker := time.NewTicker(time.Hour)
	defer ticker.Stop()
	if returns(t, func() error {
		if !r.rest(ticker, last) {
			return ErrClosed
		}
		return nil
	}, func() { r.Close() }) != nil {
		t.Error("it rests, though there is something to submit")
	}
}
