package rio

import (
	"fmt"
	"math"
	"runtime"
	"testing"

	"github.com/seed-9c58b644/rio/internal/hook"
	"github.com/seed-9c58b644/rio/internal/uring"
)

// What may wait within enter, is longer than a moment, or belongs to several, is no business of a brief one.
func TestWhatMayWaitIsNotEnteredBriefly(t *testing.T) {
	long := make([]byte, uring.Few+1)
	for _, c := range []struct {
		name  string
		brief bool
		start func(r *Ring, f *File, a *Conn)
	}{
		{"Nop", true, func(r *Ring, _ *File, _ *Conn) { r.Nop() }},
		{"Send", true, func(r *Ring, _ *File, a *Conn) { r.Send(a, long[1:]) }},
		{"a long Send", false, func(r *Ring, _ *File, a *Conn) { r.Send(a, long) }},
		{"Recv", true, func(r *Ring, _ *File, a *Conn) { r.Recv(a, long[1:]) }},
		{"a long Recv", false, func(r *Ring, _ *File, a *Conn) { r.Recv(a, long) }},
		{"ReadAt", false, func(r *Ring, f *File, _ *Conn) { r.ReadAt(f, Aligned(4096, 0), 0) }},
		{"WriteAt", false, func(r *Ring, f *File, _ *Conn) { r.WriteAt(f, Aligned(4096, 0), 0) }},
		{"Fsync", false, func(r *Ring, f *File, _ *Conn) { r.Fsync(f) }},
		{"Fdatasync", false, func(r *Ring, f *File, _ *Conn) { r.Fdatasync(f) }},
		{"SyncFileRange", false, func(r *Ring, f *File, _ *Conn) { r.SyncFileRange(f, 0, 1) }},
		{"Fallocate", false, func(r *Ring, f *File, _ *Conn) { r.Fallocate(f, 0, 0, 1) }},
		{"what is cancelled", false, func(r *Ring, _ *File, a *Conn) { r.Recv(a, long[1:]).Cancel() }},
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
	if r.useAlone() {
		t.Fatal("two use the ring alone")
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
	if r.useAlone() {
		t.Error("the ring can be used alone, though another waits to use it")
	}
	r.unuseAlone(0)
	if err := <-done; err != nil {
		t.Error(err)
	}

	if !r.use() || r.useAlone() {
		t.Error("the ring can be used alone, though another uses it")
	}
	r.unuse(0)
	if !r.useAlone() || r.tolerate() || !r.use() {
		t.Fatal("who has used it alone doesn't tolerate others")
	}
	r.unuse(0)
	r.unuse(0)
	if n := r.calls.Load() & (2*alone - 1); n != 0 {
		t.Errorf("%#x is left of it", n)
	}
}

// What is published after the look at it, a chain's half above all, is not for a brief enter.
func TestBriefEnterTakesOnlyWhatItHasSeen(t *testing.T) {
	r, f := entered(t, 0)
	nop := r.Nop()
	if !r.useAlone() {
		t.Fatal("somebody uses the ring")
	}
	seen := r.k.SQ.Left(r.k.SQ.Tail())
	chain := r.Chain()
	for i := range 2 {
		chain.WriteAt(f, []byte{byte(i)}, int64(i))
	}
	sync := chain.Fdatasync(f)
	claimed := r.k.SQ.Claimed()
	done := make(chan error)
	go func() { done <- chain.Submit() }()
	until(t, "the chain is published", func() bool { return r.k.SQ.Tail() != claimed })
	published := r.k.SQ.Tail() - claimed
	if errno := r.k.EnterBriefly(seen); errno != 0 {
		t.Error(errno)
	}
	if n := r.k.SQ.Pending(); n != published {
		t.Errorf("of %d it took, %d are left", published, n)
	}
	r.unuseAlone(1)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := nop.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := sync.Wait(); err != nil {
		t.Error(err)
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
	done := make(chan error)
	go func() { done <- r.Close() }()
	until(t, "Close has come", func() bool { return r.closing.Load() })
	for range 100 {
		runtime.Gosched()
	}
	select {
	case err := <-done:
		t.Fatal("Close has not waited: ", err)
	default:
	}
	r.unuseAlone(0)
	if err := <-done; err != nil {
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
