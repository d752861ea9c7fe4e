package uring

import (
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// The queues over ordinary memory: the test is the kernel. Indices begin at 2^32-2, so that every test passes the place
// where they wrap.

const nearWrap = 1<<32 - 2

func fill(s *SQE, q Request, userData uint64) {
	s.Fill(q.Op, q.Flags, q.FD, q.Off, q.Addr, q.Len, q.OpFlags, userData)
}

// A fakeSQ is the kernel's view of an SQ.
type fakeSQ struct {
	SQ
	khead, ktail, kflags uint32
}

func newFakeSQ(entries, start uint32) *fakeSQ {
	q := &fakeSQ{khead: start, ktail: start}
	q.SQ = SQ{head: &q.khead, tail: &q.ktail, flags: &q.kflags, mask: entries - 1, local: start, seen: start, sqes: make([]SQE, entries)}
	return q
}

// consume is what an enter does: it copies up to n published SQEs, and returns their user_data.
func (q *fakeSQ) consume(n int) (got []uint64) {
	for ; n > 0 && atomic.LoadUint32(&q.khead) != atomic.LoadUint32(&q.ktail); n-- {
		_, data := q.sqes[q.khead&q.mask].Request()
		got = append(got, data)
		atomic.AddUint32(&q.khead, 1)
	}
	return got
}

// expect checks every index.
func (q *fakeSQ) expect(t *testing.T, step string, head, tail, local, room, pending uint32) {
	t.Helper()
	if q.khead != head || q.ktail != tail || q.local != local || q.Claimed() != local {
		t.Errorf("%s: head %#x, tail %#x, local %#x; want %#x, %#x, %#x", step, q.khead, q.ktail, q.local, head, tail, local)
	}
	// Has first: it may know an older head than Room, which looks.
	if !q.Has(room) || q.Has(room+1) || q.Room() != room || q.Pending() != pending {
		t.Errorf("%s: room %d, pending %d; want %d, %d", step, q.Room(), q.Pending(), room, pending)
	}
}

func TestSubmissionQueueStepByStep(t *testing.T) {
	const s = nearWrap
	q := newFakeSQ(4, s)
	if q.Entries() != 4 {
		t.Fatalf("Entries is %d", q.Entries())
	}
	q.expect(t, "new", s, s, s, 4, 0)
	if !q.Passed(s) || q.Passed(s+1) {
		t.Error("an empty queue has passed its tail, and no more")
	}
	for i := range uint32(3) { // 2^32-2, 2^32-1, 0
		if e := q.Claim(); e != &q.sqes[(s+i)&3] {
			t.Errorf("claim %d is not entry %d", i, (s+i)&3)
		} else {
			fill(e, Request{Op: OpNop}, uint64(100+i))
		}
		q.expect(t, "claim", s, s, s+i+1, 3-i, 0)
	}
	if got := q.consume(4); got != nil {
		t.Errorf("the kernel saw %v before Publish", got)
	}
	if q.Publish(); q.Tail() != 1 {
		t.Errorf("the tail is %#x, not 1", q.Tail())
	}
	q.expect(t, "publish", s, 1, 1, 1, 3)
	if q.Passed(s+1) || q.Passed(1) || !q.Passed(s) {
		t.Error("nothing was taken: only the old tail is passed")
	}
	fill(q.Claim(), Request{Op: OpNop}, 103)
	q.expect(t, "the last claim", s, 1, 2, 0, 3)
	if got := q.consume(2); len(got) != 2 || got[0] != 100 || got[1] != 101 {
		t.Errorf("the kernel took %v, not 100, 101", got)
	}
	q.expect(t, "two taken", 0, 1, 2, 2, 1)
	if !q.Passed(s+1) || !q.Passed(0) || q.Passed(1) {
		t.Error("after two of three were taken 0 is passed and 1 is not")
	}
	if got := q.consume(4); len(got) != 1 || got[0] != 102 {
		t.Errorf("the kernel took %v, not 102: 103 is not published", got)
	}
	q.expect(t, "three taken", 1, 1, 2, 3, 0)
	if !q.Passed(1) {
		t.Error("all of it was taken")
	}
	if q.Publish(); q.Tail() != 2 {
		t.Errorf("the tail is %#x, not 2", q.Tail())
	}
	q.expect(t, "publish the last", 1, 2, 2, 3, 1)
	if got := q.consume(4); len(got) != 1 || got[0] != 103 {
		t.Errorf("the kernel took %v, not 103", got)
	}
	q.expect(t, "empty again", 2, 2, 2, 4, 0)
}

func TestClaimOnAFullSubmissionQueuePanics(t *testing.T) {
	for _, entries := range []uint32{1, 2, 8} {
		q := newFakeSQ(entries, nearWrap)
		for range entries {
			q.Claim()
		}
		local := q.local
		mustPanic(t, func() { q.Claim() })
		q.Publish()
		mustPanic(t, func() { q.Claim() })
		if q.local != local || q.ktail != local {
			t.Errorf("entries %d: a refused claim moved an index: local %#x, tail %#x", entries, q.local, q.ktail)
		}
		q.consume(1)
		q.Claim() // there is room for one
		mustPanic(t, func() { q.Claim() })
	}
}

func mustPanic(t *testing.T, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if s, ok := recover().(string); !ok || s == "" {
			t.Error("no panic with a sentence")
		}
	}()
	f()
}

// The kernel takes any number of entries at any time; nothing is lost, doubled or out of order.
func TestSubmissionQueueKeepsOrderAcrossTheWrap(t *testing.T) {
	for _, entries := range []uint32{1, 2, 16} {
		q := newFakeSQ(entries, nearWrap-3*entries)
		r := rand.New(rand.NewPCG(uint64(entries), 7))
		var in, out uint64
		for out < 200 {
			for range r.Uint32N(entries + 1) {
				if q.Room() == 0 {
					break
				}
				fill(q.Claim(), Request{Op: OpNop}, in)
				in++
			}
			if r.IntN(3) > 0 {
				q.Publish()
			}
			for _, data := range q.consume(r.IntN(int(entries) + 1)) {
				if data != out {
					t.Fatalf("entries %d: the kernel took %d, not %d", entries, data, out)
				}
				out++
			}
			if d := q.local - q.khead; d > entries || q.ktail-q.khead > d || q.Room() != entries-d {
				t.Fatalf("entries %d: head %#x <= tail %#x <= local %#x <= head+entries does not hold", entries, q.khead, q.ktail, q.local)
			}
		}
	}
}

func TestSubmissionQueueBetweenThreads(t *testing.T) {
	q := newFakeSQ(2, nearWrap)
	const n = 20000
	bad := make(chan uint64, 1)
	go func() {
		defer close(bad)
		for want := uint64(0); want < n; {
			got := q.consume(1)
			if got == nil {
				runtime.Gosched()
			}
			for _, data := range got {
				if data != want {
					bad <- data
					return
				}
				want++
			}
		}
	}()
	end := time.Now().Add(20 * time.Second)
	for i := uint64(0); i < n; {
		if time.Now().After(end) {
			t.Fatalf("after %d there is no room", i)
		}
		if q.Room() == 0 {
			select {
			case data := <-bad:
				t.Fatalf("the other thread took %d out of order", data)
			default:
				runtime.Gosched()
			}
			continue
		}
		fill(q.Claim(), Request{Op: OpNop}, i)
		q.Publish()
		if q.Pending() > 2 {
			t.Fatalf("%d are pending in a queue of 2", q.Pending())
		}
		i++
	}
	if data, wrong := <-bad; wrong {
		t.Fatalf("the other thread took %d out of order", data)
	}
}

func TestSubmissionQueueFlags(t *testing.T) {
	q := newFakeSQ(1, nearWrap)
	for _, c := range []struct {
		flags             uint32
		wakeup, overflown bool
	}{{0, false, false}, {1, true, false}, {2, false, true}, {4, false, false}, {7, true, true}} {
		q.kflags = c.flags
		if q.NeedWakeup() != c.wakeup || q.Overflown() != c.overflown {
			t.Errorf("flags %d: NeedWakeup %v, Overflown %v", c.flags, q.NeedWakeup(), q.Overflown())
		}
	}
}

// A fakeCQ is the kernel's view of a CQ.
type fakeCQ struct {
	CQ
	khead, ktail, kflags uint32
}

func newFakeCQ(entries, start uint32) *fakeCQ {
	q := &fakeCQ{khead: start, ktail: start}
	q.CQ = CQ{head: &q.khead, tail: &q.ktail, flags: &q.kflags, mask: entries - 1, local: start, cqes: make([]CQE, entries)}
	return q
}

// produce is what a completion does; false if the queue is full.
func (q *fakeCQ) produce(data uint64, res int32) bool {
	if q.ktail-atomic.LoadUint32(&q.khead) > q.mask {
		return false
	}
	q.cqes[q.ktail&q.mask] = CQE{UserData: data, Res: res}
	atomic.AddUint32(&q.ktail, 1)
	return true
}

func (q *fakeCQ) expect(t *testing.T, step string, head, tail, local, ready uint32) {
	t.Helper()
	if q.khead != head || q.ktail != tail || q.local != local || q.Ready() != ready {
		t.Errorf("%s: head %#x, tail %#x, local %#x, ready %d; want %#x, %#x, %#x, %d",
			step, q.khead, q.ktail, q.local, q.Ready(), head, tail, local, ready)
	}
}

func TestCompletionQueueStepByStep(t *testing.T) {
	const s = nearWrap
	q := newFakeCQ(4, s)
	if q.Entries() != 4 {
		t.Fatalf("Entries is %d", q.Entries())
	}
	q.expect(t, "new", s, s, s, 0)
	for i := range uint64(4) {
		if !q.produce(200+i, -int32(i)) {
			t.Fatal("the queue was full early")
		}
	}
	if q.produce(999, 0) {
		t.Fatal("five fit into four")
	}
	q.expect(t, "full", s, 2, s, 4)
	for i := range uint32(3) {
		if c := q.Next(); c.UserData != uint64(200+i) || c.Res != -int32(i) {
			t.Errorf("CQE %d is %+v", i, c)
		}
		q.expect(t, "next", s, 2, s+i+1, 3-i)
	}
	if q.produce(999, 0) {
		t.Error("what was read but not given back was overwritten")
	}
	q.Done()
	q.expect(t, "done", 1, 2, 1, 1)
	for i := range uint64(3) {
		if !q.produce(204+i, 0) {
			t.Fatal("what was given back is not free")
		}
	}
	if q.produce(999, 0) {
		t.Error("the one that is not read yet was overwritten")
	}
	q.expect(t, "full again", 1, 5, 1, 4)
	for i := range uint64(4) {
		if c := q.Next(); c.UserData != 203+i {
			t.Errorf("after the wrap CQE %d is %+v", i, c)
		}
	}
	q.expect(t, "all read", 1, 5, 5, 0)
	q.Done()
	q.expect(t, "empty", 5, 5, 5, 0)
}

func TestCompletionQueueBetweenThreads(t *testing.T) {
	q := newFakeCQ(2, nearWrap)
	const n = 20000
	go func() {
		for i := uint64(0); i < n; {
			if q.produce(i, int32(i)) {
				i++
			} else {
				runtime.Gosched()
			}
		}
	}()
	end := time.Now().Add(20 * time.Second)
	for want := uint64(0); want < n; {
		if time.Now().After(end) {
			t.Fatalf("after %d nothing comes", want)
		}
		ready := q.Ready()
		if ready > q.Entries() {
			t.Fatalf("%d are ready in a queue of %d", ready, q.Entries())
		}
		for range ready {
			if c := q.Next(); c.UserData != want || c.Res != int32(want) {
				t.Fatalf("got %+v, not %d", c, want)
			}
			want++
		}
		if ready > 0 {
			q.Done()
		} else {
			runtime.Gosched()
		}
	}
}

func TestNotifySwitchesTheEventfd(t *testing.T) {
	q := newFakeCQ(1, nearWrap)
	for _, on := range []bool{false, false, true, true, false} {
		q.Notify(on)
		if disabled := q.kflags == 1; disabled == on { // IORING_CQ_EVENTFD_DISABLED
			t.Errorf("after Notify(%v) the flags are %d", on, q.kflags)
		}
	}
}
