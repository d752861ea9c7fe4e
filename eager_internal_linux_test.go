package rio

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/seed-9c58b644/rio/internal/hook"
)

// Without a sweeper nothing is submitted but by who waits, or who starts the last of enough operations on a device: few if it
// has nothing to do, as many as it has, and sixteen at last. Nobody reads the completions here, so that it has all of them.
func TestADeviceThatHasRunDryBeginsSoon(t *testing.T) {
	firstLaneOnly(t)
	r, f := unsweptFile(t, O_DIRECT)
	read := func(n int) (began []int) {
		var started []Completion[int]
		for i := range n {
			started = append(started, r.ReadAt(f, Aligned(4096, 0), 0))
			if r.k.SQ.Pending() == 0 {
				began = append(began, i+1)
			}
		}
		for _, c := range started {
			if n, err := c.Wait(); n != 4096 || err != nil {
				t.Error(n, err)
			}
		}
		return began
	}
	a, _ := socketsOf(t, r)
	for range 2 * eager { // a device is dry, though others wait for something
		r.Recv(a, make([]byte, 1))
	}
	r.SubmitAll()
	if began, want := read(3*eager), []int{4, 8, 16, 32, 48}; !slices.Equal(began, want) {
		t.Errorf("everything was submitted after %d operations, not after %d", began, want)
	}
	r.lock() // who has read the last completions has said so by then
	r.unlock()
	if began := read(few); !slices.Equal(began, []int{few}) {
		t.Errorf("when all was done, everything was submitted after %d operations, not after %d", began, few)
	}
}

// A leader lets so many start something before he submits it: all, unless a device could begin; few, if it has nothing to do, and
// as many as it has.
func TestALeaderFeedsADeviceBeforeItHasRunDry(t *testing.T) {
	firstLaneOnly(t)
	for i, c := range []struct{ has, queued, want int }{
		{0, 0, 2 * eager}, // no operation on a device
		{0, few - 1, few},
		{few, few - 1, few},
		{few + 1, 1, few + 1},
		{eager, few - 1, eager},
		{2*eager + 1, 1, 2 * eager},
	} {
		r, f := unsweptFile(t, O_DIRECT) // nobody reads completions there
		var started []Completion[int]
		begin := func(n int) {
			for range n {
				started = append(started, r.WriteAt(f, Aligned(4096, 0), 0))
			}
		}
		begin(c.has)
		r.flush()
		begin(c.queued)
		if n := r.k.SQ.Pending(); int(n) != c.queued {
			t.Fatalf("%d are pending, not %d", n, c.queued)
		}
		o := &op{kind: []kind{kindRead, kindWrite, kindReadv, kindWritev}[i%4]}
		for i, want := range []int{c.want, 2 * eager} { // the second time it was on no device
			if got := r.feed(o); got != want {
				t.Errorf("%+v, %d: behind %d, not %d", c, i, got, want)
			}
		}
		begin(1)
		if got := r.feed(&op{kind: kindNop}); got != last {
			t.Errorf("%+v: a NOP's leader goes behind %d", c, got)
		}
		for _, c := range started {
			if n, err := c.Wait(); n != 4096 || err != nil {
				t.Fatal(n, err)
			}
		}
	}
}

// unsweptFile is a file of 64 KiB on a ring without a sweeper.
func unsweptFile(t *testing.T, flag int) (*Ring, *File) {
	t.Helper()
	r, err := newOn(&Config{Backend: IOUring}, hook.Kernel{Manual: true})
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { r.Close() })
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, make([]byte, 1<<16), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := r.OpenFile(name, os.O_RDWR|flag, 0)
	if err != nil {
		t.Skip(err) // no O_DIRECT here
	}
	t.Cleanup(func() { f.Close() })
	return r, f
}

// What others may still have to say is waited for, and only devices are fed.
func TestADeviceBeginsBeforeSomebodyWaits(t *testing.T) {
	firstLaneOnly(t)
	for _, c := range []struct {
		flag            int
		ord             Ordering
		before, pending uint32 // before the last one, and after it
		yielding        int32  // a leader lets others run, with so many Ps
	}{
		{O_DIRECT, None, few - 1, 0, 0},
		{O_DIRECT, None, few - 1, 0, 1},
		{O_DIRECT, None, few - 1, few, 2},     // he submits
		{O_DIRECT, Link, few - 1, few + 1, 0}, // somebody may have more to say
		{0, None, few - 1, few, 0},
		{0, None, eager - 1, eager, 0},
	} {
		r, f := unsweptFile(t, c.flag)
		if c.yielding > 0 {
			r.yielding.Store(true)
			r.procs.Store(c.yielding)
		}
		if c.ord == Link && !r.k.Links() {
			continue // this kernel is not trusted with links: nothing is held back
		}
		var started []Completion[int]
		start := func(ord Ordering) {
			started = append(started, r.WriteAt(f, Aligned(4096, 0), int64(len(started))*4096, ord))
		}
		for range c.before {
			start(None)
		}
		if n := r.k.SQ.Pending(); n != c.before {
			t.Errorf("flags %#x: %d of %d are pending", c.flag, n, c.before)
		}
		if c.ord == Link {
			start(Link)
			if n := r.k.SQ.Pending(); n != c.before {
				t.Errorf("%d are pending: what waits for its successor was let go, or those before it", n)
			}
		}
		start(None)
		if n := r.k.SQ.Pending(); n != c.pending {
			t.Errorf("%+v: %d are pending after one more", c, n)
		}
		r.yielding.Store(false)
		for _, w := range started {
			if n, err := w.Wait(); n != 4096 || err != nil {
				t.Error(n, err)
			}
		}
	}
}

// Who starts a great many submits them by and by, and reads what has ended.
func TestAGreatManyBeginBeforeSomebodyWaits(t *testing.T) {
	firstLaneOnly(t)
	r, err := newOn(&Config{Backend: IOUring, Depth: 8 * plenty}, hook.Kernel{Manual: true})
	if err != nil {
		t.Skip(err)
	}
	defer r.Close()
	var started []Completion[struct{}]
	start := func(until uint32) (began []uint32) { // in places of the queue, of which setting up has used some; they may begin before 0
		for int32(r.k.SQ.Claimed()-until) < 0 {
			started = append(started, r.Nop())
			if r.k.SQ.Pending() == 0 {
				began = append(began, r.k.SQ.Claimed())
				if done := r.cq.completed; done != uint64(len(started)) {
					t.Errorf("%d were submitted, and %d of them have been read", len(started), done)
				}
			}
		}
		return began
	}
	if began, want := start(3*plenty), []uint32{plenty, 2 * plenty, 3 * plenty}; !slices.Equal(began, want) {
		t.Errorf("everything was submitted at %d, not at %d", began, want)
	}
	for i, left := range []uint32{plenty / 2, plenty/2 - 1} {
		due := uint32(i+4) * plenty
		start(due - left)
		r.SubmitAll()
		r.reap()
		if began := start(due); (len(began) == 1) != (left == plenty/2) {
			t.Errorf("with %d left everything was submitted at %d", left, began)
		}
	}
	for _, c := range started {
		if _, err := c.Wait(); err != nil {
			t.Fatal(err)
		}
	}
}
