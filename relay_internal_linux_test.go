package rio

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// sleepers are n channels to be woken by.
func sleepers(n int) []chan struct{} {
	all := make([]chan struct{}, n)
	for i := range all {
		all[i] = make(chan struct{}, 1)
	}
	return all
}

// awake says which of them were woken since it was last asked.
func awake(all []chan struct{}) (s string) {
	for i, ch := range all {
		select {
		case <-ch:
			s += fmt.Sprint(i)
		default:
		}
	}
	return s
}

// passInTime is pass of one that nobody finds slow, however slow the machine is.
func (r *relay) passInTime() bool {
	r.woken = time.Time{}
	return r.pass()
}

func procs(n int32) *atomic.Int32 {
	p := new(atomic.Int32)
	p.Store(n)
	return p
}

func notUnderRace(t *testing.T) {
	t.Helper()
	if uring.Race {
		t.Skip("under the race detector everybody is woken at once")
	}
}

func TestEachInARelayWakesTheNext(t *testing.T) {
	notUnderRace(t)
	r := relay{procs: procs(2)}
	all := sleepers(5)
	if r.join(all[4], 9) {
		t.Error("there is no line to join")
	}
	for _, ch := range all[:3] {
		r.wake(ch)
	}
	if !r.join(all[3], 9) {
		t.Error("there is a line to join")
	}
	for i := range 4 {
		if got := awake(all); got != fmt.Sprint(i) {
			t.Errorf("in turn %d %q are awake", i, got)
		}
		if end := r.passInTime(); end != (i == 3) {
			t.Errorf("in turn %d it ended: %v", i, end)
		}
	}
	r.wake(all[4])
	if got := awake(all); got != "4" {
		t.Errorf("after its end %q are awake", got)
	}
}

// Who joins waits for so many, however long the line is; and the line takes no more room than it needs, though it may never
// be empty.
func TestLineOfARelayIsJoinedInTheMiddle(t *testing.T) {
	notUnderRace(t)
	r := relay{procs: procs(2)}
	all := sleepers(7)
	for _, ch := range all[:5] {
		r.wake(ch)
	}
	r.join(all[5], 2) // 0 is awake
	r.join(all[6], 0)
	for i, want := range []string{"0", "6", "1", "2", "5", "3", "4"} {
		if got := awake(all); got != want {
			t.Errorf("in turn %d %q are awake, not %s", i, got, want)
		}
		if i < 6 {
			r.passInTime()
		}
	}
	for _, ch := range all[:4] {
		r.wake(ch)
	}
	for i := range 10000 {
		if r.passInTime() {
			t.Fatal("it came to an end")
		}
		awake(all)
		r.wake(all[i%7])
	}
	if n := cap(r.line); n > 64 {
		t.Errorf("the line has room for %d", n)
	}
}

// With one P who is to wake the next lets others run first, once in a turn. With several these find a P.
func TestRelayLetsOthersRun(t *testing.T) {
	notUnderRace(t)
	withProcs(t, 1)
	for _, c := range []struct {
		procs   int32
		into    time.Duration // the turn
		letsRun bool
	}{{1, 0, false}, {1, turn + time.Millisecond, true}, {2, turn + time.Millisecond, false}} {
		did := 0
		const times = 20 // now and then the runtime has others run, or not just these
		for range times {
			r := relay{procs: procs(c.procs)}
			for _, ch := range sleepers(2) {
				r.wake(ch)
			}
			ran := false
			go func() { ran = true }()
			r.woken = time.Now()
			r.began = r.woken.Add(-c.into)
			if r.pass(); ran {
				did++
			}
			for !ran {
				runtime.Gosched()
			}
		}
		if did > times/2 != c.letsRun {
			t.Errorf("%d Ps, %v into a turn: others have run %d times of %d", c.procs, c.into, did, times)
		}
	}
}

// Whoever has let others run comes to his turn, though hundreds of goroutines keep a ring and the one P busy.
func TestNobodyStarvesBesideABusyRing(t *testing.T) {
	notUnderRace(t)
	withProcs(t, 1)
	r := openRing(t, nil)
	var all sync.WaitGroup
	var left atomic.Int32
	var enough atomic.Bool
	left.Store(300)
	for range left.Load() {
		all.Go(func() {
			defer left.Add(-1)
			for i := 0; i < 10000 && !enough.Load(); i++ {
				if _, err := r.Nop().Wait(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 10 {
		runtime.Gosched()
		if left.Load() < 300 {
			t.Error("first they had to end")
			break
		}
	}
	enough.Store(true)
	all.Wait()
}

// One that runs for long holds up those behind it, until that is seen; once may be the machine's fault.
func TestRelayWakesAllAtOnceWhereTheyAreSlow(t *testing.T) {
	notUnderRace(t)
	r := relay{procs: procs(2)}
	all := sleepers(9)
	slowly := func() {
		r.woken = time.Now().Add(-time.Second)
		r.pass()
	}
	for _, ch := range all[:8] {
		r.wake(ch)
	}
	for i := range enoughSlow - 1 {
		slowly()
		if got, want := awake(all), fmt.Sprint(i)+fmt.Sprint(i+1); i == 0 && got != want || i > 0 && got != want[1:] {
			t.Errorf("after %d slow ones %q are awake", i+1, got)
		}
	}
	r.woken = time.Now().Add(time.Hour) // a fast one
	r.pass()
	if got := awake(all); got != "3" {
		t.Errorf("after a fast one %q are awake", got)
	}
	for range enoughSlow {
		slowly()
	}
	if got := awake(all); got != "4567" {
		t.Errorf("at last %q are awake", got)
	}
	for i := range minWide {
		r.wake(all[i%9])
		if got := awake(all); got != fmt.Sprint(i%9) {
			t.Fatalf("wake %d: %q are awake", i, got)
		}
	}
	r.wake(all[0])
	r.wake(all[1])
	if got := awake(all); got != "0" {
		t.Errorf("when that is over %q are awake", got)
	}

	r = relay{procs: procs(1)} // then there is nothing to gain
	for _, ch := range all[:8] {
		r.wake(ch)
	}
	for i := range 2 * enoughSlow {
		slowly()
		if got, want := awake(all), fmt.Sprint(i)+fmt.Sprint(i+1); i == 0 && got != want || i > 0 && got != want[1:] {
			t.Errorf("with one P %q are awake after %d slow ones", got, i+1)
		}
	}
}

// Nobody is forgotten, whoever joins meanwhile and however slow some are.
func TestRelayForgetsNobody(t *testing.T) {
	notUnderRace(t)
	r := relay{procs: procs(2)}
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 2000 {
				ch := make(chan struct{}, 1)
				if g%2 == 0 || !r.join(ch, i%3) {
					r.wake(ch)
				}
				<-ch
				if i%100 == g {
					time.Sleep(2 * brief)
				}
				r.pass()
			}
		})
	}
	within(t, "all are woken", all.Wait)
	if r.active.Load() || r.head != len(r.line) {
		t.Errorf("active %v, %d in line", r.active.Load(), len(r.line)-r.head)
	}
}

// A leader whose context has ended doesn't wait for its turn, which may come again and again.
func TestLeaderDoesNotStandInLineForNothing(t *testing.T) {
	firstLaneOnly(t)
	notUnderRace(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	r := openRing(t, &Config{Depth: 4})
	p, w := pipeOn(t, r)
	read := r.ReadAt(p, make([]byte, 1), 0)
	r.flush()
	all := sleepers(1)
	r.relay.wake(all[0]) // who doesn't pass
	r.leaders.Store(1)
	within(t, "its context has ended", func() { r.lead(read.o, ended) })
	if n := r.leaders.Load(); n != 0 {
		t.Errorf("%d leaders", n)
	}
	r.passOn()
	w.Write([]byte("x"))
	if n, err := read.Wait(); n != 1 || err != nil {
		t.Error(n, err)
	}
}

// A leader stands where feed says, not at the end.
func TestLeaderStandsWhereADeviceWantsHim(t *testing.T) {
	firstLaneOnly(t)
	notUnderRace(t)
	r, f := unsweptFile(t, O_DIRECT)
	asked := false
	r.onFeed = func(int) int {
		asked = true
		return 2
	}
	all := sleepers(6)
	for _, ch := range all {
		r.relay.wake(ch)
	}
	read := r.ReadAt(f, Aligned(4096, 0), 0)
	ended := make(chan error, 1)
	go func() {
		_, err := read.Wait()
		ended <- err
	}()
	until(t, "he stands in line", func() bool {
		r.relay.mu.Lock()
		defer r.relay.mu.Unlock()
		return len(r.relay.line)-r.relay.head == len(all)
	})
	if at := slices.Index(r.relay.line[r.relay.head:], read.o.wake); at != 2 || !asked {
		t.Errorf("he stands behind %d", at)
	}
	until(t, "his read has ended", func() bool {
		r.passOn()
		return len(ended) > 0
	})
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// When all have been served nobody is counted as waiting any more: a count too many would cost every further operation.
func TestWhoWaitedIsNotCountedAnyMore(t *testing.T) {
	firstLaneOnly(t)
	for _, depth := range []int{1, 8, 256} {
		r := openRing(t, &Config{Depth: depth})
		var all sync.WaitGroup
		for range 32 {
			all.Go(func() {
				for range 300 {
					if _, err := r.Nop().Wait(); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		until(t, "the sweeper sleeps", func() bool { return r.asleep.Load() && r.watchers.Load() > 0 }) // it is counted a little later
		if p, w := r.parked.Load(), r.watchers.Load(); p != 0 || w != 1 {
			t.Errorf("depth %d: %d parked, %d watchers", depth, p, w)
		}
		if r.leaders.Load() != 0 || r.relay.active.Load() || r.yielding.Load() {
			t.Errorf("depth %d: %d leaders, relay %v, yielding %v", depth, r.leaders.Load(), r.relay.active.Load(), r.yielding.Load())
		}
	}
}

// A leader who goes while a relay is on its way leaves those who rely on somebody to its last one.
func TestLastOfARelayStandsInForTheLeader(t *testing.T) {
	firstLaneOnly(t)
	notUnderRace(t)
	r := openRing(t, &Config{Depth: 2})
	r.watchers.Add(1)
	defer r.watchers.Add(-1)
	all := sleepers(2)
	r.relay.wake(all[0])
	r.relay.wake(all[1])
	r.passOn()
	if r.armed.Load() {
		t.Error("it isn't over yet")
	}
	r.leaders.Add(1)
	r.passOn()
	if r.armed.Load() {
		t.Error("there is a leader")
	}
	r.leaders.Add(-1)
	if got := awake(all); got != "01" {
		t.Errorf("%q are awake", got)
	}
	r.relay.wake(all[0])
	r.passOn()
	if !r.armed.Load() {
		t.Error("nobody will hear of the next CQE")
	}
}
