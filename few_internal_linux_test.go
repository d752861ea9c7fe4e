package rio

import (
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// setHandOver is what sleeping and being woken is said to cost.
func setHandOver(tb testing.TB, d time.Duration) {
	tb.Helper()
	old := handOver
	handOver = d
	tb.Cleanup(func() { handOver = old })
}

// Two goroutines of one P share their enters if that costs less than each saves, and have one each if it costs more; but not
// while something is in flight that doesn't end in the enter: who waits for that sleeps anyway.
func TestFewShareTheirEntersIfThatPays(t *testing.T) {
	notUnderRace(t)
	firstLaneOnly(t)
	withProcs(t, 1)
	const each = 20000
	for _, c := range []struct {
		says     string
		handOver time.Duration
		waiting  bool
		shares   bool
	}{
		{"waking is for nothing", 0, false, true},
		{"waking takes an hour", time.Hour, false, false},
		{"waking takes an hour, something is in flight", time.Hour, true, true},
	} {
		t.Run(c.says, func(t *testing.T) {
			setHandOver(t, c.handOver)
			r := openRing(t, nil)
			if c.waiting {
				from, to, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				defer from.Close()
				read := r.ReadAt(from, make([]byte, 1), 0)
				defer read.Wait()
				defer to.Close()
			}
			before := r.Stats()
			var all sync.WaitGroup
			for range 2 {
				all.Go(func() {
					for range each {
						if _, err := r.Nop().Wait(); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			after := r.Stats()
			if ops := after.Completed - before.Completed; ops != 2*each {
				t.Errorf("%d NOPs of %d have ended", ops, 2*each)
			}
			// They find each other by chance, and one may be let run on its own by the machine: so it is not exactly half.
			enters := after.Enters - before.Enters
			if shares := enters < 2*each*3/4; shares != c.shares {
				t.Errorf("%d enters for %d operations", enters, 2*each)
			}
		})
	}
}

// Of two goroutines of one P that have their own enters each comes to its turn after some of the other's, not when the runtime or a break
// says so, which is after thousands.
func TestFewLetEachOtherRun(t *testing.T) {
	notUnderRace(t)
	firstLaneOnly(t)
	withProcs(t, 1)
	setHandOver(t, time.Hour)
	r := openRing(t, nil)
	var done [2]atomic.Int64
	var longest atomic.Int64
	var all sync.WaitGroup
	for me := range done {
		all.Go(func() {
			run, others := int64(0), int64(-1)
			for i := range 100000 {
				if _, err := r.Nop().Wait(); err != nil {
					t.Error(err)
					return
				}
				done[me].Add(1)
				if n := done[1-me].Load(); n != others {
					run, others = 0, n
				}
				if r.scheduler.shy.Load() > 0 {
					run = 0 // other processes have the processor
				}
				if run++; i > 50000 && others < 90000 && run > longest.Load() { // they have met, and the other is there still
					longest.Store(run)
				}
			}
		})
	}
	all.Wait()
	if n := longest.Load(); n < 2 || n > 5000 {
		t.Errorf("%d operations without the other", n)
	}
}

// But not where somebody computes, who would have the P for 10 ms each time.
func TestFewAreShyOfWhoComputes(t *testing.T) {
	notUnderRace(t)
	firstLaneOnly(t)
	unswept(t)
	withProcs(t, 1)
	r := openRing(t, nil)
	var over atomic.Bool
	var gone sync.WaitGroup
	gone.Go(func() {
		for !over.Load() {
		}
	})
	defer gone.Wait()
	defer over.Store(true)
	nops := 0
	until := func(what string, reached func(shy int32) bool) {
		for tries := 0; !reached(r.scheduler.shy.Load()); tries++ {
			if tries == 10000 {
				t.Fatalf("not %s: %d NOPs", what, nops)
			}
			r.scheduler.few.Store(true)
			if _, err := r.Nop().Wait(); err != nil {
				t.Fatal(err)
			}
			nops++
		}
	}
	until("shy", func(shy int32) bool { return shy > 0 })
	first := r.scheduler.shy.Load()
	until("less so with each turn that it doesn't take", func(shy int32) bool { return shy < first-5 })
}

// Few goroutines whose operations end in their enter have one each, where sleeping and being woken costs more than that saves;
// without, they wait for each other. One P, and two.
func BenchmarkWorthEnteringForOneself(b *testing.B) {
	for _, c := range []struct {
		says            string
		procs, together int
	}{{"2of1P", 1, 2}, {"3of1P", 1, 3}, {"4of2Ps", 2, 4}, {"64of2Ps", 2, 64}} {
		for _, with := range []string{"with", "without"} {
			b.Run(with+"/"+c.says, func(b *testing.B) {
				if with == "without" {
					setHandOver(b, 0)
				}
				withProcs(b, c.procs)
				nops(b, ringFor(b), c.together, 1, waited)
			})
		}
	}
}
