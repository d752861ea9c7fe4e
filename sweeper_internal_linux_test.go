package rio

import (
	"errors"
	"syscall"
	"testing"

	"github.com/seed-9c58b644/rio/internal/hook"
	"github.com/seed-9c58b644/rio/internal/uring"
)

// unswept is a ring whose sweeper ticks when the test says so.
func unswept(t *testing.T) *Ring {
	t.Helper()
	if uring.Race {
		t.Skip("results go to a witness first, and who hands them over submits")
	}
	firstLaneOnly(t)
	r, err := newOn(&Config{Backend: IOUring, Depth: 2 * flood}, hook.Kernel{Manual: true})
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// left checks how many are left to others.
func left(t *testing.T, what string, count func() uint32) func(when string, want uint32) {
	return func(when string, want uint32) {
		t.Helper()
		if n := count(); n != want {
			t.Errorf("%s: %d are %s, not %d", when, n, what, want)
		}
	}
}

// What nobody sees to goes out with the next tick. Where others are at work it is left to them, but for no longer than to the
// tick after that.
func TestTheSweeperSubmitsWhatNobodyElseDoes(t *testing.T) {
	r := unswept(t)
	pending := left(t, "pending", r.k.SQ.Pending)
	tick := func() { r.sweep(false) }
	start := func(n int) {
		for range n {
			r.Nop()
		}
	}

	start(1)
	tick()
	pending("one, and nobody else", 0)

	start(1)
	r.flush()
	start(1)
	tick()
	pending("somebody has just submitted", 1)
	tick()
	pending("nobody did since", 0)

	start(flood)
	tick()
	pending("many at once", flood)
	tick()
	pending("no more of them", 0)

	start(1)
	tick()
	start(flood - 1)
	tick()
	pending("not so many at once", 0)

	start(1)
	r.flush()
	start(1) // has waited for a tick below, though somebody submits what came before it
	tick()
	start(flood)
	tick()
	pending("one of them for a tick already", 0)
}

// The same for completions: they are read with the next tick, unless others read some.
func TestTheSweeperReadsWhatNobodyElseDoes(t *testing.T) {
	r := unswept(t)
	unread := left(t, "unread", r.k.CQ.Ready)
	complete := func() { // a NOP is complete when it is submitted
		r.Nop()
		r.flush()
	}

	complete()
	r.sweep(false)
	unread("one, and nobody else", 0)

	complete()
	r.reap()
	complete()
	r.sweep(false)
	unread("somebody has just read", 1)
	r.sweep(false)
	unread("nobody did since", 0)

	complete()
	r.use() // somebody is submitting
	r.sweep(false)
	unread("somebody submits, who will read", 1)
	r.sweep(false)
	unread("he takes too long", 0)
	complete()
	r.sweep(false)
	unread("another one", 1)
	r.sweep(false)
	unread("the same again", 0)
	r.unuse(0)

	complete()
	r.reap()
	complete()
	r.sweep(false)
	unread("somebody has read", 1)
	r.use()
	r.sweep(false)
	unread("and somebody submits, but one tick has passed", 0)
	r.unuse(0)
}

// The number of Ps may change while there is traffic all the time.
func TestTheSweeperCountsThePs(t *testing.T) {
	firstLaneOnly(t)
	withProcs(t, 2)
	r := openRing(t, nil)
	for _, n := range []int{3, 1, 2} {
		withProcs(t, n)
		until(t, "it counts them", func() bool {
			for range 10 {
				r.Nop().Wait()
			}
			return r.procs.Load() == int32(n)
		})
	}
}

// More cancels than the queue holds go out in one go: one queue full of them a tick took seconds.
func TestCancelsOfManyGoOutTogether(t *testing.T) {
	firstLaneOnly(t)
	if kernelOfTests.Make != nil {
		t.Skip("a simulated kernel takes what it likes")
	}
	r, err := newOn(&Config{Depth: 8, CQDepth: 2048}, hook.Kernel{Manual: true}) // the sweeper would submit, too
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if !r.k.Plain() {
		t.Skip("a simulated kernel takes what it likes")
	}
	f, _ := pipeOn(t, r)
	var reads []Completion[int]
	for range 1000 {
		reads = append(reads, r.ReadAt(f, make([]byte, 1), 0))
	}
	if err := r.SubmitAll(); err != nil {
		t.Fatal(err)
	}
	r.lane.cancelWhere(0, func(*op) bool { return true })
	left, before := r.inFlight(), r.Stats().Submitted
	if !r.lane.recancel() {
		t.Error("it has not asked for all")
	}
	if n := r.Stats().Submitted - before; n < left {
		t.Errorf("%d cancels for %d operations", n, left)
	}
	for _, c := range reads {
		if n, err := c.Wait(); n != 0 || !errors.Is(err, syscall.ECANCELED) {
			t.Fatal(n, err)
		}
	}
}
