package rio

import (
	"strings"
	"testing"

	"github.com/seed-9c58b644/rio/internal/uring"
)

func openRing(t *testing.T, cfg *Config) *Ring {
	t.Helper()
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		for l := range r.lanes() {
			if n := l.cancelling.Load(); n != 0 && r.broken() == nil {
				t.Errorf("%d operations are still being cancelled: the sweeper would never rest", n)
			}
		}
	})
	return r
}

// A CQE that belongs to nothing means that our own books are wrong, or the kernel's: there is no going on.
func TestCQEThatFitsNoOperationPanicsWithASentence(t *testing.T) {
	firstLaneOnly(t)
	r := openRing(t, &Config{Depth: 2})
	if _, err := r.Nop().Wait(); err != nil {
		t.Fatal(err)
	}
	gen := uint64(r.table[0].gen)
	for name, data := range map[string]uint64{
		"a place behind the table":         1<<32 | uint64(len(r.table)),
		"the last place there could be":    1<<32 - 1,
		"a place where nothing is":         gen << 32,
		"a generation that is still to be": (gen + 1) << 32,
	} {
		func() {
			defer func() {
				s, ok := recover().(string)
				if !ok || !strings.Contains(s, "CQE") || !strings.Contains(s, "not in flight") {
					t.Errorf("%s: the panic says %q", name, s)
				}
			}()
			r.cq.mu.Lock()
			defer r.cq.mu.Unlock()
			r.arrive(uring.CQE{UserData: data})
		}()
	}
	// Of an operation that is in flight only its own generation fits.
	r.lock()
	next := r.places.free[r.places.head&r.places.mask]
	r.unlock()
	c := r.Nop()
	r.cq.mu.Lock()
	for _, wrong := range []uint32{r.table[next].gen - 1, r.table[next].gen + 1} {
		func() {
			defer func() {
				if s, ok := recover().(string); !ok || s == "" {
					t.Errorf("generation %d was taken for %d", wrong, r.table[next].gen)
				}
			}()
			r.arrive(uring.CQE{UserData: uint64(wrong)<<32 | uint64(next)})
		}()
	}
	r.cq.mu.Unlock()
	if _, err := c.Wait(); err != nil {
		t.Error(err)
	}
}

// user_data has 32 bits of generation: after 2^32 uses of a place it begins again.
func TestGenerationsOfPlacesWrap(t *testing.T) {
	firstLaneOnly(t)
	r := openRing(t, &Config{Depth: 2})
	r.lock()
	for i := range r.table {
		r.table[i].gen = 1<<32 - 2
	}
	r.unlock()
	for range 5 * len(r.table) {
		if _, err := r.Nop().Wait(); err != nil {
			t.Fatal(err)
		}
	}
	r.lock()
	defer r.unlock()
	for i := range r.table {
		if g := r.table[i].gen; g != 3 {
			t.Errorf("place %d was used five times since generation 2^32-2, and is at %d", i, g)
		}
	}
}

// A Completion knows its operation by 21 bits of generation: when they are used up, so is the op.
func TestOperationsAreNotUsedAfterTheirLastGeneration(t *testing.T) {
	firstLaneOnly(t)
	for _, taken := range []string{"done", "not done", "claimed", "loose"} {
		r := openRing(t, nil)
		if _, err := r.Nop().Wait(); err != nil {
			t.Fatal(err)
		}
		r.lock()
		o := r.sq.pool.ops[0]
		o.state.Store((lastGen - 1) << genShift)
		o.born = lastGen - 2
		r.unlock()

		last := r.Nop()
		if last.o != o || last.gen != lastGen-1 {
			t.Fatalf("the operation has generation %d", last.gen)
		}
		switch taken {
		case "done":
			r.SubmitAll()
		case "claimed":
			last = Completion[struct{}]{last.pending}
			if _, err := last.WaitContext(t.Context()); err != nil {
				t.Fatal(err)
			}
		case "loose":
			o.state.Or(isLoose)
			r.lock()
			r.sq.pool.ops[0] = r.looseOp()
			r.sq.pool.ops[0].born-- // it was never used
			r.unlock()
		}
		if _, err := last.Wait(); (err == nil) == (taken == "claimed") {
			t.Fatal(err)
		}
		for i := range 4 {
			if i%2 == 0 {
				r.lock()
				r.sq.pool.next = 0 // it would be the next one
				r.unlock()
			}
			after := r.Nop()
			if after.o == o {
				t.Fatalf("%s: it is used in generation %d", taken, after.gen)
			}
			if _, err := after.Wait(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := last.Wait(); err != ErrWaited {
			t.Error("the Completion of the last generation:", err)
		}
		if _, ok, err := last.TryWait(); !ok || err != ErrWaited {
			t.Error("the Completion of the last generation:", ok, err)
		}
		if err := last.Cancel(); err != nil {
			t.Error(err)
		}
		select {
		case <-last.Done():
		default:
			t.Error("Done of what is over is not closed")
		}
	}
}

// freeTickets are those that nobody has, and those that lanes have at hand.
func (r *Ring) freeTickets() (n uint32) {
	r.lock()
	defer r.unlock()
	r.recall()
	return r.tickets.free.Load()
}

func TestUserDataIsNeverTheControlRequests(t *testing.T) {
	firstLaneOnly(t)
	// The last place of the largest table, in the last generation.
	o := &op{data: userData(1<<32-1, 1<<17-1)}
	if o.data == controlData {
		t.Error("an operation has the user_data of cancels")
	}
	if o.place() != 1<<17-1 || o.data>>32 != 1<<32-1 {
		t.Errorf("user_data is %#x", o.data)
	}
}

func TestEverythingOnANilRingIsAnError(t *testing.T) {
	firstLaneOnly(t)
	var r *Ring
	if _, err := r.Nop().Wait(); err == nil {
		t.Error("Nop on a nil Ring")
	}
	if err := r.SubmitAll(); err == nil {
		t.Error("SubmitAll on a nil Ring")
	}
	if err := r.Close(); err == nil {
		t.Error("Close of a nil Ring")
	}
	if r.Stats() != (Stats{}) {
		t.Error("a nil Ring has figures")
	}
}
