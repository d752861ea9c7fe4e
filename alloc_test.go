package rio_test

import (
	"bytes"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/seed-9c58b644/rio"
)

func skipUnderRace(t *testing.T) {
	t.Helper()
	if underRace {
		t.Skip("the race detector allocates")
	}
}

// meteredPair returns the two ends of a connection over loopback, both the ring's.
func meteredPair(t *testing.T, ring *rio.Ring) (a, b *rio.Conn) {
	t.Helper()
	l, err := ring.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepting := ring.Accept(l)
	if a, err = ring.Dial(t.Context(), "tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	if b, err = accepting.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return a, b
}

func meteredFile(t *testing.T, ring *rio.Ring, content []byte) *rio.File {
	t.Helper()
	f, err := ring.OpenFile(filepath.Join(t.TempDir(), "f"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	return f
}

// In the steady state an operation on the ring's own handles allocates nothing.
func TestOperationsDoNotAllocate(t *testing.T) {
	skipUnderRace(t)
	ring := newRing(t, nil)
	content := bytes.Repeat([]byte("0123456789abcdef"), 1024)
	f := meteredFile(t, ring, content)
	a, b := meteredPair(t, ring)
	buf, out := make([]byte, 4096), bytes.Repeat([]byte("x"), 64)
	bufs := [][]byte{buf[:1000], buf[1000:2000], buf[2000:3000], buf[3000:]}
	var ints [64]rio.Completion[int]
	var nops [64]rio.Completion[struct{}]
	number := func(want int) func(n int, err error) {
		return func(n int, err error) {
			if n != want || err != nil {
				t.Fatalf("%d, %v; want %d", n, err, want)
			}
		}
	}
	page, message := number(4096), number(64)
	success := func(_ struct{}, err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		ops  int
		run  func()
	}{
		{"Nop", 1, func() { success(ring.Nop().Wait()) }},
		{"ReadAt", 1, func() { page(ring.ReadAt(f, buf, 4096).Wait()) }},
		{"WriteAt", 1, func() { page(ring.WriteAt(f, content[:4096], 0).Wait()) }},
		{"ReadvAt", 1, func() { page(ring.ReadvAt(f, bufs, 0).Wait()) }},
		{"WritevAt", 1, func() { page(ring.WritevAt(f, bufs, 8192).Wait()) }},
		{"Fsync", 1, func() { success(ring.Fsync(f).Wait()) }},
		{"Fdatasync", 1, func() { success(ring.Fdatasync(f).Wait()) }},
		{"Fallocate", 1, func() { success(ring.Fallocate(f, 0, 0, 4096).Wait()) }},
		{"Send and Recv", 2, func() {
			message(ring.Send(a, out).Wait())
			message(ring.Recv(b, buf).Wait())
		}},
		{"Recv before Send", 2, func() {
			recv := ring.Recv(b, buf)
			message(ring.Send(a, out).Wait())
			message(recv.Wait())
		}},
		{"Conn.Write and Conn.Read", 0, func() { // that needs no ring, mostly
			message(a.Write(out))
			message(b.Read(buf))
		}},
		{"File.ReadAt", 1, func() { page(f.ReadAt(buf, 4096)) }},
		{"File.WriteAt", 1, func() { page(f.WriteAt(content[:4096], 0)) }},
		{"SubmitAll", 8, func() {
			for i := range 8 {
				nops[i] = ring.Nop()
			}
			if err := ring.SubmitAll(); err != nil {
				t.Fatal(err)
			}
			for i := range 8 {
				success(nops[i].Wait())
			}
		}},
		{"64 NOPs at once", 64, func() {
			for i := range nops {
				nops[i] = ring.Nop()
			}
			for _, c := range nops {
				success(c.Wait())
			}
		}},
		{"64 reads at once", 64, func() {
			for i := range ints {
				ints[i] = ring.ReadAt(f, buf[i*64:i*64+64], int64(i))
			}
			for _, c := range ints {
				message(c.Wait())
			}
		}},
		{"TryWait", 1, func() {
			c := ring.ReadAt(f, buf, 0)
			for {
				if n, ok, err := c.TryWait(); ok {
					page(n, err)
					return
				}
			}
		}},
		{"WaitContext", 1, func() { page(ring.ReadAt(f, buf, 0).WaitContext(t.Context())) }},
		{"a used-up Completion", 1, func() {
			c := ring.Nop()
			success(c.Wait())
			if _, err := c.Wait(); err != rio.ErrWaited {
				t.Fatal(err)
			}
		}},
	} {
		runs := 200
		if strings.Contains(c.name, "sync") {
			runs = 20
		}
		for range 20 {
			c.run()
		}
		allocs, most := math.Inf(1), 2+float64(runs)/50
		for range 3 { // the runtime allocates a little by itself, and not each time
			before := ring.Stats()
			// All runs at once: an average over them would be rounded down.
			allocs = min(allocs, testing.AllocsPerRun(1, func() {
				for range runs {
					c.run()
				}
			}))
			after := ring.Stats()
			if got := after.Started - before.Started; got < uint64(2*runs*c.ops) {
				t.Errorf("%s: %d operations in %d runs", c.name, got, 2*runs)
			}
			if allocs <= most {
				t.Logf("%-26s %v allocs in %d runs, %.3f enters an operation", c.name, allocs, runs,
					float64(after.Enters-before.Enters)/float64(2*runs*max(c.ops, 1)))
				break
			}
		}
		if allocs > most {
			t.Errorf("%s: %v allocations in %d runs", c.name, allocs, runs)
		}
	}
}

// Nor does one that has to park: here neither end can complete at once.
func TestParkedOperationsDoNotAllocate(t *testing.T) {
	skipUnderRace(t)
	const warmUp, rounds = 200, 500
	for _, c := range []struct {
		name       string
		send, recv func(*rio.Ring, *rio.Conn, []byte) (int, error)
	}{
		{"Send and Recv",
			func(r *rio.Ring, c *rio.Conn, p []byte) (int, error) { return r.Send(c, p).Wait() },
			func(r *rio.Ring, c *rio.Conn, p []byte) (int, error) { return r.Recv(c, p).Wait() }},
		{"Conn.Write and Conn.Read",
			func(_ *rio.Ring, c *rio.Conn, p []byte) (int, error) { return c.Write(p) },
			func(_ *rio.Ring, c *rio.Conn, p []byte) (int, error) { return c.Read(p) }},
		{"ReadAt and WriteAt of the connection",
			func(r *rio.Ring, c *rio.Conn, p []byte) (int, error) { return r.WriteAt(c, p, 0).Wait() },
			func(r *rio.Ring, c *rio.Conn, p []byte) (int, error) { return r.ReadAt(c, p, 0).Wait() }},
	} {
		for _, pairs := range []int{1, 4} {
			t.Run(c.name+"/pairs="+strconv.Itoa(pairs), func(t *testing.T) {
				ring := newRing(t, nil)
				var warm, run, all sync.WaitGroup
				begin, end := make(chan struct{}), make(chan struct{})
				warm.Add(pairs)
				run.Add(pairs)
				for range pairs {
					a, b := meteredPair(t, ring)
					p, q := make([]byte, 1), make([]byte, 1)
					all.Go(func() {
						for range warmUp + rounds {
							if n, err := c.recv(ring, b, q); n != 1 || err != nil {
								t.Error("the echo reads", n, err)
								a.Close()
								return
							}
							if n, err := c.send(ring, b, q); n != 1 || err != nil {
								t.Error("the echo writes", n, err)
								a.Close()
								return
							}
						}
					})
					all.Go(func() {
						pingPong := func(n int) {
							for i := range n {
								p[0] = byte(i)
								if n, err := c.send(ring, a, p); n != 1 || err != nil {
									t.Error("send", n, err)
									b.Close()
									return
								}
								p[0] = 0
								if n, err := c.recv(ring, a, p); n != 1 || err != nil || p[0] != byte(i) {
									t.Error("recv", n, err, p[0])
									b.Close()
									return
								}
							}
						}
						pingPong(warmUp)
						warm.Done()
						<-begin
						pingPong(rounds)
						run.Done()
						<-end // what goroutines allocate when they end is not counted
					})
				}
				var before, after runtime.MemStats
				warm.Wait()
				stats := ring.Stats()
				runtime.ReadMemStats(&before)
				close(begin)
				run.Wait()
				runtime.ReadMemStats(&after)
				enters := ring.Stats().Enters - stats.Enters
				close(end)
				all.Wait()
				ops := float64(4 * rounds * pairs)
				allocs := float64(after.Mallocs-before.Mallocs) / ops
				t.Logf("%.4f allocs, %.3f enters an operation", allocs, float64(enters)/ops)
				// The runtime allocates a little by itself: sudogs, timers, in one run of some thirty 140 things more. One for each
				// message would be 0.25.
				if allocs > 0.02+200/ops {
					t.Errorf("%.4f allocations an operation", allocs)
				}
				if float64(enters) > 10*ops {
					t.Errorf("%.1f enters an operation: somebody spins", float64(enters)/ops)
				}
			})
		}
	}
}

func TestReaderParkedOnAPipeDoesNotAllocate(t *testing.T) {
	skipUnderRace(t)
	ring := newRing(t, nil)
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pw.Close()
	f, err := ring.NewFile(pr)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := make(chan byte)
	go func() {
		defer close(got)
		p := make([]byte, 1)
		for {
			n, err := ring.ReadAt(f, p, 0).Wait()
			if n == 0 || err != nil {
				return
			}
			got <- p[0]
		}
	}()
	p := []byte{0}
	allocs := testing.AllocsPerRun(500, func() {
		p[0]++
		if _, err := pw.Write(p); err != nil {
			t.Fatal(err)
		}
		if b, ok := <-got; !ok || b != p[0] {
			t.Fatalf("read %d, %v, not %d", b, ok, p[0])
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations a read", allocs)
	}
	pw.Close()
	if _, more := <-got; more {
		t.Error("a byte that nobody wrote")
	}
}

// A goroutine that waits for what does not come costs nothing: it parks, and nobody asks the kernel over and over.
func TestIdleWaiterLeavesTheKernelAlone(t *testing.T) {
	ring := newRing(t, nil)
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pw.Close()
	f, err := ring.NewFile(pr)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := make([]byte, 1)
	read := ring.ReadAt(f, p, 0)
	got := make(chan error)
	go func() {
		_, err := read.Wait()
		got <- err
	}()
	// 50 ms are 500 times what a leader may stay in the kernel, and 50 ticks of whatever looks after the queue.
	for range 50 {
		time.Sleep(time.Millisecond)
		select {
		case err := <-got:
			t.Fatal("a read from an empty pipe ended:", err)
		default:
		}
	}
	enters := ring.Stats().Enters
	t.Log(enters, "enters")
	if enters > 100 {
		t.Errorf("%d enters while one read was waiting", enters)
	}
	if _, err := pw.Write([]byte{7}); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil || p[0] != 7 {
		t.Error(err, p)
	}
}

func TestCompletionIsAtMost32Bytes(t *testing.T) {
	if n := unsafe.Sizeof(rio.Completion[int]{}); n > 32 {
		t.Errorf("Completion[int] has %d bytes", n)
	}
	if n := unsafe.Sizeof(rio.Completion[*rio.Conn]{}); n > 32 {
		t.Errorf("Completion[*Conn] has %d bytes", n)
	}
	if n := unsafe.Sizeof(rio.Completion[struct{}]{}); n > 32 {
		t.Errorf("Completion[struct{}] has %d bytes", n)
	}
}

// heapInUse is what is reachable on Go's heap.
func heapInUse() (heap, stacks int64) {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what had a finalizer goes the second time
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc), int64(m.StackInuse)
}

// ringMappings is how much memory of io_urings is mapped.
func ringMappings(t *testing.T) (size int64) {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(maps)) {
		fields := strings.Fields(line)
		if len(fields) < 6 || !strings.Contains(fields[5], "io_uring") {
			continue
		}
		from, to, _ := strings.Cut(fields[0], "-")
		a, err1 := strconv.ParseUint(from, 16, 64)
		b, err2 := strconv.ParseUint(to, 16, 64)
		if err1 != nil || err2 != nil {
			t.Fatalf("%q: %v, %v", line, err1, err2)
		}
		size += int64(b - a)
	}
	return size
}

func TestDefaultRingCostsAtMost256KiB(t *testing.T) {
	skipUnderRace(t)
	const rings = 8
	best := int64(1 << 62)
	for range 3 { // the least of three: earlier tests may still be giving back theirs
		heap, stacks := heapInUse()
		mapped := ringMappings(t)
		var opened [rings]*rio.Ring
		for i := range opened {
			r, err := rio.New(nil)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			opened[i] = r
			if _, err := r.Nop().Wait(); err != nil {
				t.Fatal(err)
			}
		}
		heap2, stacks2 := heapInUse()
		mapped2 := ringMappings(t)
		if mapped2 <= mapped {
			t.Fatal("the rings' memory is not to be seen in /proc/self/maps")
		}
		h, s, m := (heap2-heap)/rings, (stacks2-stacks)/rings, (mapped2-mapped)/rings
		t.Logf("a default Ring: %d bytes on the heap, %d of stacks, %d mapped", h, s, m)
		best = min(best, h+s+m)
		for _, r := range opened {
			r.Close()
		}
	}
	if best > 256<<10 {
		t.Errorf("a default Ring costs %d bytes", best)
	}
}

// The figures are README's.
func TestWhatAnOperationInFlightCosts(t *testing.T) {
	skipUnderRace(t)
	const n = 400
	buf := make([]byte, 64)
	for _, kind := range []struct {
		name  string
		limit int64
		start func(*rio.Ring, *rio.File, *os.File, *rio.Conn, *rio.Listener)
	}{
		{"read of a pipe", 256, func(r *rio.Ring, f *rio.File, _ *os.File, _ *rio.Conn, _ *rio.Listener) { r.ReadAt(f, buf, 0) }},
		{"recv", 256, func(r *rio.Ring, _ *rio.File, _ *os.File, c *rio.Conn, _ *rio.Listener) { r.Recv(c, buf) }},
		{"recv with Drain", 352, func(r *rio.Ring, _ *rio.File, _ *os.File, c *rio.Conn, _ *rio.Listener) { r.Recv(c, buf, rio.Drain) }},
		{"read of a foreign pipe", 500, func(r *rio.Ring, _ *rio.File, of *os.File, _ *rio.Conn, _ *rio.Listener) { r.ReadAt(of, buf, 0) }},
		{"vectored read", 500, func(r *rio.Ring, f *rio.File, _ *os.File, _ *rio.Conn, _ *rio.Listener) {
			r.ReadvAt(f, [][]byte{buf[:1], buf[1:]}, 0)
		}},
		{"accept", 832, func(r *rio.Ring, _ *rio.File, _ *os.File, _ *rio.Conn, l *rio.Listener) { r.Accept(l) }},
	} {
		best := int64(1 << 62)
		for range 3 {
			ring := newRing(t, nil)
			conn, far := meteredPair(t, ring)
			pr, pw, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			f, err := ring.NewFile(pr)
			if err != nil {
				t.Fatal(err)
			}
			foreign, fw := tempPipe(t)
			l, err := ring.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			before, _ := heapInUse()
			for range n {
				kind.start(ring, f, foreign, conn, l)
			}
			if err := ring.SubmitAll(); err != nil {
				t.Fatal(err)
			}
			after, _ := heapInUse()
			if s := ring.Stats(); s.InFlight != n {
				t.Fatalf("%d of %d are in flight", s.InFlight, n)
			}
			best = min(best, (after-before)/n)
			for _, c := range []io.Closer{conn, far, f, pw, l, ring, fw} {
				c.Close()
			}
		}
		t.Logf("a %s in flight: %d bytes", kind.name, best)
		if best > kind.limit {
			t.Errorf("a %s in flight costs %d bytes", kind.name, best)
		}
	}
}

// Forgotten operations give their memory back.
func TestForgottenOperationsAreReused(t *testing.T) {
	skipUnderRace(t)
	ring := newRing(t, &rio.Config{Depth: 64})
	for range 1000 {
		ring.Nop()
	}
	if err := ring.SubmitAll(); err != nil {
		t.Fatal(err)
	}
	before, _ := heapInUse()
	for range 100_000 {
		ring.Nop()
	}
	after, _ := heapInUse()
	t.Logf("100000 forgotten operations left %d bytes", after-before)
	if after-before > 1<<20 {
		t.Errorf("100000 forgotten operations left %d bytes behind", after-before)
	}
}
