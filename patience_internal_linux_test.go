package rio

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio/internal/hook"
	"github.com/seed-9c58b644/rio/internal/uring"
)

// A touchy file's Control is not to be called within itself: what it holds meanwhile may be a lock.
type touchy struct {
	*os.File
	inside        atomic.Bool
	calls, nested atomic.Int32
}

func (f *touchy) SyscallConn() (syscall.RawConn, error) { return f, nil }
func (*touchy) Read(func(uintptr) bool) error           { return syscall.ENOTSUP }
func (*touchy) Write(func(uintptr) bool) error          { return syscall.ENOTSUP }

func (f *touchy) Control(do func(uintptr)) error {
	if !f.inside.CompareAndSwap(false, true) {
		f.nested.Add(1)
		return os.ErrClosed
	}
	defer f.inside.Store(false)
	f.calls.Add(1)
	do(f.Fd())
	return nil
}

// A busyPuppet ends the first that it has, as if nobody had asked for it, and wants that read before it takes more.
type busyPuppet struct {
	puppet
	busy bool
}

func (k *busyPuppet) Enter(submit, wait, flags uint32, most time.Duration) (int, syscall.Errno) {
	if k.busy {
		k.busy = false
		k.answer(0, errCanceled)
		return 0, syscall.EBUSY
	}
	return k.puppet.Enter(submit, wait, flags, most)
}

// What is to be started again when the kernel wants its CQEs read, and needs somebody's Control for that, waits for the end of the
// Control in which that was found out.
func TestNoControlWithinAnother(t *testing.T) {
	firstLaneOnly(t)
	k := &busyPuppet{}
	r, err := newOn(nil, hook.Kernel{Make: func(q *uring.Queues) uring.Kernel { k.q = q; return k }, Manual: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	of, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer of.Close()
	f := &touchy{File: of}
	first := r.ReadAt(f, make([]byte, 10), 0)
	k.busy = true
	before := f.calls.Load()
	second := r.ReadAt(f, make([]byte, 10), 0)
	if n := f.calls.Load() - before; n != 3 { // to look, for the second, and for the first again
		t.Errorf("%d calls of Control", n)
	}
	if n := f.nested.Load(); n != 0 {
		t.Errorf("%d calls of Control within another", n)
	}
	if len(k.has) != 2 {
		t.Fatalf("the kernel has %d", len(k.has))
	}
	k.answer(0, 2)
	k.answer(0, 1)
	if n, err := first.Wait(); n != 1 || err != nil {
		t.Error(n, err)
	}
	if n, err := second.Wait(); n != 2 || err != nil {
		t.Error(n, err)
	}
}

// Want of memory is tried to be outlived, but not for as long as what passes by itself, and told.
func TestPatienceWithAKernelWithoutMemory(t *testing.T) {
	for _, c := range []struct {
		errno syscall.Errno
		ends  bool // within a second
	}{{syscall.ENOMEM, true}, {uring.EBADR, true}, {syscall.EAGAIN, false}, {syscall.EBUSY, false}, {0, false}} {
		var log strings.Builder
		r := openRing(t, &Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		var p patience
		for range 2 {
			if !p.endure(&r.lane, c.errno) {
				t.Fatalf("%v breaks it at once", c.errno)
			}
		}
		told := 0
		if c.ends {
			told = 1
		}
		if n := strings.Count(log.String(), "no memory"); n != told {
			t.Errorf("%v: told %d times: %s", c.errno, n, &log)
		}
		p.since = p.since.Add(-time.Second)
		if goesOn := p.endure(&r.lane, c.errno); goesOn == c.ends {
			t.Errorf("%v: after a second it goes on: %v", c.errno, goesOn)
		}
		if err := r.broken(); c.ends != errors.Is(err, c.errno) || !c.ends && err != nil {
			t.Errorf("%v: %v", c.errno, err)
		}
	}
}

// Who has asked Go's poller beside somebody who computes, and so has waited for long, doesn't wait for another turn of his.
func TestALeaderWhoHasWaitedForLongLetsNobodyElseRun(t *testing.T) {
	withProcs(t, 1)
	ran := func(began func() time.Time) bool {
		var ran atomic.Bool
		over := make(chan struct{})
		go func() {
			defer close(over)
			ran.Store(true)
		}()
		letTwo(began())
		defer func() { <-over }()
		return ran.Load()
	}
	all, some := true, false
	for range 100 { // the runtime may take the P away, too
		some = ran(time.Now) || some
		all = ran(func() time.Time { return time.Now().Add(-2 * patient) }) && all
	}
	if all || !some {
		t.Errorf("others always run: %v; sometimes, if it hasn't taken long: %v", all, some)
	}
}

// Only what takes longer than a peer would frightens.
func TestALeaderIsNotAfraidOfWhatIsShort(t *testing.T) {
	p := netpoll{gain: askFor}
	for range askFor - 1 {
		if !p.begin() {
			t.Fatal("it isn't asked any more")
		}
		p.end(0, patient)
	}
	p.close()
}

// When the kernel has dropped completions nobody knows whose: all hear of it, or one would wait for ever.
func TestLostCompletionsBreakTheRing(t *testing.T) {
	for name, notice := range map[string]func(*Ring, *puppet) bool{
		"in an enter": func(r *Ring, _ *puppet) bool { var p patience; return p.endure(&r.lane, uring.EBADR) },
		"by who reads": func(r *Ring, k *puppet) bool {
			r.Nop()
			r.SubmitAll()
			k.answer(2, 0)
			r.reap()
			return false
		},
		"by the sweeper": func(r *Ring, _ *puppet) bool { r.sweep(false); return false },
	} {
		t.Run(name, func(t *testing.T) { breaksWhatLoses(t, notice) })
	}
}

func breaksWhatLoses(t *testing.T, notice func(*Ring, *puppet) bool) {
	firstLaneOnly(t)
	r, k, f := onPuppet(t, nil)
	first, second := r.ReadAt(f, make([]byte, 8), 0), r.ReadAt(f, make([]byte, 8), 0)
	r.SubmitAll()
	if len(k.has) != 2 {
		t.Fatalf("the kernel has %d", len(k.has))
	}
	k.q.Lose()
	if notice(r, k) {
		t.Error("it goes on")
	}
	for _, c := range []Completion[int]{first, second} {
		if _, err := c.Wait(); !errors.Is(err, uring.EBADR) {
			t.Error(err)
		}
	}
	if err := r.Close(); !errors.Is(err, uring.EBADR) {
		t.Error("Close:", err)
	}
	own := openRing(t, nil)
	if own.lost() {
		t.Error("some were lost before the first")
	}
	own.Close()
	var p patience
	p.endure(&own.lane, uring.EBADR) // which looks at nothing that is unmapped
}
