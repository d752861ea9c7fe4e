package rio

import (
	"context"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
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

// Who goes from one call to the next lets others run in time, whether it waits in the kernel or only submits.
func TestWhoWaitsLetsOthersRunInTime(t *testing.T) {
	firstLaneOnly(t)
	r := openRing(t, nil)
	s := &r.scheduler
	s.breaks.next.Store(0)
	for i := 0; s.breaks.next.Load() == 0; i++ {
		if _, err := r.Nop().Wait(); err != nil {
			t.Fatal(err)
		}
		if i == 1<<glance*100 {
			t.Fatal("who only submits never does")
		}
	}

	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pw.Close()
	defer pr.Close()
	f, err := r.NewFile(pr)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	for i := range 50 {
		c := r.ReadAt(f, b, 0)
		s.breaks.next.Store(0)
		done := make(chan error, 1)
		go func() {
			_, err := c.Wait()
			done <- err
		}()
		until(t, "somebody leads", func() bool { return r.leaders.Load() > 0 || r.parked.Load() > 0 })
		if _, err := pw.Write([]byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil || b[0] != byte(i) {
			t.Fatal(b, err)
		}
		if s.breaks.next.Load() == 0 {
			t.Fatal("who waits in the kernel does not")
		}
	}
}

// onALoop calls f with a loop and a connection to it, whose bytes come back.
func onALoop(t *testing.T, f func(on *loop, c net.Conn)) { handled(t, echoing{}, f) }

// handled calls f with a loop, and a connection to it that is h's.
func handled(t *testing.T, h Handler, f func(on *loop, c net.Conn)) {
	r := openRing(t, nil)
	l, err := r.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	opened, done := make(chan *loop, 1), make(chan error, 1)
	go func() {
		done <- l.Serve(ctx, &Server{Loops: 1, Open: func(s *Stream) Handler {
			opened <- s.loop
			return h
		}})
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f(<-opened, c)
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// pings sends one byte, which comes back.
func pings(t *testing.T, c net.Conn, b byte) {
	t.Helper()
	p := []byte{b}
	if _, err := c.Write(p); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(p); err != nil || p[0] != b {
		t.Fatal(p, err)
	}
}

// So does a loop that goes from one message to the next.
func TestLoopLetsOthersRunInTime(t *testing.T) {
	onALoop(t, func(on *loop, c net.Conn) {
		taken := 0
		for i := 0; taken < 20; i++ {
			on.breaks.next.Store(0)
			on.breaks.pause.Store(-1)
			if pings(t, c, byte(i)); on.breaks.pause.Load() > 0 {
				taken++
			} else if i == 1000 { // it has slept for long, more often than not
				t.Fatalf("%d times of %d", taken, i)
			}
		}
	})
}

// A loop that has slept for long answers first.
func TestLoopThatHasSleptTakesNoBreak(t *testing.T) {
	onALoop(t, func(on *loop, c net.Conn) {
		for i := range 50 { // it may not be asleep yet
			pings(t, c, byte(i))
			time.Sleep(loopIdle)
			on.breaks.pause.Store(-1)
			on.breaks.next.Store(0)
			time.Sleep(2 * loopIdle)
			if pings(t, c, byte(i)); on.breaks.pause.Load() < 0 && on.breaks.next.Load() > 0 {
				return
			}
		}
		t.Error("it has, each time")
	})
}

// echoing is a Handler that sends what comes.
type echoing struct{}

func (echoing) Data(s *Stream, p []byte) { s.Write(p) }
func (echoing) Closed(*Stream, error)    {}

// If that takes long it is done less often, until it takes no longer.
func TestWhoseBreaksTakeLongHasFewer(t *testing.T) {
	withProcs(t, 1)
	r := openRing(t, nil)
	l := &r.lane
	take := func() {
		l.scheduler.breaks.next.Store(0)
		l.takeBreak()
	}
	pause := func() time.Duration { return time.Duration(l.scheduler.breaks.pause.Load()) }
	for i := 0; pause() != slice; i++ { // others that the test knows nothing of may run
		if take(); i == 1000 {
			t.Fatalf("a pause of %v when nobody wants to run", pause())
		}
	}
	before := slice
	for _, want := range []time.Duration{8 * slice, 64 * slice, 512 * slice, maxSlice, maxSlice} {
		for i := 0; ; i++ { // once in 61 times the runtime lets this one go on instead
			if i == 20 {
				t.Fatalf("a pause of %v after %v, not %v", pause(), before, want)
			}
			l.scheduler.breaks.pause.Store(int64(before))
			ran := make(chan struct{})
			go func() {
				for until := time.Now().Add(2 * patient); time.Now().Before(until); {
				}
				close(ran)
			}()
			take()
			<-ran
			if pause() == want {
				break
			}
		}
		before = want
	}
	at := l.scheduler.breaks.next.Load()
	if l.takeBreak(); l.scheduler.breaks.next.Load() != at {
		t.Error("there is a break before its time")
	}
	for i := 0; pause() != slice; i++ {
		if take(); i == 1000 {
			t.Fatalf("a pause of %v when nobody wants to run any more", pause())
		}
	}
}

// One who computes is met by one of all who wait, once.
func TestOneTakesTheBreakOfAll(t *testing.T) {
	withProcs(t, 1)
	r := openRing(t, nil)
	b := &r.scheduler.breaks
	pause := func() time.Duration { return time.Duration(b.pause.Load()) }
	for i := 0; ; i++ { // once in 61 times the runtime lets this one go on instead
		b.pause.Store(int64(slice))
		b.next.Store(0)
		var all sync.WaitGroup
		for range 6 {
			all.Go(r.takeBreak)
		}
		all.Go(func() {
			for until := time.Now().Add(2 * patient); time.Now().Before(until); {
			}
		})
		r.takeBreak()
		all.Wait()
		if pause() == 8*slice {
			return
		}
		if pause() > 8*slice || i == 50 {
			t.Fatalf("a pause of %v, not %v", pause(), 8*slice)
		}
	}
}

// The runtime takes the P of who makes system calls for 10 ms away in each of them, unless it lets others run.
func BenchmarkWorthBreaks(b *testing.B) {
	const blocks = 4096
	name := fileOf(b, blocks)
	for _, what := range []struct {
		name   string
		direct int
	}{{"cached", 0}, {"direct", O_DIRECT}} {
		for _, with := range []string{"with", "without"} {
			b.Run(with+"/"+what.name, func(b *testing.B) {
				r := ringFor(b)
				f, err := r.OpenFile(name, os.O_RDONLY|what.direct, 0)
				if err != nil {
					b.Skip(err)
				}
				defer f.Close()
				if with == "without" {
					r.scheduler.breaks.next.Store(math.MaxInt64)
				}
				var started [64]Completion[int]
				var bufs [64][]byte
				for i := range bufs {
					bufs[i] = Aligned(4096, 4096)
				}
				worth(b, r, 1, func(int) {
					for i := range started {
						started[i] = r.ReadAt(f, bufs[i], rand.Int64N(blocks)*4096)
					}
					for _, c := range started {
						if n, err := c.Wait(); n != 4096 {
							b.Error(n, err)
						}
					}
				})
			})
		}
	}
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
