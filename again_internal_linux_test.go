package rio

import (
	"errors"
	"syscall"
	"testing"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// What the kernel seldom does on this machine, done by hand: the test plays the kernel on a Ring that has nothing else.

func handmade(t *testing.T) *Ring {
	t.Helper()
	r, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func started(t *testing.T, r *Ring, c *call) (*op, Completion[int]) {
	t.Helper()
	if err := r.admit(1, 0); err != nil {
		t.Fatal(err)
	}
	defer r.sq.mu.Unlock()
	o := r.prepare(c, nil)
	r.join(o)
	return o, Completion[int]{pending{o: o, gen: o.gen()}}
}

// The events of a poll are not a number of bytes, nor a descriptor.
func TestPollsEventsAreNotAResult(t *testing.T) {
	firstLaneOnly(t)
	r := handmade(t)
	defer r.Close()
	o, c := started(t, r, &call{kind: kindRead, buf: make([]byte, 100)})
	r.lock()
	o.fate |= fatePolling
	o.state.Or(isCancelled) // while the poll fires
	r.cancelling.Add(1)
	r.arrive(uring.CQE{UserData: o.data, Res: int32(uring.PollIn)})
	r.unlock()
	r.follow()
	if n, err := c.Wait(); !errors.Is(err, syscall.ECANCELED) {
		t.Error(n, err)
	}
	o, c = started(t, r, &call{kind: kindRead, buf: make([]byte, 100)})
	r.lock()
	o.fate |= fatePolling
	o.tries = maxTries
	r.arrive(uring.CQE{UserData: o.data, Res: int32(uring.PollIn)})
	r.unlock()
	r.follow()
	if n, err := c.Wait(); !errors.Is(err, syscall.EAGAIN) {
		t.Error(n, err)
	}
}

// A, linked to B, linked to C, is started again; B has had its ECANCELED, C not yet, when B is cancelled.
func TestCancelWaitsForTheCompletionsThatDontCount(t *testing.T) {
	firstLaneOnly(t)
	r := handmade(t)
	defer r.Close()
	var ops [3]*op
	var cs [3]Completion[int]
	var data [3]uint64
	for i := range ops {
		ops[i], cs[i] = started(t, r, &call{kind: kindNop})
		data[i] = ops[i].data
	}
	canceled := func(i int) {
		r.lock()
		r.arrive(uring.CQE{UserData: data[i], Res: errCanceled})
		r.unlock()
	}
	r.lock()
	ops[0].next, ops[1].next = ops[1], ops[2]
	ops[0].bits |= bitLinked
	ops[1].bits |= bitLinked
	r.unlock()
	canceled(0) // A: nobody asked for that
	canceled(1)
	r.lock()
	r.doom(ops[1], 0)
	r.unlock()
	canceled(2)
	r.follow() // A starts again, for real, and succeeds
	for i, want := range []error{nil, syscall.ECANCELED, syscall.ECANCELED} {
		if _, err := cs[i].Wait(); !errors.Is(err, want) {
			t.Errorf("%d: %v, not %v", i, err, want)
		}
	}
}
