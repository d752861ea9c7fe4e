//go:build linux

package rio_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/seed-9c58b644/rio"
	"github.com/seed-9c58b644/rio/internal/cbar"
)

// The benchmarks have their bar in the same function: via=c is a loop in C over the raw system calls, via=pread is
// os.File.ReadAt, via=net is package net, via=rio is this library. On a machine that others use too, compare the two
// with
//
//	go run ./internal/cbar/compare
//
// which alternates them; the rows here run one after the other.

// BenchmarkNop measures what the way into the kernel and back costs when the kernel has nothing to do.
func BenchmarkNop(b *testing.B) {
	c, noC := cbar.Build(b.TempDir())
	for _, form := range []string{"one", "64"} {
		b.Run("form="+form+"/via=c", func(b *testing.B) {
			if errors.Is(noC, exec.ErrNotFound) {
				b.Skip(noC)
			}
			if noC != nil {
				b.Fatal(noC)
			}
			f, err := c.Run(form, b.N)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(f.Wall, "ns/op")
			b.ReportMetric(f.CPU, "cpu-ns/op")
			b.ReportMetric(f.Enters, "enters/op")
			b.ReportMetric(0, "B/op") // those of starting the process are not the loop's
			b.ReportMetric(0, "allocs/op")
		})
		b.Run("form="+form+"/via=rio", func(b *testing.B) {
			if form == "one" {
				benchNopOne(b)
			} else {
				benchNop64(b)
			}
		})
	}
}

func benchNopOne(b *testing.B) {
	ring := benchRing(b)
	m := startMeter(b, ring)
	for b.Loop() {
		if _, err := ring.Nop().Wait(); err != nil {
			b.Fatal(err)
		}
	}
	m.report()
}

// benchNop64 starts 64 and then waits for them; an op is one NOP.
func benchNop64(b *testing.B) {
	ring := benchRing(b)
	var started [64]rio.Completion[struct{}]
	m := startMeter(b, ring)
	for left := b.N; left > 0; left -= len(started) {
		batch := started[:min(left, len(started))]
		for i := range batch {
			batch[i] = ring.Nop()
		}
		for _, c := range batch {
			if _, err := c.Wait(); err != nil {
				b.Fatal(err)
			}
		}
	}
	m.report()
}

// BenchmarkRead4K measures reads of 4 KiB at random places of a file of 256 MiB: from the page cache and, with
// O_DIRECT, from the disk. form=64inflight is one goroutine that starts 64 and then waits for them; os.File can't do
// that, so its row reads one after the other. form=64goroutines is 64 of them, each with one read at a time. Where the
// file is made is up to $RIO_BENCH_DIR.
func BenchmarkRead4K(b *testing.B) {
	name, err := cbar.NewData()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.Remove(name) })
	for _, cache := range []string{"page", "direct"} {
		for _, form := range []string{"one", "64inflight", "64goroutines"} {
			for _, via := range []string{"pread", "rio"} {
				b.Run(fmt.Sprintf("cache=%s/form=%s/via=%s", cache, form, via), func(b *testing.B) {
					f := openBenchFile(b, name, cache, via)
					switch {
					case form == "64goroutines":
						benchReadGoroutines(b, f)
					case form == "64inflight" && via == "rio":
						benchReadInFlight(b, f)
					default:
						benchReadOne(b, f)
					}
				})
			}
		}
	}
}

// A benchFile is the data file, opened by the standard library (ring is nil then) or by a ring.
type benchFile struct {
	ring *rio.Ring
	os   *os.File
	rio  *rio.File
}

func openBenchFile(b *testing.B, name, cache, via string) benchFile {
	flag := os.O_RDONLY
	switch cache {
	case "page":
		if err := cbar.Cache(name); err != nil {
			b.Fatal(err)
		}
	case "direct":
		if cbar.InMemory(name) {
			b.Skip("there is no disk below ", name, "; set RIO_BENCH_DIR")
		}
		flag |= rio.O_DIRECT
	}
	var f benchFile
	var err error
	if via == "rio" {
		f.ring = benchRing(b)
		if f.rio, err = f.ring.OpenFile(name, flag, 0); err == nil {
			b.Cleanup(func() { f.rio.Close() })
		}
	} else {
		if f.os, err = os.OpenFile(name, flag, 0); err == nil {
			b.Cleanup(func() { f.os.Close() })
		}
	}
	if cache == "direct" && errors.Is(err, syscall.EINVAL) {
		b.Skip("no O_DIRECT: ", err)
	}
	if err != nil {
		b.Fatal(err)
	}
	return f
}

func (f benchFile) readAt(p []byte, off int64) (int, error) {
	if f.ring != nil {
		return f.ring.ReadAt(f.rio, p, off).Wait()
	}
	return f.os.ReadAt(p, off)
}

func randomBlock(r *rand.Rand) int64 { return r.Int64N(cbar.Blocks) * cbar.Block }

func benchReadOne(b *testing.B, f benchFile) {
	buf := rio.Aligned(cbar.Block, 0)
	r := rand.New(rand.NewPCG(1, 1))
	m := startMeter(b, f.ring)
	for b.Loop() {
		if n, err := f.readAt(buf, randomBlock(r)); n != cbar.Block {
			b.Fatal(n, err)
		}
	}
	m.report()
	m.reportIOPS()
}

func benchReadInFlight(b *testing.B, f benchFile) {
	var started [64]rio.Completion[int]
	var bufs [len(started)][]byte
	for i := range bufs {
		bufs[i] = rio.Aligned(cbar.Block, 0)
	}
	r := rand.New(rand.NewPCG(1, 1))
	m := startMeter(b, f.ring)
	for left := b.N; left > 0; left -= len(started) {
		batch := started[:min(left, len(started))]
		for i := range batch {
			batch[i] = f.ring.ReadAt(f.rio, bufs[i], randomBlock(r))
		}
		for _, c := range batch {
			if n, err := c.Wait(); n != cbar.Block {
				b.Fatal(n, err)
			}
		}
	}
	m.report()
	m.reportIOPS()
}

func benchReadGoroutines(b *testing.B, f benchFile) {
	var left atomic.Int64
	left.Store(int64(b.N))
	var readers sync.WaitGroup
	start := make(chan struct{})
	for g := range 64 {
		readers.Go(func() {
			buf := rio.Aligned(cbar.Block, 0)
			r := rand.New(rand.NewPCG(1, uint64(g)))
			<-start
			for left.Add(-1) >= 0 {
				if n, err := f.readAt(buf, randomBlock(r)); n != cbar.Block {
					b.Error(n, err)
					return
				}
			}
		})
	}
	m := startMeter(b, f.ring)
	close(start)
	readers.Wait()
	m.report()
	m.reportIOPS()
}

// BenchmarkParked measures what nothing can complete at once: a byte to a goroutine at the other end of a socket pair,
// and back. via=rio waits for a Send and a Recv of the ring, via=conn uses the Write and Read of its Conn.
func BenchmarkParked(b *testing.B) {
	for _, via := range []string{"net", "rio", "conn"} {
		b.Run("via="+via, func(b *testing.B) {
			near, far := socketPair(b)
			var ring *rio.Ring
			var ends [2]net.Conn
			for i, f := range []*os.File{near, far} {
				var err error
				if via == "net" {
					ends[i], err = net.FileConn(f)
					f.Close()
				} else {
					if ring == nil {
						ring = benchRing(b)
					}
					ends[i], err = ring.NewConn(f)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			send, recv := net.Conn.Write, net.Conn.Read
			if via == "rio" {
				send = func(c net.Conn, p []byte) (int, error) { return ring.Send(c, p).Wait() }
				recv = func(c net.Conn, p []byte) (int, error) { return ring.Recv(c, p).Wait() }
			}
			var echo sync.WaitGroup
			echo.Go(func() {
				defer ends[1].Close()
				p := make([]byte, 1)
				for {
					if n, err := recv(ends[1], p); n == 0 || err != nil {
						return // the near end is closed
					}
					if _, err := send(ends[1], p); err != nil {
						b.Error(err)
						return
					}
				}
			})
			p := make([]byte, 1)
			m := startMeter(b, ring)
			for b.Loop() {
				if _, err := send(ends[0], p); err != nil {
					b.Fatal(err)
				}
				if n, err := recv(ends[0], p); n != 1 || err != nil {
					b.Fatal(n, err)
				}
			}
			m.report()
			ends[0].Close()
			echo.Wait()
		})
	}
}

func socketPair(b *testing.B) (near, far *os.File) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		b.Fatal(os.NewSyscallError("socketpair", err))
	}
	return os.NewFile(uintptr(fds[0]), "near"), os.NewFile(uintptr(fds[1]), "far")
}

// benchRing opens a ring with the default configuration, for as long as the benchmark runs.
func benchRing(b *testing.B) *rio.Ring {
	b.Helper()
	ring, err := rio.New(nil)
	if err != nil {
		forbidden := errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSYS)
		if forbidden && os.Getenv("RIO_TEST_REQUIRE") == "" {
			b.Skip(err)
		}
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := ring.Close(); err != nil {
			b.Error(err)
		}
	})
	return ring
}

// A meter measures what package testing doesn't: the CPU time of all threads, and the calls of io_uring_enter.
type meter struct {
	b      *testing.B
	ring   *rio.Ring // nil where there is none
	cpu    float64
	enters uint64
}

func startMeter(b *testing.B, ring *rio.Ring) meter {
	m := meter{b: b, ring: ring}
	b.ReportAllocs()
	if ring != nil {
		m.enters = ring.Stats().Enters
	}
	m.cpu = cbar.CPU()
	b.ResetTimer()
	return m
}

func (m meter) report() {
	cpu := cbar.CPU() - m.cpu
	m.b.StopTimer()
	n := float64(m.b.N)
	m.b.ReportMetric(cpu/n, "cpu-ns/op")
	if m.ring != nil {
		m.b.ReportMetric(float64(m.ring.Stats().Enters-m.enters)/n, "enters/op")
	}
}

func (m meter) reportIOPS() {
	m.b.ReportMetric(float64(m.b.N)/m.b.Elapsed().Seconds(), "IOPS")
}
