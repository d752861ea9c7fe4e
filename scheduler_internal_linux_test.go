package rio

import (
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// Whatever the steps operations come in, some are looked at, and not many more than wanted.
func TestOneInSoMany(t *testing.T) {
	for step := uint32(1); step <= 1024; step++ {
		for _, bits := range []int{sample, probe} {
			seen, first := 0, rand.Uint32()
			const rounds = 64
			for i := range uint32(rounds) << bits {
				if oneIn(bits, first+i*step) {
					seen++
				}
			}
			if seen < rounds/4 || seen > rounds*4 {
				t.Errorf("%d of %d are looked at in steps of %d, not one in %d", seen, rounds<<bits, step, 1<<bits)
			}
		}
	}
}

// Who has let others run and got its P back late, more often than not, doesn't let them for a while: for longer each time that
// it was so again, and no longer when it is not.
func TestSchedulerLearnsToBeShy(t *testing.T) {
	var s scheduler
	check := func(when string, shy, fear int32) {
		t.Helper()
		if s.shy.Load() != shy || s.fear.Load() != fear {
			t.Errorf("%s: shy %d, fear %d; not %d, %d", when, s.shy.Load(), s.fear.Load(), shy, fear)
		}
	}
	for range 10 { // as other processes do it
		s.slowly()
		s.soon()
		s.soon()
	}
	check("one in three", 0, 0)
	for i := 0; s.shy.Load() == 0 && i < 100; i++ {
		s.slowly()
		s.soon()
	}
	check("every other", minFear, minFear-minFear/8)
	s = scheduler{}
	s.slowly()
	s.slowly()
	check("twice", 0, 0)
	s.slowly()
	check("three times", minFear, minFear)
	s.shy.Store(0)
	s.slowly()
	check("once more", 2*minFear, 2*minFear)
	for range 20 {
		s.slowly()
	}
	check("always", maxFear, maxFear)
	s.shy.Store(0)
	s.soon()
	check("not any more", 0, maxFear-maxFear/8)
	for range 50 {
		s.soon()
	}
	check("for long not any more", 0, 0)
}

// Who is shy lets nobody run but those that a relay has woken, who run for a moment only.
func TestWhoIsShyStandsInLineOnly(t *testing.T) {
	firstLaneOnly(t)
	notUnderRace(t)
	withProcs(t, 1)
	r := openRing(t, nil)
	s := &r.scheduler
	var ran atomic.Bool
	let := func() bool { // once it may have run because the runtime has preempted this one
		for range 10 {
			ran.Store(false)
			go ran.Store(true)
			s.shy.Store(1)
			stood, has := s.yield(&r.lane, nil, 0), ran.Load()
			until(t, "it runs", func() bool { s.yield(&r.lane, nil, 0); return ran.Load() }) // nobody is shy any more
			if !stood && !has {
				return false
			}
		}
		return true
	}
	if let() {
		t.Error("who is shy has let others run")
	}

	s.shy.Store(7)
	first := make(chan struct{}, 1)
	o := &op{lane: &r.lane}
	r.wakeable(o)
	r.relay.wake(first)
	go func() {
		<-first
		ran.Store(false)
		r.passOn()
	}()
	if !s.yield(&r.lane, o, last) || ran.Load() || s.shy.Load() != 7 {
		t.Errorf("who is shy has not stood in line: it ran %v, shy %d", !ran.Load(), s.shy.Load())
	}
	r.passOn()
}

// Sixteen goroutines read beside as many that compute as there are Ps. Who lets others run may let one run that computes, until
// the runtime preempts that.
func BenchmarkWorthBeingShy(b *testing.B) {
	const blocks = 4096
	name := fileOf(b, blocks)
	for _, with := range []string{"with", "without"} {
		b.Run(with, func(b *testing.B) {
			r := ringFor(b)
			f, err := r.OpenFile(name, os.O_RDONLY|O_DIRECT, 0)
			if err != nil {
				b.Skip(err)
			}
			defer f.Close()
			var stop atomic.Bool
			var computing sync.WaitGroup
			for range runtime.GOMAXPROCS(0) {
				computing.Go(func() {
					for !stop.Load() {
					}
				})
			}
			bufs := make([][]byte, 16)
			for i := range bufs {
				bufs[i] = Aligned(4096, 4096)
			}
			worth(b, r, len(bufs), func(g int) {
				if with == "without" {
					r.scheduler.slow.Store(0)
					r.scheduler.fear.Store(0)
					r.scheduler.shy.Store(0)
				}
				if n, err := r.ReadAt(f, bufs[g], rand.Int64N(blocks)*4096).Wait(); n != 4096 {
					b.Error(n, err)
				}
			})
			b.StopTimer()
			stop.Store(true)
			computing.Wait()
		})
	}
}
