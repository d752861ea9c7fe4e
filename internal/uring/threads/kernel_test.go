package threads

import (
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// A gate is a target whose requests take until it is open.
type gate struct {
	open        chan struct{}
	began, most atomic.Int32
	now         atomic.Int32
}

func (g *gate) begin(r *request) { r.k.pool.do(r) }

func (g *gate) perform(r *request) (int32, bool) {
	g.began.Add(1)
	for n := g.now.Add(1); ; {
		if m := g.most.Load(); n <= m || g.most.CompareAndSwap(m, n) {
			break
		}
	}
	<-g.open
	g.now.Add(-1)
	return int32(r.Off), false
}

func openRing(t *testing.T) *uring.Ring {
	t.Helper()
	r, err := uring.Open(uring.Config{Entries: 1024, CQEntries: 1024, Wait: time.Minute, Kernel: NewPortable})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// begin begins a transfer of p, which is pinned, on fd.
func begin(r *uring.Ring, op uring.Opcode, flags uring.SQEFlags, fd int, pins *uring.Pins, p []byte, data uint64) {
	r.SQ.Claim().Fill(op, flags, int32(fd), 0, pins.Bytes(p), uint32(len(p)), 0, data)
	r.SQ.Publish()
	r.Submit()
}

// cancel cancels the request of that user_data; by is its own.
func cancel(r *uring.Ring, data, by uint64) {
	r.SQ.Claim().FillCancel(data, by)
	r.SQ.Publish()
	r.Submit()
}

// reap waits for n CQEs and returns their results.
func reap(t *testing.T, r *uring.Ring, n int) map[uint64]int32 {
	t.Helper()
	res := map[uint64]int32{}
	for len(res) < n {
		for range r.CQ.Ready() {
			c := r.CQ.Next()
			if _, twice := res[c.UserData]; twice {
				t.Fatalf("a second CQE for %d", c.UserData)
			}
			res[c.UserData] = c.Res
		}
		r.CQ.Done()
		if len(res) == n {
			break
		}
		if _, errno := r.Wait(false); errno != 0 {
			t.Fatalf("%d of %d CQEs, then %v", len(res), n, errno)
		}
	}
	return res
}

// The pool never has more at once than its limit; what is queued behind that can be cancelled, what has begun can't.
func TestPoolIsBoundedAndWhatIsQueuedCanBeCancelled(t *testing.T) {
	r := openRing(t)
	g := &gate{open: make(chan struct{})}
	fd := uring.NewVirtual(g)
	defer uring.FreeVirtual(fd)
	max := workers()
	n := max + 50
	for i := range n {
		r.SQ.Claim().Fill(uring.OpFsync, 0, int32(fd), uint64(i), uring.Addr{}, 0, 0, uint64(i))
	}
	r.SQ.Publish()
	r.Submit()
	for range 10000 {
		if int(g.began.Load()) == max {
			break
		}
		time.Sleep(time.Millisecond)
	}
	const cancels = 1 << 20
	r.SQ.Claim().FillCancel(uint64(n-1), cancels)
	r.SQ.Claim().FillCancel(0, cancels+1)
	r.SQ.Claim().FillCancel(1<<30, cancels+2)
	r.SQ.Publish()
	r.Submit()
	res := reap(t, r, 4)
	canceled, absent := -int32(syscall.ECANCELED), -int32(syscall.ENOENT)
	if res[uint64(n-1)] != canceled || res[cancels] != 0 || res[cancels+1] != absent || res[cancels+2] != absent {
		t.Errorf("the last one: %d; its cancel: %d, the first one's: %d, nobody's: %d", res[uint64(n-1)], res[cancels], res[cancels+1], res[cancels+2])
	}
	close(g.open)
	for data, res := range reap(t, r, n-1) {
		if uint64(res) != data {
			t.Errorf("request %d says %d", data, res)
		}
	}
	if got := int(g.began.Load()); got != n-1 {
		t.Errorf("%d of %d were begun", got, n-1)
	}
	if got := int(g.most.Load()); got != max {
		t.Errorf("%d at once; the limit is %d", got, max)
	}
}

func TestTimeoutsEndAndAreCancelled(t *testing.T) {
	r := openRing(t)
	var pins uring.Pins
	defer pins.Release()
	short, long := new(uring.Timespec), new(uring.Timespec)
	short.Set(int64(2 * time.Millisecond))
	long.Set(int64(time.Hour))
	r.SQ.Claim().FillTimeout(pins.Timespec(short), 1)
	r.SQ.Claim().FillTimeout(pins.Timespec(long), 2)
	r.SQ.Publish()
	r.Submit()
	if res := reap(t, r, 1); res[1] != -int32(uring.ETIME) {
		t.Error(res)
	}
	r.SQ.Claim().FillCancel(2, 3)
	r.SQ.Publish()
	r.Submit()
	if res := reap(t, r, 2); res[2] != -int32(syscall.ECANCELED) || res[3] != 0 {
		t.Error(res)
	}
}

// A chain goes on behind what has succeeded, and ends behind what has not.
func TestChainsEndWhereOneFails(t *testing.T) {
	r := openRing(t)
	g := &gate{open: make(chan struct{})}
	close(g.open)
	fd := uring.NewVirtual(g)
	defer uring.FreeVirtual(fd)
	r.SQ.Claim().Fill(uring.OpNop, uring.SQELink, -1, 0, uring.Addr{}, 0, 0, 1)
	r.SQ.Claim().Fill(uring.OpFsync, uring.SQELink, int32(fd), 7, uring.Addr{}, 0, 0, 2)
	r.SQ.Claim().Fill(uring.OpSend, uring.SQELink, -1, 0, uring.Addr{}, 0, 0, 3) // there is no such descriptor
	r.SQ.Claim().Fill(uring.OpNop, uring.SQELink, -1, 0, uring.Addr{}, 0, 0, 4)
	r.SQ.Claim().Fill(uring.OpNop, 0, -1, 0, uring.Addr{}, 0, 0, 5)
	r.SQ.Claim().Fill(uring.OpNop, 0, -1, 0, uring.Addr{}, 0, 0, 6)
	r.SQ.Publish()
	if n, errno := r.Submit(); n != 6 || errno != 0 {
		t.Fatal(n, errno)
	}
	res := reap(t, r, 6)
	canceled := -int32(syscall.ECANCELED)
	for data, want := range map[uint64]int32{1: 0, 2: 7, 3: -int32(syscall.EBADF), 4: canceled, 5: canceled, 6: 0} {
		if res[data] != want {
			t.Errorf("%d: %d, not %d", data, res[data], want)
		}
	}
}
