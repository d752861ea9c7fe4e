package rio

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// restsOf are those of the one P.
func restsOf(r *Ring) *rests {
	a := r.atOnce.get()
	defer r.atOnce.local.Put(a)
	return &a.rests
}

// Who goes from one operation that is done at once to the next lets others run when it is time to, and not before.
func TestWhatIsDoneAtOnceLetsOthersRun(t *testing.T) {
	if uring.Race {
		t.Skip("under the race detector sync.Pool loses what a P has")
	}
	firstLaneOnly(t)
	withProcs(t, 1)
	r := openRing(t, nil)
	f, _ := dataFile(t, r, 4096)
	SkipUnlessItTells(t, f.fd)
	if !r.linux {
		t.Skip("no io_uring")
	}
	a, b := socketsOf(t, r)
	until(t, "the sweeper sleeps", r.asleep.Load)
	r.procs.Store(2) // or Conns would use the ring
	defer r.procs.Store(1)
	p := make([]byte, 1)
	if _, err := a.Write(make([]byte, 50000)); err != nil {
		t.Fatal(err)
	}
	drained := make([]byte, 1<<16)
	for _, c := range []struct {
		name string
		do   func() error
	}{
		{"File.ReadAt", func() error { _, err := f.ReadAt(p, 0); return err }},
		{"Ring.ReadAt", func() error { _, err := r.ReadAt(f, p, 0).Wait(); return err }},
		{"Conn.Read", func() error { _, err := b.Read(p); return err }},
		{"Conn.Received", func() error {
			uring.SendNow(a.fd, p)
			for _, err := range b.Received(t.Context()) {
				return err
			}
			return nil
		}},
		{"Conn.Write", func() error {
			_, err := a.Write(p)
			uring.RecvNow(b.fd, drained)
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			good := 0
			for range 20 {
				rests := restsOf(r)
				now := int64(time.Since(r.born))
				rests.seen.Store(now)
				rests.next.Store(now + int64(time.Hour))
				var ran atomic.Bool
				var gone sync.WaitGroup
				gone.Go(func() { ran.Store(true) })
				for range 4 * often {
					if err := c.do(); err != nil {
						t.Fatal(err)
					}
				}
				early := ran.Load() // the runtime may have said so
				rests.seen.Store(int64(time.Since(r.born)))
				rests.next.Store(0)
				for range often {
					if err := c.do(); err != nil {
						t.Fatal(err)
					}
				}
				late, same := ran.Load(), rests == restsOf(r) // the garbage collector takes what a Pool has
				gone.Wait()
				if same && !early && late {
					good++
				}
			}
			if good < 10 { // the runtime may have had its own reasons for some
				t.Errorf("others have run %d times of 20", good)
			}
		})
	}
}

// Beside somebody who computes it is done less often, whoever meets him, until he is gone.
func TestRestsAreFewBesideWhoComputes(t *testing.T) {
	withProcs(t, 1)
	r := openRing(t, nil)
	b := new(rests)
	pause := func() time.Duration { return time.Duration(b.pause.Load()) }
	look := func() {
		b.next.Store(0)
		b.seen.Store(int64(time.Since(r.born)))
		b.look(r)
	}
	for i := 0; pause() != slice; i++ { // others that the test knows nothing of may run
		if look(); i == 1000 {
			t.Fatalf("a pause of %v when nobody wants to run", pause())
		}
	}
	compute := func() {
		for until := time.Now().Add(2 * slice); time.Now().Before(until); {
		}
	}
	for who, meet := range map[string]func(){
		"who rests": look,
		"another":   func() { b.out.Add(1); runtime.Gosched(); b.look(r); b.out.Add(-1) },
	} {
		for i := 0; ; i++ { // once in 61 times the runtime lets this one go on instead
			if i == 20 {
				t.Fatalf("%s: a pause of %v", who, pause())
			}
			b.pause.Store(int64(slice))
			b.seen.Store(int64(time.Since(r.born)))
			var gone sync.WaitGroup
			gone.Go(compute)
			meet()
			gone.Wait()
			if pause() == 8*slice {
				break
			}
		}
		if next := b.seen.Load() + int64(8*slice); b.next.Load() != next {
			t.Errorf("%s: the next is at %d, not at %d", who, b.next.Load(), next)
		}
	}
	b.next.Store(1 << 62)
	if b.look(r); b.next.Load() != 1<<62 {
		t.Error("a rest before its time")
	}
	for i := 0; pause() != slice; i++ {
		if look(); i == 1000 {
			t.Fatalf("a pause of %v when nobody wants to run any more", pause())
		}
	}
	b.seen.Store(0)
	b.next.Store(1)
	for int64(time.Since(r.born)) <= int64(slice) {
		runtime.Gosched()
	}
	if b.look(r); pause() != slice || b.next.Load() == 1 {
		t.Errorf("a pause of %v behind one in which nothing was to be done", pause())
	}
}

// Cached reads by two goroutines, and ten others of the same P that sleep for a millisecond at a time. The figure is how often a second
// these wake up.
func BenchmarkWorthResting(b *testing.B) {
	for _, with := range []string{"with", "without"} {
		b.Run(with, func(b *testing.B) {
			if with == "without" {
				old := restAfter
				restAfter = time.Hour
				defer func() { restAfter = old }()
			}
			withProcs(b, 1)
			r := ringFor(b)
			f, err := r.OpenFile(fileOf(b, 1), os.O_RDONLY, 0)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			var stop atomic.Bool
			var wakes atomic.Int64
			var sleepers, readers sync.WaitGroup
			for range 10 {
				sleepers.Go(func() {
					for !stop.Load() {
						time.Sleep(time.Millisecond)
						wakes.Add(1)
					}
				})
			}
			began := time.Now()
			for i := range 2 {
				readers.Go(func() {
					p := make([]byte, 4096)
					for n := i; n < b.N; n += 2 {
						if _, err := f.ReadAt(p, 0); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			readers.Wait()
			b.ReportMetric(float64(wakes.Load())/time.Since(began).Seconds(), "wakes/s")
			stop.Store(true)
			sleepers.Wait()
		})
	}
}
