package rio

import "testing"

// balanced is a Ring with a side lane, without a sweeper.
func balanced(t *testing.T) *Ring {
	t.Helper()
	firstLaneOnly(t)
	r, _ := unsweptFile(t, 0)
	if r.side.most == 0 {
		t.Skip("there are no side lanes")
	}
	if r.widen(1); len(r.sides()) != 1 {
		t.Skip("none was opened")
	}
	r.procs.Store(2)
	return r
}

// A lane that does everything, for goroutines that its relay wakes, has to let some go; less and less often if nobody takes them.
func TestALaneThatDoesEverythingForks(t *testing.T) {
	r := balanced(t)
	one, other := &r.lane, r.sides()[0]
	ticks := func(n int, first, second, wakes uint64) (forks int) {
		for range n {
			for l, begun := range map[*lane]uint64{one: first, other: second} {
				l.sq.loose += begun
				l.relay.wakes += uint32(wakes)
			}
			r.weigh()
			for l := range r.lanes() {
				if l.relay.forks.Load() > 0 {
					if begun := map[*lane]uint64{one: first, other: second}[l]; begun < max(first, second) {
						t.Error("the lane that does nothing forks")
					}
					l.relay.forks.Store(0)
					forks++
				}
			}
		}
		return forks
	}
	n := 10 * crowd
	for _, c := range []struct {
		name                 string
		first, second, wakes uint64
		want                 int // in a hundred ticks
	}{
		{"both", n, n, n, 0},
		{"one", n, 0, n, 6}, // after 2, 4, 8, 16, 32 ticks
		{"the other again, after both", 0, n, n, 6},
		{"one, but for a little", n, n / 10, n, 6},
		{"one, mostly", n, n / 5, n, 0},
		{"one's, who waits for nobody", n, 0, n / 3, 0},
		{"little", crowd - 1, 0, n, 0},
	} {
		ticks(1, n, n, n)
		r.side.balance.wait = 0
		if got := ticks(100, c.first, c.second, c.wakes); got != c.want {
			t.Errorf("%s: %d forks, not %d", c.name, got, c.want)
		}
	}
	r.procs.Store(1)
	ticks(1, n, n, n)
	if ticks(100, n, 0, n) > 0 {
		t.Error("with one P there is nobody to take them")
	}
}

// A fork wakes a few more, in their order, and whoever was woken passes.
func TestAForkWakesAFewMore(t *testing.T) {
	notUnderRace(t)
	r := relay{procs: procs(2)}
	all := sleepers(8)
	r.wake(all[0])
	for _, ch := range all[1:] {
		r.join(ch, last)
	}
	r.forks.Store(3)
	for i, want := range []string{"0", "1234", "5", "6", "7", "", ""} {
		if got := awake(all); got != want {
			t.Errorf("after %d passes %q are awake, not %q", i, got, want)
		}
		r.fork()
		if end := r.passInTime(); end != (i >= 4) {
			t.Errorf("pass %d: end %v", i, end)
		}
	}
	r.wake(all[0])
	r.join(all[1], last)
	r.forks.Store(3) // of whom there is one
	if got := awake(all); got != "0" {
		t.Error(got)
	}
	r.fork()
	if r.passInTime(); awake(all) != "1" || r.active.Load() {
		t.Error("the last one is not the end")
	}
}
