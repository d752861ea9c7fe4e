package rio

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/seed-9c58b644/rio/internal/hook"
	"github.com/seed-9c58b644/rio/internal/uring"
)

// What may wait within enter, is longer than a moment, or belongs to several, is no business of a brief one.
func TestWhatMayWaitIsNotEnteredBriefly(t *testing.T) {
	long := func() []byte { return make([]byte, uring.FewBytes+1) }
	for _, c := range []struct {
		name  string
		brief bool
		start func(r *Ring, f *File, a *Conn)
	}{
		{"Nop", true, func(r *Ring, _ *File, _ *Conn) { r.Nop() }},
		{"Send", true, func(r *Ring, _ *File, a *Conn) { r.Send(a, long()[1:]) }},
		{"a long Send", false, func(r *Ring, _ *File, a *Conn) { r.Send(a, long()) }},
		{"Recv", true, func(r *Ring, _ *File, a *Conn) { r.Recv(a, long()[1:]) }},
		{"a long Recv", false, func(r *Ring, _ *File, a *Conn) { r.Recv(a, long()) }},
		{"ReadAt", false, func(r *Ring, f *File, _ *Conn) { r.ReadAt(f, Aligned(4096, 0), 0) }},
		{"WriteAt", false, func(r *Ring, f *File, _ *Conn) { r.WriteAt(f, Aligned(4096, 0), 0) }},
		{"Fsync", false, func(r *Ring, f *File, _ *Conn) { r.Fsync(f) }},
		{"Fdatasync", false, func(r *Ring, f *File, _ *Conn) { r.Fdatasync(f) }},
		{"SyncFileRange", false, func(r *Ring, f *File, _ *Conn) { r.SyncFileRange(f, 0, 1) }},
		{"Fallocate", false, func(r *Ring, f *File, _ *Conn) { r.Fallocate(f, 0, 0, 1) }},
		{"what is cancelled", false, func(r *Ring, _ *File, a *Conn) { r.Recv(a, long()[1:]).Cancel() }},
		{"a chain", false, func(r *Ring, _ *File, _ *Conn) {
			chain := r.Chain()
			chain.Nop()
			chain.Nop()
			chain.Submit()
		}},
	} {
		r, f := entered(t, O_DIRECT)
		a, _ := socketsOf(t, r)
		if r.Nop().Wait(); !r.mayBeBrief() {
			t.Fatal("nothing is, from the beginning on")
		}
		c.start(r, f, a)
		if r.mayBeBrief() != c.brief {
			t.Errorf("%s: brief is %v", c.name, !c.brief)
		}
		for range ahead + 1 {
			r.Nop().Wait()
		}
		if !r.mayBeBrief() {
			t.Errorf("%s: nothing is brief ever after", c.name)
		}
	}
}

// Of the kinds these are. A poll is none: it asks the file, and that perhaps whoever serves it.
func TestBriefKinds(t *testing.T) {
	want := []kind{kindNop, kindAccept, kindSend, kindRecv, kindRecvNone}
	for k := range numKinds {
		if got := (&op{kind: k}).isBrief(); got != slices.Contains(want, k) {
			t.Errorf("%s: %v", kinds[k].name, got)
		}
	}
}

// entered is a file on a ring that io_uring_enter(2) submits for.
func entered(t *testing.T, flag int) (*Ring, *File) {
	t.Helper()
	firstLaneOnly(t)
	r, f := unsweptFile(t, flag)
	if !r.k.Plain() {
		t.Skip("RIO_BACKEND rules it out")
	}
	return r, f
}

// Places in the queue wrap. What was slow billions of operations ago must not come to lie ahead.
func TestWhatWasSlowLongAgoStaysBehind(t *testing.T) {
	r, _ := entered(t, 0)
	r.slowUntil.Store(r.k.SQ.Claimed() - math.MaxInt32 + plenty)
	for range 2 * plenty {
		if _, err := r.Nop().Wait(); err != nil {
			t.Fatal(err)
		}
	}
	if !r.mayBeBrief() {
		t.Error("what was passed long ago lies ahead")
	}
}

// A brief enter has its P for as long as it takes: it must wait for nobody else's, and nobody's begins meanwhile.
func TestWhoEntersBrieflyIsAlone(t *testing.T) {
	r, f := entered(t, O_DIRECT)
	p := Aligned(4096, 0)
	write := r.WriteAt(f, p, 0)
	if !r.useAlone() {
		t.Fatal("nobody uses the ring, and still it can't be used alone")
	}
	release := sync.OnceFunc(func() { r.unuseAlone(0) })
	defer release()
	if r.useAlone() {
		t.Error("two use the ring alone")
	}
	done := make(chan error)
	go func() {
		n, err := write.Wait()
		if err == nil && n != len(p) {
			err = fmt.Errorf("%d bytes written", n)
		}
		done <- err
	}()
	until(t, "the other comes to submit", func() bool { return r.users() == 2 || r.k.SQ.Pending() == 0 })
	for range 100 {
		runtime.Gosched()
	}
	if n := r.k.SQ.Pending(); n != 1 {
		t.Errorf("%d are to be submitted: he has not waited", n)
	}
	until(t, "who waits for one that is alone counts as having met him", func() bool { // until the sweeper has counted
		go r.afterYou()
		for range 10 {
			runtime.Gosched()
		}
		return r.side.met.Load()
	})
	if r.useAlone() {
		t.Error("the ring can be used alone, though another waits to use it")
	}
	release()
	if err := <-done; err != nil {
		t.Error(err)
	}

	if !r.use() || r.useAlone() {
		t.Error("the ring can be used alone, though another uses it")
	}
	r.unuse(0)
	if !r.useAlone() || r.tolerate() || !r.use() {
		t.Error("who has used it alone doesn't tolerate others")
	}
	r.unuse(0)
	r.unuse(0)
	if n := r.calls.Load() & (2*aloneBit - 1); n != 0 {
		t.Errorf("%#x is left of it", n)
	}
}

// Few that are brief are entered with briefly; what is published after the look at them stays, and what is slow before them is
// seen.
func TestBriefEnterTakesOnlyWhatItHasSeen(t *testing.T) {
	notUnderRace(t) // who waits parks there, and the reaper submits, too
	r, f := entered(t, O_DIRECT)
	looks := 0
	r.onBrief = func() { looks++ }
	for _, c := range []struct{ nops, looks int }{{1, 1}, {mostBrief, 1}, {mostBrief + 1, 0}} {
		looks = 0
		var all []Completion[struct{}]
		for range c.nops {
			all = append(all, r.Nop())
		}
		for _, nop := range all {
			if _, err := nop.Wait(); err != nil {
				t.Error(err)
			}
		}
		if looks != c.looks {
			t.Errorf("%d NOPs: %d brief enters, not %d", c.nops, looks, c.looks)
		}
	}

	p := Aligned(4096, 0)
	var read Completion[int]
	r.onBrief = func() { read = r.ReadAt(f, p, 0) }
	nop := r.Nop()
	r.flush()
	if n := r.k.SQ.Pending(); n != 1 {
		t.Errorf("%d are left of what was published after the look", n)
	}
	looks, r.onBrief = 0, func() { looks++ }
	if _, err := nop.Wait(); err != nil {
		t.Error(err)
	}
	if n, err := read.Wait(); n != len(p) || err != nil {
		t.Error(n, err)
	}

	for range ahead + 1 {
		r.Nop().Wait()
	}
	looks = 0
	read = r.ReadAt(f, p, 0)
	r.flushed.Store(r.k.SQ.Tail()) // somebody is about to submit it
	r.slowUntil.Store(r.k.SQ.Tail())
	nop = r.Nop()
	r.flush()
	if looks != 0 {
		t.Error("what another has promised to submit went along")
	}
	if _, err := nop.Wait(); err != nil {
		t.Error(err)
	}
	if n, err := read.Wait(); n != len(p) || err != nil {
		t.Error(n, err)
	}
}

// Close waits for who uses the ring alone, and nobody does so afterwards.
func TestCloseWaitsForWhoEntersBriefly(t *testing.T) {
	firstLaneOnly(t)
	r, err := newOn(&Config{Backend: IOUring}, hook.Kernel{Manual: true})
	if err != nil {
		t.Skip(err)
	}
	if !r.useAlone() {
		t.Fatal("somebody uses the ring")
	}
	release := sync.OnceFunc(func() { r.unuseAlone(0) })
	defer release()
	left := make(chan struct{})
	go func() {
		r.leave() // of Close, the last that waits: a flush before it would, too
		close(left)
	}()
	until(t, "Close has come", func() bool { return r.gone.Load() })
	for range 100 {
		runtime.Gosched()
	}
	select {
	case <-left:
		t.Error("Close doesn't wait")
	default:
	}
	release()
	<-left
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if r.useAlone() {
		t.Error("a closed ring can be used")
	}
}

// NOPs, one at a time, by one and by 64 goroutines; and bytes through a socket.
func BenchmarkWorthBriefEnters(b *testing.B) {
	for _, what := range []string{"nop", "nop/64goroutines", "socket"} {
		for _, with := range []string{"with", "without"} {
			b.Run(with+"/"+what, func(b *testing.B) {
				r := ringFor(b)
				x, y := socketsOf(b, r)
				if with == "without" {
					r.slowUntil.Store(r.k.SQ.Claimed() + math.MaxInt32/2)
				}
				goroutines, do := 1, func(int) { r.Nop().Wait() }
				switch what {
				case "nop/64goroutines":
					goroutines = 64
				case "socket":
					p := make([]byte, 128)
					do = func(int) {
						r.Send(x, p).Wait()
						if n, err := r.Recv(y, p).Wait(); n != len(p) {
							b.Error(n, err)
						}
					}
				}
				worth(b, r, goroutines, do)
			})
		}
	}
}
