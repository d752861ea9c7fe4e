package riotest_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/seed-9c58b644/rio"
	"github.com/seed-9c58b644/rio/riotest"
)

// start returns a machine that is closed when the test ends, and then has nothing in flight.
func start(t testing.TB, seed uint64, o *riotest.Options) *riotest.Sim {
	t.Helper()
	sim, err := riotest.New(seed, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, sim) })
	return sim
}

func stop(t testing.TB, sim *riotest.Sim) {
	t.Helper()
	if err := sim.Close(); err != nil {
		t.Errorf("seed %d: Close: %v", sim.Seed(), err)
	}
	if s := sim.Ring().Stats(); s.InFlight != 0 || s.Started != s.Completed {
		t.Errorf("seed %d: after Close: %+v", sim.Seed(), s)
	}
}

func open(t testing.TB, sim *riotest.Sim, name string, flag int) *rio.File {
	t.Helper()
	f, err := sim.OpenFile(name, flag, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func lockstep(f riotest.Faults) *riotest.Options { return &riotest.Options{Lockstep: true, Faults: f} }

// What was synced is there after a power cut; what was not may be, sector by sector; nothing else is.
func TestPowerCutKeepsWhatWasSynced(t *testing.T) {
	const size = 8 * 512
	old, fresh := bytes.Repeat([]byte{1}, size), bytes.Repeat([]byte{2}, size)
	sim := start(t, 1, lockstep(riotest.Faults{}))
	f := open(t, sim, "f", os.O_CREATE|os.O_RDWR)
	if _, err := f.WriteAt(old, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	read := func(seed uint64) []byte {
		b, err := sim.PowerCut(seed).ReadFile("f")
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for seed := range uint64(50) {
		if b := read(seed); !bytes.Equal(b, old) {
			t.Fatalf("seed %d: what was synced is gone", seed)
		}
	}
	if _, err := f.WriteAt(fresh[:size/2], 0); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(fresh, size); err != nil { // behind the end
		t.Fatal(err)
	}
	seen := map[string]int{}
	sizes := map[int]bool{}
	for seed := range uint64(200) {
		b := read(seed)
		sizes[len(b)] = true
		if len(b) < size || !bytes.Equal(b[size/2:size], old[size/2:]) {
			t.Fatalf("seed %d: %d bytes, and what was synced is gone", seed, len(b))
		}
		for at := 0; at < size/2; at += 512 {
			switch s := b[at : at+512]; {
			case bytes.Equal(s, old[:512]):
				seen["old"]++
			case bytes.Equal(s, fresh[:512]):
				seen["new"]++
			default:
				t.Fatalf("seed %d: a sector was torn", seed)
			}
		}
		for _, c := range b[size:] {
			if c != 0 && c != 2 {
				t.Fatalf("seed %d: %d behind the old end", seed, c)
			}
			seen[fmt.Sprint("behind ", c)]++
		}
	}
	for _, want := range []string{"old", "new", "behind 0", "behind 2"} {
		if seen[want] == 0 {
			t.Errorf("never seen: %s (%v)", want, seen)
		}
	}
	if !sizes[size] || !sizes[2*size] || len(sizes) < 10 {
		t.Errorf("sizes: %v", sizes)
	}
}

// A sync that fails loses what it was for: it can be read, the next one succeeds, and a power cut shows it. A File says so for ever.
func TestFailedSyncForgets(t *testing.T) {
	data := bytes.Repeat([]byte{7}, 16*512)
	lost := 0
	for seed := range uint64(20) {
		sim := start(t, seed, lockstep(riotest.Faults{}))
		f := open(t, sim, "f", os.O_CREATE|os.O_RDWR)
		f.WriteAt(make([]byte, len(data)), 0)
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		f.WriteAt(data, 0)
		sim.SetFaults(riotest.Faults{FailAt: sim.Operations() + 1, Errno: syscall.ENOSPC})
		if _, err := sim.Ring().Fsync(f).Wait(); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("seed %d: the first fsync: %v", seed, err)
		}
		if _, err := sim.Ring().Fsync(f).Wait(); err != nil {
			t.Fatalf("seed %d: the second fsync: %v", seed, err)
		}
		if err := f.Sync(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("seed %d: File.Sync after a failed one: %v", seed, err)
		}
		p := make([]byte, len(data))
		if _, err := f.ReadAt(p, 0); err != nil || !bytes.Equal(p, data) {
			t.Errorf("seed %d: it can't be read: %v", seed, err)
		}
		if b, _ := sim.Crash().ReadFile("f"); !bytes.Equal(b, data) {
			lost++
		}
	}
	if lost == 0 {
		t.Error("nothing was lost in 20 machines")
	}
}

func TestNamesArriveInTheirOrder(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(100) {
		sim := start(t, seed, lockstep(riotest.Faults{}))
		for _, name := range []string{"a", "b", "c"} {
			f := open(t, sim, name, os.O_CREATE|os.O_RDWR)
			if name == "a" {
				if err := f.Sync(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := sim.Rename("b", "d"); err != nil {
			t.Fatal(err)
		}
		if seed%2 == 0 {
			sim.SyncDir()
		}
		if err := sim.Remove("a"); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(sim.Names()); got != "[c d]" {
			t.Fatalf("names: %s", got)
		}
		names := strings.Join(sim.Crash().Names(), " ")
		seen[names] = true
		if seed%2 == 0 && names != "a c d" && names != "c d" {
			t.Errorf("seed %d: after SyncDir: %s", seed, names)
		}
	}
	for _, want := range []string{"a", "a b", "a b c", "a c d", "c d"} {
		if !seen[want] {
			t.Errorf("never seen: %s", want)
		}
		delete(seen, want)
	}
	if len(seen) > 0 {
		t.Errorf("seen, too: %v", seen)
	}
}

func TestAfterACrashEverythingFails(t *testing.T) {
	sim := start(t, 1, nil)
	f := open(t, sim, "f", os.O_CREATE|os.O_RDWR)
	if _, err := f.WriteAt([]byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	sim.Crash()
	if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, syscall.EIO) {
		t.Errorf("WriteAt: %v", err)
	}
	if _, err := f.ReadAt(make([]byte, 1), 0); !errors.Is(err, syscall.EIO) {
		t.Errorf("ReadAt: %v", err)
	}
	if _, err := sim.OpenFile("f", os.O_RDWR, 0); !errors.Is(err, syscall.EIO) {
		t.Errorf("OpenFile: %v", err)
	}
	if err := f.Truncate(0); !errors.Is(err, syscall.EIO) {
		t.Errorf("Truncate: %v", err)
	}
}

func record(i int) string { return fmt.Sprintf("record %d %s", i, strings.Repeat("x", i*37%900)) }

// recovered expects that the log on disk begins with want, and has at most one more: the one that was being written.
func recovered(t *testing.T, seed uint64, disk *riotest.Disk, want []string, next string) {
	t.Helper()
	sim, err := riotest.New(seed, &riotest.Options{Disk: disk, Lockstep: true})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, sim)
	w, got, err := openWAL(sim)
	if err != nil {
		t.Fatal(err)
	}
	defer w.f.Close()
	if len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
		t.Fatalf("seed %d: %d records were acknowledged, %d are there", seed, len(want), len(got))
	}
	if more := got[len(want):]; len(more) > 1 || len(more) == 1 && more[0] != next {
		t.Fatalf("seed %d: records that nobody wrote: %q", seed, more)
	}
}

// One operation after the other fails, once or from there on; whatever was acknowledged is there after a power cut.
func TestEveryOperationFailsOnce(t *testing.T) {
	const records = 12
	for _, on := range []bool{false, true} {
		for _, faults := range []riotest.Faults{{}, riotest.Everything} {
			failed := 0
			for k := uint64(1); ; k++ {
				faults.FailAt, faults.FailOn = k, on
				sim, err := riotest.New(k, lockstep(faults))
				if err != nil {
					t.Fatal(err)
				}
				var acked []string
				next := ""
				w, _, err := openWAL(sim)
				for i := 0; err == nil && i < records; i++ {
					next = record(i)
					if err = w.append(next); err == nil {
						acked, next = append(acked, next), ""
					}
				}
				reached := sim.Operations() >= k
				if reached != (err != nil) || err != nil && !errors.Is(err, syscall.EIO) {
					t.Fatalf("operation %d fails (reached: %v), and the log says %v", k, reached, err)
				}
				if w != nil {
					w.f.Close()
				}
				disk := sim.Crash()
				stop(t, sim)
				recovered(t, k, disk, acked, next)
				if !reached {
					break
				}
				failed++
			}
			if failed < 2*records {
				t.Errorf("only %d operations have failed", failed)
			}
		}
	}
}

// Several goroutines append to logs of their own, and the power is cut at some moment.
func TestCrashUnderWay(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	for seed := range uint64(rounds) {
		const logs = 4
		sim, err := riotest.New(seed, &riotest.Options{Faults: riotest.Everything, Config: &rio.Config{Depth: 8}})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		var acked [logs][]byte
		limit := 20 + rand.New(rand.NewPCG(seed, 2)).IntN(300)
		crash := make(chan struct{})
		crashing := sync.OnceFunc(func() { close(crash) })
		for i := range logs {
			f, err := sim.OpenFile(fmt.Sprint(i), os.O_CREATE|os.O_RDWR, 0o644)
			if err != nil {
				t.Fatal(err)
			}
			wg.Add(1)
			go func() {
				defer wg.Done()
				defer f.Close()
				for at := range int64(10000) {
					b := byte(at%251) + 1
					if _, err := f.WriteAt([]byte{b}, at); err != nil {
						return
					}
					if err := f.Datasync(); err != nil {
						return
					}
					acked[i] = append(acked[i], b)
					if len(acked[i]) > limit {
						crashing()
					}
				}
			}()
		}
		<-crash
		disk := sim.Crash()
		wg.Wait()
		stop(t, sim)
		for i := range logs {
			b, err := disk.ReadFile(fmt.Sprint(i))
			if len(acked[i]) > 0 && (err != nil || !bytes.HasPrefix(b, acked[i])) {
				t.Fatalf("seed %d: %d bytes of log %d were acknowledged, %d are there, %v", seed, len(acked[i]), i, len(b), err)
			}
		}
	}
}

// Nothing changes on a disk without power, and nothing by an open that a closed Ring refuses.
func TestNothingChangesAfterACrash(t *testing.T) {
	s, err := riotest.New(1, &riotest.Options{Lockstep: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		f, err := s.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("hello"), 0); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	s.Crash()
	errs := map[string]error{"Rename": s.Rename("a", "c"), "Remove": s.Remove("b")}
	_, errs["OpenFile"] = s.OpenFile("a", os.O_TRUNC|os.O_RDWR, 0)
	for what, err := range errs {
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("%s without power: %v", what, err)
		}
	}
	s.SyncDir()
	s.Close()
	for _, name := range []string{"a", "new"} {
		if _, err := s.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600); err == nil {
			t.Errorf("%s is opened by a closed Ring", name)
		}
	}
	if names := fmt.Sprint(s.Names()); names != "[a b]" {
		t.Error("there are", names)
	}
}

// An empty write is none.
func TestAnEmptyWriteMovesNothing(t *testing.T) {
	s, err := riotest.New(1, &riotest.Options{Lockstep: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f, err := s.OpenFile("a", os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.Truncate(1000)
	if n, err := f.Write(nil); n != 0 || err != nil {
		t.Error(n, err)
	}
	if pos, err := f.Seek(0, io.SeekCurrent); pos != 0 || err != nil {
		t.Error("the position is", pos, err)
	}
}
