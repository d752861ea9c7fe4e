package riotest

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
	"github.com/seed-9c58b644/rio/internal/hook"
	"github.com/seed-9c58b644/rio/internal/uring"
)

// A spy is a kernel whose enters are counted.
type spy struct {
	*kernel
	mu      sync.Mutex
	failed  map[syscall.Errno]int
	partial int
}

func (k *spy) Enter(submit, wait, flags uint32, limit time.Duration) (int, syscall.Errno) {
	k.s.mu.Lock()
	offered := min(submit, k.q.Published())
	k.s.mu.Unlock()
	n, errno := k.kernel.Enter(submit, wait, flags, limit)
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case errno != 0 && errno != uring.ETIME:
		k.failed[errno]++
	case uint32(n) < offered:
		k.partial++
	}
	return n, errno
}

// spied is a Sim in lockstep with these faults, and the spy in its kernel.
func spied(t *testing.T, seed uint64, f Faults) (*Sim, *spy) {
	t.Helper()
	s := newSim(seed)
	s.faults, s.lockstep = f, true
	k := &spy{failed: map[syscall.Errno]int{}}
	r, err := hook.NewRing(&rio.Config{Depth: 16}, hook.Kernel{Manual: true, Make: func(q *uring.Queues) uring.Kernel {
		k.kernel = s.newKernel(q).(*kernel)
		return k
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.ring = r.(*rio.Ring)
	t.Cleanup(func() { s.Close() })
	return s, k
}

// writeMany writes n blocks of 512 bytes, some at a time, and fails t if one fails.
func writeMany(t *testing.T, s *Sim, n int) {
	t.Helper()
	f, err := s.OpenFile("a", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for at := 0; at < n; {
		var cs []rio.Completion[int]
		for range 8 {
			cs = append(cs, s.ring.WriteAt(f, make([]byte, 512), int64(at)*512))
			at++
		}
		for _, c := range cs {
			if n, err := c.Wait(); n != 512 || err != nil {
				t.Fatal(n, err)
			}
		}
	}
}

// What Faults say happens, and without them nothing does.
func TestFaultsHappen(t *testing.T) {
	for name, c := range map[string]struct {
		faults Faults
		seen   func(*Sim, *spy) bool
	}{
		"Enter": {Faults{Enter: 0.3}, func(_ *Sim, k *spy) bool {
			return k.failed[syscall.EINTR] > 0 && k.failed[syscall.EAGAIN] > 0 && k.failed[syscall.EBUSY] > 0
		}},
		"Partial":  {Faults{Partial: 0.5}, func(_ *Sim, k *spy) bool { return k.partial > 0 }},
		"Unasked":  {Faults{Unasked: 0.2}, func(s *Sim, _ *spy) bool { st := s.ring.Stats(); return st.Submitted > st.Started }},
		"Overflow": {Faults{Overflow: 0.3}, func(s *Sim, _ *spy) bool { return s.ring.Stats().Overflows > 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			s, k := spied(t, 1, c.faults)
			writeMany(t, s, 400)
			if !c.seen(s, k) {
				t.Errorf("it didn't: %v, %d, %+v", k.failed, k.partial, s.ring.Stats())
			}
			s, k = spied(t, 1, Faults{})
			writeMany(t, s, 400)
			if c.seen(s, k) {
				t.Errorf("without it, it did: %v, %d, %+v", k.failed, k.partial, s.ring.Stats())
			}
		})
	}
}

// However often what they begin is interrupted, it is begun again: a nap in between is a nap.
func TestWhatIsInterruptedAgainAndAgainSucceeds(t *testing.T) {
	for _, lockstep := range []bool{true, false} {
		s, err := New(1, &Options{Lockstep: lockstep, Faults: Faults{Unasked: 0.8}})
		if err != nil {
			t.Fatal(err)
		}
		writeMany(t, s, 400)
		s.Close()
	}
}

// A nap takes its time; in lockstep, none.
func TestNapsInLockstepTakeNoTime(t *testing.T) {
	var pins uring.Pins
	defer pins.Release()
	ts := new(uring.Timespec)
	ts.Set(int64(time.Hour))
	for _, lockstep := range []bool{true, false} {
		s, k := spied(t, 1, Faults{})
		s.mu.Lock()
		s.lockstep = lockstep
		r := &request{Request: uring.Request{Op: uring.OpTimeout, Addr: pins.Timespec(ts)}}
		k.nap(r)
		if res, blocked := r.file.perform(r); blocked == lockstep || res != -int32(uring.ETIME) {
			t.Errorf("lockstep %v: %d, it waits: %v", lockstep, res, blocked)
		}
		s.lockstep, k.armed = true, nil
		s.mu.Unlock()
	}
}

// Operations end in another order than they were started in.
func TestOperationsEndInAnyOrder(t *testing.T) {
	var trace strings.Builder
	s, err := New(1, &Options{Lockstep: true, Trace: &trace})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	writeMany(t, s, 400)
	var order []string
	for line := range strings.Lines(trace.String()) {
		_, at, _ := strings.Cut(line, " at ")
		at, _, _ = strings.Cut(at, " ")
		order = append(order, strings.Repeat("0", 10-len(at))+at)
	}
	if len(order) != 400 || slices.IsSorted(order) {
		t.Errorf("%d took effect, in order", len(order))
	}
}

// oneFile is a Sim in lockstep, and a file on its disk.
func oneFile(t *testing.T, seed uint64) (*Sim, *rio.File) {
	t.Helper()
	s, err := New(seed, &Options{Lockstep: true})
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.OpenFile("a", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	return s, f
}

// left runs do on a file of two sectors that hold "old", and is what power cuts may leave of it: "old", "new", or both.
func left(t *testing.T, faults Faults, do func(*Sim, *rio.File)) (found map[string]int) {
	t.Helper()
	found = map[string]int{}
	for seed := range uint64(60) {
		s, f := oneFile(t, seed)
		f.WriteAt(bytes.Repeat([]byte("o"), 2*sectorSize), 0)
		f.Sync()
		s.SetFaults(faults)
		do(s, f)
		b, err := s.Crash().ReadFile("a")
		if err != nil || len(b) != 2*sectorSize {
			t.Fatal(len(b), err)
		}
		switch bytes.Count(b, []byte("n")) {
		case 0:
			found["old"]++
		case len(b):
			found["new"]++
		default:
			found["both"]++
		}
		f.Close()
		s.Close()
	}
	return found
}

func writeNew(t *testing.T, f *rio.File, fails bool) {
	if _, err := f.WriteAt(bytes.Repeat([]byte("n"), 2*sectorSize), 0); (err != nil) != fails {
		t.Error(err)
	}
}

func TestWhatFailedSyncsAndWritesLeave(t *testing.T) {
	for name, c := range map[string]struct {
		faults Faults
		do     func(*Sim, *rio.File)
		wants  []string
	}{
		"sync_file_range promises nothing": {Faults{}, func(s *Sim, f *rio.File) {
			writeNew(t, f, false)
			if _, err := s.ring.SyncFileRange(f, 0, 0, 0).Wait(); err != nil {
				t.Error(err)
			}
		}, []string{"old", "new", "both"}},
		"a sync does": {Faults{}, func(s *Sim, f *rio.File) { writeNew(t, f, false); f.Sync() }, []string{"new"}},
		"a write that fails has written some": {Faults{Fail: 1}, func(s *Sim, f *rio.File) {
			writeNew(t, f, true)
			s.SetFaults(Faults{})
			f.Sync()
		}, []string{"both"}},
		"a sync that fails has made some durable": {Faults{FailAt: 4}, func(s *Sim, f *rio.File) {
			writeNew(t, f, false)
			if f.Sync() == nil {
				t.Error("the sync succeeded")
			}
			s.SetFaults(Faults{})
			f.Sync()
		}, []string{"old", "new", "both"}},
	} {
		found := left(t, c.faults, c.do)
		for _, want := range c.wants {
			if found[want] == 0 {
				t.Errorf("%s: never %s: %v", name, want, found)
			}
		}
		if name == "a sync does" && len(found) != 1 || strings.HasPrefix(name, "a write") && found["new"] != 0 {
			t.Errorf("%s: %v", name, found)
		}
	}
}

// What Crash leaves is what it leaves, however often one asks; and it is the asker's.
func TestCrashTwiceLeavesTheSame(t *testing.T) {
	for seed := range uint64(30) {
		s, f := oneFile(t, seed)
		f.WriteAt(make([]byte, 8192), 0)
		f.Sync()
		f.WriteAt(bytes.Repeat([]byte{1}, 8192), 0)
		first := s.Crash()
		want, _ := first.ReadFile("a")
		first.WriteFile("a", nil)
		for name, d := range map[string]*Disk{"Crash": s.Crash(), "PowerCut": s.PowerCut(9)} {
			if got, err := d.ReadFile("a"); err != nil || !bytes.Equal(got, want) {
				t.Errorf("seed %d: %s has left something else", seed, name)
			}
		}
		f.Close()
		s.Close()
	}
}
