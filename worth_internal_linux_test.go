package rio

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// setFor sets a variable until the benchmark ends.
func setFor[T any](b *testing.B, v *T, to T) {
	before := *v
	*v = to
	b.Cleanup(func() { *v = before })
}

// nops are rounds of so many NOPs in so many goroutines, each of which is taken with wait. A round is an operation.
func nops(b *testing.B, r *Ring, goroutines, each int, wait func(Completion[struct{}])) {
	started := make([][]Completion[struct{}], goroutines)
	for g := range started {
		started[g] = make([]Completion[struct{}], each)
	}
	worth(b, r, goroutines, func(g int) {
		for i := range started[g] {
			started[g][i] = r.Nop()
		}
		for _, c := range started[g] {
			wait(c)
		}
	})
}

func waited(c Completion[struct{}]) { c.Wait() }

// One goroutine has a device read for it, blocks of 4 KiB: a round of 64 (an operation is a round), and a window of 32. "sixteen" has no
// fewer than that go out, though the device has run dry; without, what is queued goes out when somebody waits.
func BenchmarkWorthBeingEager(b *testing.B) {
	for _, what := range []string{"64 at once", "window of 32"} {
		for _, with := range []string{"with", "sixteen", "without"} {
			b.Run(with+"/"+what, func(b *testing.B) {
				r := ringFor(b)
				r.side.most = 0
				f, blocks := deviceFile(b, r, 4096)
				switch f.cold.Store(never); with {
				case "sixteen":
					r.sq.mu.Lock()
					r.sq.direct += 1 << 40 // the device is never dry
					r.sq.mu.Unlock()
				case "without":
					f.direct = false
				}
				var bufs [64][]byte
				var cs [64]Completion[int]
				read := func(i int) {
					cs[i] = r.ReadAt(f, bufs[i], rand.Int64N(blocks)*4096)
				}
				wait := func(i int) {
					if n, err := cs[i].Wait(); n != 4096 {
						b.Error(n, err)
					}
				}
				for i := range bufs {
					bufs[i] = Aligned(4096, 0)
				}
				next := 0
				round := func(int) {
					for i := range cs {
						read(i)
					}
					for i := range cs {
						wait(i)
					}
				}
				if what == "window of 32" {
					for i := range 32 {
						read(i)
					}
					round = func(int) {
						wait(next)
						read(next)
						next = (next + 1) % 32
					}
				}
				worth(b, r, 1, round)
			})
		}
	}
}

// Who starts thousands of operations submits them by and by: rounds of 4096 NOPs.
func BenchmarkWorthPlenty(b *testing.B) {
	for _, with := range []string{"with", "without"} {
		b.Run(with, func(b *testing.B) {
			if with == "without" {
				setFor(b, &plentyLeft, math.MaxUint32)
			}
			r, err := New(&Config{Depth: 8 * plenty})
			if err != nil {
				b.Skip(err)
			}
			defer r.Close()
			nops(b, r, 1, 4*plenty, waited)
		})
	}
}

// Who waits for a large write stays in the kernel for as long as that takes: a goroutine that has one of 8 MiB in flight, or eight of
// 1 MiB, and eight goroutines.
func BenchmarkWorthStayingLong(b *testing.B) {
	for _, c := range []struct{ goroutines, each, size int }{{1, 1, 8 << 20}, {1, 8, 1 << 20}, {8, 1, 1 << 20}} {
		for _, with := range []string{"with", "without"} {
			b.Run(fmt.Sprintf("%s/%dx%d/%dMiB", with, c.goroutines, c.each, c.size>>20), func(b *testing.B) {
				r := ringFor(b)
				f, blocks := deviceFile(b, r, c.size)
				if with == "without" {
					longLeaders.Add(1 << 20)
					defer longLeaders.Add(-1 << 20)
				}
				all := c.goroutines * c.each
				cs, bufs, next := make([]Completion[int], all), make([][]byte, all), make([]int, c.goroutines)
				write := func(i int) { cs[i] = r.WriteAt(f, bufs[i], rand.Int64N(blocks)*int64(c.size)) }
				for i := range bufs {
					bufs[i] = Aligned(c.size, 0)
					write(i)
				}
				worth(b, r, c.goroutines, func(g int) {
					i := g*c.each + next[g]
					next[g] = (next[g] + 1) % c.each
					if n, err := cs[i].Wait(); n != c.size {
						b.Error(n, err)
					}
					write(i)
				})
				for _, c := range cs {
					c.Wait()
				}
			})
		}
	}
}

// With several Ps, a goroutine for each connection whose Reads wait on Go's poller, or in the ring.
func BenchmarkWorthReadingByPoller(b *testing.B) {
	canCoop(b)
	for _, connections := range []int{1, 64, 1000} {
		for _, with := range []string{"with", "without"} {
			b.Run(fmt.Sprintf("%s/%d", with, connections), func(b *testing.B) {
				withProcs(b, 2)
				r := ringFor(b)
				r.linux = with == "with" && r.linux
				answer(b, r, connections)
			})
		}
	}
}

// Waiters that compute for longer than it takes to wake one are woken all at once: 64 goroutines that wait for each other,
// and compute for 20 us in between.
func BenchmarkWorthWakingWidely(b *testing.B) {
	for _, with := range []string{"with", "without"} {
		b.Run(with, func(b *testing.B) {
			r := ringFor(b)
			r.side.most = 0
			if with == "without" {
				var one atomic.Int32
				one.Store(1)
				r.relay.procs = &one
			}
			worth(b, r, 64, func(int) {
				r.Nop().Wait()
				for began := time.Now(); time.Since(began) < 20*time.Microsecond; {
				}
			})
		})
	}
}

// A lane takes tickets by the handful, for all Ps share them: rounds of NOPs, on a lane for each P.
func BenchmarkWorthHandfuls(b *testing.B) {
	for _, c := range []struct{ goroutines, each int }{{1, 64}, {2, 64}, {64, 1}} {
		for _, with := range []string{"with", "without"} {
			b.Run(fmt.Sprintf("%s/%dx%d", with, c.goroutines, c.each), func(b *testing.B) {
				if with == "without" {
					setFor(b, &handful, 1)
				}
				r := ringFor(b)
				if c.goroutines > 1 {
					r.widen(1)
				}
				nops(b, r, c.goroutines, c.each, waited)
			})
		}
	}
}

// What ends plainly is told so at once; without, by way of arrive and finish. And Wait takes a plain result by one exchange; without
// that, it claims the operation first. One NOP, and rounds of 64.
func BenchmarkWorthPlainEnds(b *testing.B) {
	for _, each := range []int{1, 64} {
		for _, with := range []string{"with", "without", "without exchange"} {
			b.Run(fmt.Sprintf("%s/%d", with, each), func(b *testing.B) {
				wait := waited
				switch with {
				case "without":
					setFor(b, &kinds[kindNop].plain, false)
				case "without exchange":
					wait = func(c Completion[struct{}]) {
						if c.o.claim(c.gen) {
							c.o.lane.await(c.o, nil)
							take[struct{}](c.o, c.o.retire())
						}
					}
				}
				r := ringFor(b)
				r.side.most = 0
				nops(b, r, 1, each, wait)
			})
		}
	}
}

// What most operations say to the kernel is written down without a look at what only few say: an SQE.
func BenchmarkWorthUsualSQEs(b *testing.B) {
	r := ringFor(b)
	for _, with := range []string{"with", "without"} {
		b.Run(with, func(b *testing.B) {
			o := &op{lane: &r.lane, kind: kindRead, fd: 3, n: 4096}
			var s uring.SQE
			for b.Loop() {
				if with == "with" && o.isUsual() {
					o.fillUsual(&s, 0, o.data)
				} else {
					o.fillSQE(&s, o.data)
				}
			}
		})
	}
}

// Each P counts the reads that end at once for itself: two goroutines' cached reads.
func BenchmarkWorthStripes(b *testing.B) {
	const blocks = 256
	name := fileOf(b, blocks)
	for _, with := range []string{"with", "without"} {
		b.Run(with, func(b *testing.B) {
			r := ringFor(b)
			if with == "without" {
				r.atOnce.local.New = func() any { return new(results) }
			}
			var files [2]*File // each has a count, too
			for g := range files {
				f, err := r.OpenFile(name, os.O_RDONLY, 0)
				if err != nil {
					b.Fatal(err)
				}
				defer f.Close()
				files[g] = f
			}
			var bufs [2][4096]byte
			worth(b, r, 2, func(g int) {
				if n, err := r.ReadAt(files[g], bufs[g][:512], rand.Int64N(blocks)*4096).Wait(); n != 512 {
					b.Error(n, err)
				}
			})
		})
	}
}
