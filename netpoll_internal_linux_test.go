package rio

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// onePlain is a Ring with one P, on an io_uring.
func onePlain(t testing.TB) *Ring {
	t.Helper()
	canCoop(t)
	withProcs(t, 1)
	r, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	if !r.k.Plain() {
		t.Skip("not on an io_uring of the kernel's own")
	}
	return r
}

// answering has so many Conns of r answer what package net's in this process send, times in all, one after the other each.
func answering(t testing.TB, r *Ring, network string, conns, times int) {
	t.Helper()
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = t.TempDir() + "/s"
	}
	l, err := r.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	peers := make([]net.Conn, conns)
	var all sync.WaitGroup
	for i := range peers {
		if peers[i], err = net.Dial(network, l.Addr().String()); err != nil {
			t.Fatal(err)
		}
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			defer c.Close()
			var p [128]byte
			for {
				n, err := c.Read(p[:])
				if err == io.EOF {
					return
				}
				if _, err2 := c.Write(p[:n]); err != nil || err2 != nil {
					t.Error(err, err2)
					return
				}
			}
		})
	}
	if b, ok := t.(*testing.B); ok {
		b.ResetTimer()
	}
	for i, c := range peers {
		all.Go(func() {
			defer c.Close()
			p, q := make([]byte, 128), make([]byte, 128)
			for n := i; n < times; n += conns {
				copy(p, fmt.Sprint("message ", n))
				if _, err := c.Write(p); err != nil {
					t.Error(err)
					return
				}
				if _, err := io.ReadFull(c, q); err != nil || string(p) != string(q) {
					t.Errorf("%v: %q; want %q", err, q, p)
					return
				}
			}
		})
	}
	all.Wait()
}

// With one P whom package net's poller knows to be ready runs before the leader waits in the kernel: what he waits for may be theirs.
func TestPeersRunBeforeALeaderWaits(t *testing.T) {
	firstLaneOnly(t)
	r := onePlain(t)
	answering(t, r, "tcp", 1, 4*askAfter) // it finds out
	const times = 500
	fewest := uint64(1 << 32)
	for range 50 { // what else the machine does may take the P away
		before := r.Stats().Enters
		answering(t, r, "tcp", 1, times)
		if fewest = min(fewest, r.Stats().Enters-before); fewest < times*21/10 {
			return
		}
	}
	t.Errorf("%d enters for %d messages: one to send, one to receive, and many waits", fewest, times)
}

func TestCloseClosesWhatAsksThePoller(t *testing.T) {
	r := onePlain(t)
	answering(t, r, "tcp", 1, 4*askAfter)
	if r.netpoll.dozer == nil {
		t.Fatal("nobody has asked")
	}
	fds := func() int {
		es, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(es)
	}
	before := fds()
	r.Close()
	until(t, "the ring, its eventfd and the dozer's are closed", func() bool { return fds() <= before-3 })
}

func TestItIsAskedOnlyWhereThatPays(t *testing.T) {
	type result struct {
		steps int
		took  time.Duration
	}
	paid, nothing, long := result{1, time.Microsecond}, result{0, time.Microsecond}, result{0, 2 * patient}
	// asks is how often of the next n, which end so.
	asks := func(p *netpoll, n int, end result) (asked int) {
		for range n {
			if p.begin() {
				asked++
				p.end(end.steps, end.took)
			}
		}
		return asked
	}
	var p netpoll
	defer p.close()
	if n := asks(&p, 10*askAfter, nothing); n != 10 {
		t.Errorf("asked %d times of %d when nothing came of it", n, 10*askAfter)
	}
	asks(&p, askAfter, paid)
	if n := asks(&p, 100, paid); n != 100 {
		t.Errorf("asked %d times of 100 when it paid", n)
	}
	if n := asks(&p, askFor+askAfter, nothing); n != askFor+1 {
		t.Errorf("asked %d times of %d when it paid no longer", n, askFor+askAfter)
	}
	asks(&p, askAfter, paid)
	if n := asks(&p, 100, result{2000, 10 * time.Millisecond}); n != 100 {
		t.Errorf("asked %d times of 100 when many ran", n)
	}
	if asks(&p, 1, result{40, 3 * time.Millisecond}); asks(&p, minFear, paid) != 0 {
		t.Error("asked after a few had come of a long time")
	}
	asks(&p, askAfter+100, paid)
	for range 2 {
		for fear := minFear; fear <= maxFear; fear *= 2 {
			p.idle = askAfter - 1
			if n := asks(&p, 1, long); n != 1 {
				t.Errorf("asked %d times of 1", n)
			}
			if n := asks(&p, fear, paid); n != 0 {
				t.Errorf("asked %d times of %d after somebody had run for long", n, fear)
			}
		}
		asks(&p, askAfter+100, paid) // long ago
	}
}

func TestOneAsksAtATime(t *testing.T) {
	p := netpoll{gain: 1}
	if !p.begin() || p.begin() {
		t.Error("two ask")
	}
	p.end(1, 0)
	if !p.begin() {
		t.Error("and then nobody")
	}
	p.end(1, 0)
	p.close()
	if p.begin() {
		t.Error("it is asked after close")
	}
}

// Nothing depends on it.
func TestWithoutTheBellALeaderWaitsInTheKernel(t *testing.T) {
	r := onePlain(t)
	r.netpoll.none = true
	answering(t, r, "tcp", 4, 1000)
	if r.netpoll.dozer != nil {
		t.Error("it has one")
	}
}

// Those who wait on the ring, on Go's poller, and compute go on beside each other: nobody waits for ever.
func TestALeaderThatDozesHoldsNobodyUp(t *testing.T) {
	r := onePlain(t)
	var stop atomic.Bool
	var all sync.WaitGroup
	all.Go(func() {
		for !stop.Load() {
		}
	})
	answering(t, r, "tcp", 2, 60) // each may wait for a time slice of 10 ms
	for _, network := range []string{"unix", "tcp"} {
		all.Go(func() { answering(t, r, network, 3, 60) })
	}
	time.AfterFunc(100*time.Millisecond, func() { stop.Store(true) })
	all.Wait()
}

// With one P, package net's Conns of the same process are what a Ring's Conns talk to. Others are of another process.
func BenchmarkWorthAskingPoller(b *testing.B) {
	for _, network := range []string{"tcp", "unix"} {
		for _, conns := range []int{1, 4, 64} {
			for _, with := range []bool{true, false} {
				b.Run(fmt.Sprintf("%s/%d/asked=%t", network, conns, with), func(b *testing.B) {
					r := onePlain(b)
					r.netpoll.none = !with
					cpu := cpuTime()
					answering(b, r, network, conns, b.N)
					b.ReportMetric(float64(cpuTime()-cpu)/float64(b.N), "cpu-ns/op")
				})
			}
		}
	}
	for _, conns := range []int{1, 64, 1000} {
		for _, with := range []bool{true, false} {
			b.Run(fmt.Sprintf("others/%d/asked=%t", conns, with), func(b *testing.B) {
				r := onePlain(b)
				r.netpoll.none = !with
				answerBy(b, r, conns, byReads)
			})
		}
	}
}
