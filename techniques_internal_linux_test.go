package rio

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// Each technique that costs code has a benchmark here, with it and without it, in one run:
//
//	go test -run '^$' -bench Worth -count 5 .
//
// The CPU time counts as much as the time.

func cpuTime() int64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

// worth runs do, an operation each, in so many goroutines.
func worth(b *testing.B, r *Ring, goroutines int, do func(g int)) {
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	cpu := cpuTime()
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				do(g)
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(cpuTime()-cpu)/float64(b.N), "cpu-ns/op")
}

func ringFor(b *testing.B) *Ring {
	r, err := New(nil)
	if err != nil {
		b.Skip(err)
	}
	b.Cleanup(func() { r.Close() })
	return r
}

// fileOf is the name of a file of so many blocks of 4 KiB.
func fileOf(b *testing.B, blocks int) (name string) {
	b.Helper()
	name = filepath.Join(b.TempDir(), "data")
	if err := os.WriteFile(name, make([]byte, blocks*4096), 0o600); err != nil {
		b.Fatal(err)
	}
	return name
}

// One kernel ring is one lock, and those who wait for each other are one P's work: several rings are several Ps', whether few
// goroutines submit many operations each, or many one.
func BenchmarkWorthSideLanes(b *testing.B) {
	for _, c := range []struct{ goroutines, each int }{{2, 64}, {2, 1}, {64, 1}} {
		for _, with := range []string{"with", "without"} {
			b.Run(fmt.Sprintf("%s/%dx%d", with, c.goroutines, c.each), func(b *testing.B) {
				r := ringFor(b)
				if with == "without" {
					r.side.most = 0
				}
				started := make([][64]Completion[struct{}], c.goroutines)
				worth(b, r, c.goroutines, func(g int) {
					mine := started[g][:c.each]
					for i := range mine {
						mine[i] = r.Nop()
					}
					for _, c := range mine {
						c.Wait()
					}
				})
			})
		}
	}
}

// Waiters that wake each other stay on one thread, and submit together. Without that all are woken at once.
func BenchmarkWorthRelay(b *testing.B) {
	for _, op := range []string{"nop", "direct"} {
		for _, with := range []string{"with", "without"} {
			b.Run(with+"/"+op, func(b *testing.B) {
				r := ringFor(b)
				r.side.most = 0
				if with == "without" {
					r.relay.wide = math.MaxInt
				}
				if op == "nop" {
					worth(b, r, 64, func(int) { r.Nop().Wait() })
					return
				}
				f, blocks := deviceFile(b, r, 4096)
				var bufs [64][]byte
				for i := range bufs {
					bufs[i] = Aligned(4096, 0)
				}
				worth(b, r, 64, func(g int) {
					if n, err := r.ReadAt(f, bufs[g], rand.Int64N(blocks)*4096).Wait(); n != 4096 {
						b.Error(n, err)
					}
				})
			})
		}
	}
}

// deviceFile is a file of so large blocks that is read without the page cache.
func deviceFile(b *testing.B, r *Ring, block int) (f *File, blocks int64) {
	const size = 64 << 20
	name := filepath.Join(b.TempDir(), "data")
	if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
		b.Fatal(err)
	}
	f, err := r.OpenFile(name, os.O_RDWR|O_DIRECT, 0)
	if err != nil {
		b.Skip(err)
	}
	b.Cleanup(func() { f.Close() })
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	return f, size / int64(block)
}

// A device that has ended all that it had begins again with a few; without, it has thirty-two first.
func BenchmarkWorthFeeding(b *testing.B) {
	for _, with := range []string{"with", "without"} {
		b.Run(with, func(b *testing.B) {
			r := ringFor(b)
			if with == "without" {
				r.onFeed = func(int) int { return 2 * eager }
			}
			f, blocks := deviceFile(b, r, 4096)
			bufs, err := r.Buffers(64, 4096)
			if err != nil {
				b.Fatal(err)
			}
			worth(b, r, len(bufs), func(g int) {
				if n, err := r.ReadAt(f, bufs[g], rand.Int64N(blocks)*4096).Wait(); n != 4096 {
					b.Error(n, err)
				}
			})
		})
	}
}

// The kernel holds the pages of Buffers, which are of huge pages; those that Aligned makes it looks up each time.
func BenchmarkWorthBuffers(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10, 1 << 20} {
		for _, with := range []string{"with", "without"} {
			b.Run(fmt.Sprintf("%s/%dKiB", with, size>>10), func(b *testing.B) {
				r := ringFor(b)
				f, blocks := deviceFile(b, r, size)
				bufs := buffersFor(b, r, with, 16, size)
				worth(b, r, 16, func(g int) {
					if n, err := r.ReadAt(f, bufs[g], rand.Int64N(blocks)*int64(size)).Wait(); n != size {
						b.Error(n, err)
					}
				})
			})
		}
	}
}

// buffersFor are r's Buffers; without, memory that it doesn't know.
func buffersFor(b *testing.B, r *Ring, with string, n, size int) [][]byte {
	b.Helper()
	bufs, err := r.Buffers(n, size)
	if err != nil {
		b.Fatal(err)
	}
	if with == "without" {
		for i := range bufs {
			bufs[i] = Aligned(size, 0)
		}
	}
	return bufs
}

// What lies in Buffers is pinned already, which tells where the kernel only copies.
func BenchmarkWorthBuffersForCachedReads(b *testing.B) {
	const blocks = 4096
	name := fileOf(b, blocks)
	for _, with := range []string{"with", "without"} {
		b.Run(with, func(b *testing.B) {
			r := ringFor(b)
			f, err := r.OpenFile(name, os.O_RDONLY, 0)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			bufs := buffersFor(b, r, with, 64, 4096)
			var reads [64]Completion[int]
			for left := b.N; left > 0; left -= len(reads) {
				for i := range reads {
					reads[i] = r.ReadAt(f, bufs[i], rand.Int64N(blocks)*4096)
				}
				for _, c := range reads {
					if n, err := c.Wait(); n != 4096 {
						b.Fatal(n, err)
					}
				}
			}
		})
	}
}

// Who lets others run before it submits makes one enter of many.
func BenchmarkWorthYields(b *testing.B) {
	for _, with := range []string{"with", "without"} {
		b.Run(with, func(b *testing.B) {
			r := ringFor(b)
			if with == "without" {
				r.scheduler.shy.Store(1 << 30)
				r.side.most = 0
			}
			worth(b, r, 64, func(int) { r.Nop().Wait() })
		})
	}
}

// What lies in the page cache is read at once; a File's own read needs no result to be kept, either.
func BenchmarkWorthCachedReads(b *testing.B) {
	const blocks = 4096
	name := fileOf(b, blocks)
	for _, goroutines := range []int{1, 64} {
		for _, with := range []string{"file", "with", "without"} {
			b.Run(with+map[int]string{1: "/one", 64: "/64goroutines"}[goroutines], func(b *testing.B) {
				r := ringFor(b)
				f, err := r.OpenFile(name, os.O_RDONLY, 0)
				if err != nil {
					b.Fatal(err)
				}
				defer f.Close()
				if with == "without" {
					f.cold.Store(never)
				}
				var bufs [64][4096]byte
				worth(b, r, goroutines, func(g int) {
					p, at := bufs[g][:], rand.Int64N(blocks)*4096
					if with == "file" {
						if n, err := f.ReadAt(p, at); n != 4096 {
							b.Error(n, err)
						}
					} else if n, err := r.ReadAt(f, p, at).Wait(); n != 4096 {
						b.Error(n, err)
					}
				})
			})
		}
	}
}

// What lies in memory is read at once: one at a time, and a window of eight.
func BenchmarkWorthReadingMemory(b *testing.B) {
	const blocks = 4096
	for _, window := range []int{1, 8} {
		for _, with := range []string{"with", "without"} {
			b.Run(fmt.Sprintf("%d/%s", window, with), func(b *testing.B) {
				r := ringFor(b)
				f, _ := memoryFile(b, r, blocks*4096, os.O_RDONLY)
				f.memory = with == "with"
				var bufs [8][4096]byte
				var cs [8]Completion[int]
				for i := range window {
					cs[i] = r.ReadAt(f, bufs[i][:], 0)
				}
				next := 0
				b.ReportAllocs()
				worth(b, r, 1, func(int) {
					if n, err := cs[next].Wait(); n != 4096 {
						b.Error(n, err)
					}
					cs[next] = r.ReadAt(f, bufs[next][:], rand.Int64N(blocks)*4096)
					next = (next + 1) % window
				})
			})
		}
	}
}

// Who starts several cached reads at once has them go together, without a try each time: a window of eight.
func BenchmarkWorthKnowingBursts(b *testing.B) {
	const blocks, window = 4096, 8
	name := fileOf(b, blocks)
	for _, with := range []string{"with", "without"} {
		b.Run(with, func(b *testing.B) {
			r := ringFor(b)
			f, err := r.OpenFile(name, os.O_RDONLY, 0)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			var bufs [window][4096]byte
			var cs [window]Completion[int]
			read := func(i int) {
				if with == "without" {
					f.cold.Store(0)
				}
				cs[i] = r.ReadAt(f, bufs[i][:], rand.Int64N(blocks)*4096)
			}
			for i := range cs {
				read(i)
			}
			next := 0
			worth(b, r, 1, func(int) {
				if n, err := cs[next].Wait(); n != 4096 {
					b.Error(n, err)
				}
				read(next)
				next = (next + 1) % window
			})
		})
	}
}

// A Conn sends at once what can be, and waits on Go's poller: 64 pairs that throw a message to and fro, with that or by way of
// the ring.
func BenchmarkWorthInstantSends(b *testing.B) {
	for _, with := range []string{"with", "without"} {
		b.Run(with, func(b *testing.B) {
			r := ringFor(b)
			send := func(c *Conn, p []byte) { c.Write(p) }
			recv := func(c *Conn, p []byte) (int, error) { return c.Read(p) }
			if with == "without" {
				send = func(c *Conn, p []byte) { r.Send(c, p).Wait() }
				recv = func(c *Conn, p []byte) (int, error) { return r.Recv(c, p).Wait() }
			}
			var near, far [64]*Conn
			for i := range near {
				fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
				if err != nil {
					b.Fatal(err)
				}
				for end, c := range []**Conn{&near[i], &far[i]} {
					if *c, err = r.NewConn(os.NewFile(uintptr(fds[end]), "socket")); err != nil {
						b.Fatal(err)
					}
				}
				go func() {
					var p [128]byte
					for {
						n, err := recv(far[i], p[:])
						if n == 0 || err != nil {
							return
						}
						send(far[i], p[:n])
					}
				}()
			}
			defer func() {
				for i := range near {
					near[i].Close()
					far[i].Close()
				}
			}()
			var bufs [64][128]byte
			worth(b, r, 64, func(g int) {
				send(near[g], bufs[g][:])
				recv(near[g], bufs[g][:])
			})
		})
	}
}
