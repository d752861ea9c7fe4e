package rio

import (
	"math"
	"sync"
	"testing"
)

// Lanes are dealt out anew when one has had nothing to do for some ticks while another had much, and less often if that was of no
// use; not when all have much to do, or all little.
func TestLanesAreDealtOutAnew(t *testing.T) {
	r := unswept(t)
	r.widen(2)
	sides := r.sides()
	if len(sides) != 2 {
		t.Skip("there is no memory for side lanes")
	}
	all := []*lane{&r.lane, sides[0], sides[1]}
	tick := func(submits ...uint32) (dealt bool) {
		before := r.side.deal.Load()
		for i, l := range all {
			l.swept.flushed = l.flushed.Load() - submits[i]
		}
		r.even()
		return r.side.deal.Load() != before
	}
	much, little := uint32(crowd), uint32(1)
	after := func(submits ...uint32) int {
		for n := 1; n <= 2*maxUneven; n++ {
			if tick(submits...) {
				return n
			}
		}
		return 0
	}
	for _, want := range []int{minUneven + 1, 2*minUneven + 1, 4*minUneven + 1} {
		if n := after(much, 0, little); n != want {
			t.Errorf("one is empty: dealt out after %d ticks, not %d", n, want)
		}
	}
	if n := after(much, little, much); n != 0 {
		t.Errorf("none is empty: dealt out after %d ticks", n)
	}
	if n := after(0, much, much); n != minUneven+1 {
		t.Errorf("the first is empty: dealt out after %d ticks", n)
	}
	if n := after(0, little, little); n != 0 {
		t.Errorf("nobody has much to do: dealt out after %d ticks", n)
	}
	for range 10 {
		after(much, 0, 0)
	}
	if n := after(much, 0, 0); n != maxUneven+1 {
		t.Errorf("it was of no use: dealt out after %d ticks", n)
	}
}

// Who asks after that has the next lane, and keeps it; two who ask have two.
func TestWhoIsDealtALaneKeepsIt(t *testing.T) {
	r := unswept(t)
	r.widen(2)
	if len(r.sides()) != 2 {
		t.Skip("there is no memory for side lanes")
	}
	withProcs(t, 1) // one P: so who asks is always the same
	had := r.choose(kindNop, nil, None)
	for range 5 {
		if r.choose(kindNop, nil, None) != had {
			t.Fatal("it has another lane the next time")
		}
	}
	seen := map[*lane]bool{had: true}
	for range 2 {
		r.side.deal.Add(1)
		l := r.choose(kindNop, nil, None)
		if seen[l] {
			t.Error("dealt out anew it is the same lane")
		}
		if seen[l] = true; r.choose(kindNop, nil, None) != l {
			t.Error("it has another lane the next time")
		}
	}
}

// While nothing changes for hundreds of goroutines lanes are dealt out anew all the time, and nothing is lost.
func TestNothingIsLostWhileLanesAreDealtOut(t *testing.T) {
	r := openRing(t, nil)
	r.widen(2)
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for i := range 500 {
				if i%8 == 0 {
					r.side.deal.Add(1)
				}
				if _, err := r.Nop().Wait(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if s := r.Stats(); s.InFlight != 0 {
		t.Errorf("%+v", s)
	}
}

// Two Ps that have come to share a lane, of two, have one each again soon; without, they share it until the garbage is collected.
func BenchmarkWorthDealingAnew(b *testing.B) {
	for _, with := range []string{"with", "without"} {
		b.Run(with, func(b *testing.B) {
			if with == "without" {
				setFor(b, &minUneven, math.MaxInt)
				setFor(b, &maxUneven, math.MaxInt)
			}
			withProcs(b, 2)
			r := ringFor(b)
			r.widen(1)
			var all sync.WaitGroup
			for range 64 {
				all.Go(func() {
					for range 1000 {
						r.side.next.Store(0)
						r.Nop().Wait()
					}
				})
			}
			all.Wait()
			nops(b, r, 64, 1, waited)
		})
	}
}
