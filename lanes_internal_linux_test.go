package rio

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio/internal/hook"
	"github.com/seed-9c58b644/rio/internal/uring"
	"golang.org/x/sys/unix"
)

// wide returns a Ring with two side lanes that operations take in turn.
func wide(t *testing.T, cfg *Config) *Ring {
	t.Helper()
	n := spreadLanes
	spreadLanes = 2
	t.Cleanup(func() { spreadLanes = n })
	return openRing(t, cfg)
}

// dataFile returns a file of the Ring's with n bytes, that are in the page cache.
func dataFile(t *testing.T, r *Ring, n int) (*File, []byte) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "data")
	data := bytes.Repeat([]byte("0123456789abcde\n"), (n+15)/16)[:n]
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := r.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, data
}

// SkipUnlessItTells skips t if the file system of fd's file can't tell what is cached, as overlayfs can't.
func SkipUnlessItTells(t *testing.T, fd int) {
	t.Helper()
	if _, errno := uring.ReadNow(fd, make([]byte, 1), 0); errno == syscall.EOPNOTSUPP {
		t.Skip("the file system of the temporary directory can't tell what is cached")
	}
}

// written is how many SQEs each lane has had.
func written(r *Ring) (n []uint64) {
	for l := range r.lanes() {
		l.lock()
		n = append(n, l.sq.written)
		l.unlock()
	}
	return n
}

func TestLanesShareTheWork(t *testing.T) {
	r := wide(t, nil)
	before := written(r)
	var cs []Completion[struct{}]
	for range 30 {
		cs = append(cs, r.Nop())
	}
	for _, c := range cs {
		if _, err := c.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	after := written(r)
	if len(after) != 3 {
		t.Fatalf("%d lanes", len(after))
	}
	for i := range after {
		if after[i]-before[i] != 10 {
			t.Errorf("lane %d had %d of 30 NOPs", i, after[i]-before[i])
		}
	}
}

func TestSideLanesOpenWhenSeveralSubmitAtOnce(t *testing.T) {
	firstLaneOnly(t)
	if runtime.GOMAXPROCS(0) < 2 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	}
	r := openRing(t, nil)
	for range 1000 {
		if _, err := r.Nop().Wait(); err != nil {
			t.Fatal(err)
		}
	}
	if r.sides() != nil {
		t.Fatal("one goroutine has opened side lanes")
	}
	// Somebody who is about to submit, whenever anybody is.
	if !r.use() {
		t.Fatal("the ring is closed")
	}
	defer r.unuse(0)
	for deadline := time.Now().Add(time.Minute); r.sides() == nil && time.Now().Before(deadline); {
		if _, err := r.Nop().Wait(); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(r.sides()); n != runtime.GOMAXPROCS(0)-1 {
		t.Errorf("%d side lanes, GOMAXPROCS is %d", n, runtime.GOMAXPROCS(0))
	}
}

// Those that the relay keeps on one P never meet.
func TestSideLanesOpenForManyWhoWaitForEachOther(t *testing.T) {
	firstLaneOnly(t)
	if uring.Race {
		t.Skip("under the race detector there is no relay")
	}
	if runtime.GOMAXPROCS(0) < 2 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	}
	defer func(n uint64) { crowd = n }(crowd)
	crowd = 8
	setHandOver(t, 0) // on a machine that has other things to do they may be too few at a time to wait for each other
	r, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var all sync.WaitGroup
	deadline := time.Now().Add(time.Minute)
	for range 16 {
		all.Go(func() {
			for r.sides() == nil && time.Now().Before(deadline) {
				if _, err := r.Nop().Wait(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if n := len(r.sides()); n != runtime.GOMAXPROCS(0)-1 {
		t.Errorf("%d side lanes, GOMAXPROCS is %d", n, runtime.GOMAXPROCS(0))
	}
}

// What side lanes don't carry is no reason for them, nor is what one goroutine does.
func TestWhoGathersWhatOnOneP(t *testing.T) {
	firstLaneOnly(t)
	r, f := unsweptFile(t, 0)
	device, err := r.OpenFile(f.Name(), os.O_RDWR|O_DIRECT, 0)
	if err != nil {
		t.Skip(err)
	}
	defer device.Close()
	a, b := socketsOf(t, r)
	buf := Aligned(4096, 0)
	chain := func() {
		c := r.Chain()
		c.Nop()
		c.Nop()
		c.Submit()
	}
	for _, c := range []struct {
		name  string
		start func()
		want  uint64
	}{
		{"nop", func() { r.Nop() }, 1},
		{"write", func() { r.WriteAt(f, buf, 0) }, 1},
		{"with a successor", func() { r.Nop(Link); r.Nop() }, 0},
		{"drained", func() { r.Nop(Drain) }, 0},
		{"chain", chain, 0},
		{"device", func() { r.WriteAt(device, buf, 0) }, 0},
		{"message", func() { r.Recv(a, make([]byte, 1)); r.Send(b, buf[:1]) }, 0},
	} {
		loose, direct := r.sq.loose, r.sq.direct
		c.start()
		if got := r.sq.loose - loose - (r.sq.direct - direct); got != c.want {
			t.Errorf("%s: %d more that side lanes would carry", c.name, got)
		}
		if _, err := r.Nop(Drain).Wait(); err != nil {
			t.Error(err)
		}
	}

	s, l := &sideLanes{}, &lane{}
	for _, c := range []struct {
		ops   uint64
		wakes uint32
		want  bool
	}{
		{crowd, uint32(crowd), true},
		{crowd - 1, uint32(crowd), false},
		{8 * crowd, uint32(crowd), true},
		{8 * crowd, uint32(crowd) - 1, false}, // one goroutine's, but for a few
		{0, 10 * uint32(crowd), false},        // what side lanes don't carry
	} {
		l.sq.loose += c.ops
		l.relay.wakes += c.wakes
		if got := s.gathers(l); got != c.want {
			t.Errorf("%d operations, %d woken: %t", c.ops, c.wakes, got)
		}
	}
	l.sq.loose += 10 * crowd
	l.sq.direct += 10 * crowd
	l.relay.wakes += 10 * uint32(crowd)
	if s.gathers(l) {
		t.Error("what is on a device counts")
	}
}

// With one P there is nobody to share with; the day there are more is not put off by how long that was.
func TestSideLanesOpenWhenThereAreMorePs(t *testing.T) {
	firstLaneOnly(t)
	r, err := newOn(&Config{Backend: IOUring}, hook.Kernel{Manual: true})
	if err != nil {
		t.Skip(err)
	}
	defer r.Close()
	tick := func(procs int32) {
		r.procs.Store(procs)
		r.side.met.Store(true)
		r.weigh()
	}
	for range 10 * contention {
		tick(1)
	}
	if r.sides() != nil {
		t.Error("with one P there are side lanes")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	if tick(2); len(r.sides()) != 1 {
		t.Errorf("with two there are %d", len(r.sides()))
	}
}

func TestQueuesForAFewHaveNoSideLanes(t *testing.T) {
	if r := wide(t, &Config{Depth: 1}); r.sides() != nil {
		t.Error("a Ring of depth 1 has side lanes")
	}
}

// The tickets are the Ring's: all lanes together have no more in flight than one may.
func TestLanesShareTheTickets(t *testing.T) {
	r := wide(t, &Config{Depth: 32, CQDepth: 64})
	var cs []Completion[struct{}]
	for range 64 {
		cs = append(cs, r.Nop())
	}
	if s := r.Stats(); s.Capacity != 64 || s.InFlight+int(s.Completed) != 64 {
		t.Errorf("%+v", s)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 500 {
				c := r.Nop()
				if n := r.Stats().InFlight; n > 64 {
					t.Errorf("%d in flight", n)
				}
				if _, err := c.Wait(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for _, c := range cs {
		if _, err := c.Wait(); err != nil {
			t.Error(err)
		}
	}
	if n := r.freeTickets(); n != 64 {
		t.Errorf("%d tickets are left of 64", n)
	}
}

// A Drain waits for what was started on side lanes, too: here for writes whose bytes the drained read must see.
func TestDrainWaitsForAllLanes(t *testing.T) {
	r := wide(t, nil)
	f, _ := dataFile(t, r, 16*64)
	buf := make([]byte, 16*64)
	for round := range 50 {
		want := bytes.Repeat([]byte{byte('a' + round%26)}, len(buf))
		for i := range 64 {
			r.WriteAt(f, want[16*i:16*i+16], int64(16*i))
		}
		n, err := r.ReadAt(f, buf, 0, Drain).Wait()
		if n != len(buf) || err != nil || !bytes.Equal(buf, want) {
			t.Fatalf("round %d: %d, %v, %q", round, n, err, buf)
		}
	}
}

// Whatever lane its P has, the next operation is the successor of a Link.
func TestLinkHoldsAcrossLanes(t *testing.T) {
	r := wide(t, nil)
	f, _ := dataFile(t, r, 16)
	for range 30 {
		short := r.ReadAt(f, make([]byte, 100), 0, Link)
		next := r.ReadAt(f, make([]byte, 4), 0)
		free := r.ReadAt(f, make([]byte, 4), 0)
		if n, err := short.Wait(); n != 16 || err != nil {
			t.Fatal(n, err)
		}
		if _, err := next.Wait(); !errors.Is(err, syscall.ECANCELED) {
			t.Fatal("behind a short read:", err)
		}
		if n, err := free.Wait(); n != 4 || err != nil {
			t.Fatal(n, err)
		}
	}
}

func TestCachedReadsNeedNoEnter(t *testing.T) {
	firstLaneOnly(t)
	if uring.Race {
		t.Skip("under the race detector every read goes through the ring")
	}
	r := openRing(t, nil)
	f, data := dataFile(t, r, 4096)
	SkipUnlessItTells(t, f.fd)
	buf := make([]byte, 100)
	before := r.Stats()
	for i := range 20 {
		n, err := r.ReadAt(f, buf, int64(100*i)).Wait()
		if n != 100 || err != nil || !bytes.Equal(buf, data[100*i:100*i+100]) {
			t.Fatal(n, err, string(buf))
		}
	}
	after := r.Stats()
	if after.Submitted != before.Submitted || after.Started-before.Started != 20 || after.Completed-before.Completed != 20 {
		t.Errorf("%+v, before 20 cached reads %+v", after, before)
	}
	// The end of the file is the ring's to tell; and so is what follows a Link.
	if n, err := r.ReadAt(f, buf, 4050).Wait(); n != 46 || err != nil {
		t.Error(n, err)
	}
	if got := r.Stats().Submitted - after.Submitted; got != 1 {
		t.Errorf("%d SQEs for a read across the end", got)
	}
}

// What is not in the cache, or only in part, is read by the ring, in full.
func TestUncachedReadsGoToTheRing(t *testing.T) {
	r := openRing(t, nil)
	f, data := dataFile(t, r, 1<<20)
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	for round := range 20 {
		if err := unix.Fadvise(f.fd, 0, 0, unix.FADV_DONTNEED); err != nil {
			t.Skip(err)
		}
		if round%2 == 1 { // the first page is cached, by a read that may bring some more
			if _, err := f.ReadAt(make([]byte, 1), 0); err != nil {
				t.Fatal(err)
			}
		}
		f.cold.Store(0)
		buf := make([]byte, len(data))
		if n, err := r.ReadAt(f, buf, 0).Wait(); n != len(data) || err != nil || !bytes.Equal(buf, data) {
			t.Fatalf("round %d: %d bytes, %v", round, n, err)
		}
	}
}

func TestColdFilesAreTriedLessOften(t *testing.T) {
	h := new(handle)
	tries := 0
	for range 10000 {
		if h.warm() {
			tries++
			h.chill()
		}
	}
	if tries < 10 || tries > 30 {
		t.Errorf("%d tries in 10000 reads", tries)
	}
	h.cold.Store(never)
	for range 10 {
		if h.warm() {
			t.Fatal("a file that can't tell was tried again")
		}
	}
}

// Several started at once are cheaper in one enter. It is remembered of a file, until they are started one by one again.
func TestBurstsOfCachedReadsGoTogether(t *testing.T) {
	firstLaneOnly(t)
	if uring.Race {
		t.Skip("under the race detector every read goes through the ring")
	}
	withProcs(t, 1) // each P has results of its own
	r := openRing(t, nil)
	f, data := dataFile(t, r, 4096)
	SkipUnlessItTells(t, f.fd)
	cs, bufs := make([]Completion[int], 8), make([][64]byte, 8)
	read := func(together, times int) (toRing uint64) {
		t.Helper()
		before := r.Stats().Submitted
		for range times {
			for i := range together {
				cs[i] = r.ReadAt(f, bufs[i][:], int64(i))
			}
			for i := range together {
				if n, err := cs[i].Wait(); n != 64 || err != nil || !bytes.Equal(bufs[i][:], data[i:i+64]) {
					t.Fatal(n, err)
				}
			}
		}
		return r.Stats().Submitted - before
	}
	if n := read(8, 1); n > 8-burst || n < 4 { // a collection may take the results from the P
		t.Errorf("%d of the first eight went to the ring", n)
	}
	read(8, 500)
	if n := read(8, 500); n < 3900 {
		t.Errorf("when that is known %d of 4000 went to the ring", n)
	}
	if n := read(burst, 2000); n > 2*coldest {
		t.Errorf("%d of 4000 went to the ring that were started by %d", n, burst)
	}
	read(1, coldest+steady)
	if n := read(1, 1000); n > 0 {
		t.Errorf("one by one %d of 1000 went to the ring", n)
	}
	read(8, 1)
	if n := read(1, 100); n > 50 {
		t.Errorf("after one burst %d of 100 went to the ring", n)
	}
}

// What is remembered of one file is not put down to another.
func TestBurstsOfOneFileAreNotAnothers(t *testing.T) {
	firstLaneOnly(t)
	if uring.Race {
		t.Skip("under the race detector every read goes through the ring")
	}
	withProcs(t, 1)
	r := openRing(t, nil)
	many, _ := dataFile(t, r, 64)
	SkipUnlessItTells(t, many.fd)
	one, _ := dataFile(t, r, 64)
	var bufs [8][64]byte
	start := func(f *File, i int) Completion[int] { return r.ReadAt(f, bufs[i][:], 0) }
	take := func(c Completion[int]) {
		t.Helper()
		if n, err := c.Wait(); n != 64 || err != nil {
			t.Fatal(n, err)
		}
	}

	for range 300 { // bursts of one, and one by one of the other in between
		var cs [8]Completion[int]
		for i := range cs {
			cs[i] = start(many, i)
		}
		for _, c := range cs {
			take(c)
		}
		for range 2 * steady {
			take(start(one, 0))
		}
	}
	if many.crowded.Load() < 100 {
		t.Error("bursts are forgotten, because others read one by one")
	}

	// Some hold results of one file: reads of the other don't end at once, for a while.
	many.cold.Store(0)
	var held [burst]Completion[int]
	for i := range held {
		held[i] = start(many, i)
	}
	before := r.Stats().Submitted
	for range 1000 {
		take(start(one, burst))
	}
	if n := r.Stats().Submitted - before; n > 100 || one.crowded.Load() != 0 {
		t.Errorf("%d of 1000 went to the ring, since results of another file were not taken; crowded %d", n, one.crowded.Load())
	}
	for _, c := range held {
		take(c)
	}
}

func TestCachedReadOfWhatIsClosedIsAnError(t *testing.T) {
	r := openRing(t, nil)
	f, _ := dataFile(t, r, 16)
	buf := make([]byte, 4)
	if _, err := r.ReadAt(f, buf, 0).Wait(); err != nil {
		t.Fatal(err)
	}
	g, _ := dataFile(t, r, 16)
	f.Close()
	if _, err := r.ReadAt(f, buf, 0).Wait(); !errors.Is(err, os.ErrClosed) {
		t.Error("a closed file:", err)
	}
	r.Close()
	if _, err := r.ReadAt(g, buf, 0).Wait(); !errors.Is(err, ErrClosed) {
		t.Error("a closed Ring:", err)
	}
}

// Each result is its Completion's own, however it is taken, if it is taken at all, and however often its op was used.
func TestResultsOfCachedReadsAreTakenOnce(t *testing.T) {
	if uring.Race {
		t.Skip("under the race detector every read goes through the ring")
	}
	r := openRing(t, nil)
	f, data := dataFile(t, r, 4096)
	SkipUnlessItTells(t, f.fd)
	read := func(i int) (Completion[int], []byte) {
		buf := make([]byte, 1+i%50)
		return r.ReadAt(f, buf, int64(i)), buf
	}
	check := func(i, n int, err error, buf []byte) {
		t.Helper()
		if n != 1+i%50 || err != nil || !bytes.Equal(buf, data[i:i+n]) {
			t.Fatalf("read %d: %d, %v, %q", i, n, err, buf)
		}
	}
	var used []Completion[int]
	for i := range 2000 {
		c, buf := read(i)
		var n int
		var err error
		switch i % 5 {
		case 0:
			n, err = c.Wait()
		case 1:
			n, err = c.WaitContext(t.Context())
		case 2:
			var ok bool
			if n, ok, err = c.TryWait(); !ok && err == nil {
				n, err = c.Wait()
			}
		case 3:
			<-c.Done()
			n, err = c.Wait()
		case 4:
			if err = c.Cancel(); err == nil {
				n, err = c.Wait()
			}
		}
		check(i, n, err, buf)
		used = append(used, c)
	}
	for i, c := range used {
		if _, err := c.Wait(); err != ErrWaited {
			t.Fatalf("read %d is taken twice: %v", i, err)
		}
	}

	// Forgotten results are in the way of reads that end at once, but of no read; and not for ever.
	for i := range 100 {
		read(i)
	}
	for i := range 100 {
		c, buf := read(i)
		n, err := c.Wait()
		check(i, n, err, buf)
	}
	a := r.atOnce.get()
	a.missed = forgotten
	for i := range a.ops {
		a.next = i
		if !a.any(&r.lane, &f.handle) || a.ops[i].state.Load() != 0 {
			t.Error("a forgotten result was not given up")
		}
		a.missed = forgotten
	}

	// The last generation of an op is nobody's.
	a = &results{}
	a.any(&r.lane, &f.handle)
	last := a.ops[0]
	last.born = lastGen - 1
	last.state.Store((lastGen - 1) << genShift)
	if !a.any(&r.lane, &f.handle) || a.ops[0] != last {
		t.Error("the generation before the last was not used")
	}
	o, gen := a.put(&r.atOnce, &f.handle, 7)
	if n, err := (Completion[int]{pending{o: o, gen: gen}}).Wait(); n != 7 || err != nil {
		t.Error(n, err)
	}
	a.next = 0
	if !a.any(&r.lane, &f.handle) || a.ops[0] == last {
		t.Error("an op was used again after its last generation")
	}
}

// Lanes that can't be opened are not tried again: the sweeper waits for the kernel's memory meanwhile, and others for the sweeper.
func TestSideLanesThatCantBeOpenedAreTriedOnce(t *testing.T) {
	r := openRing(t, nil)
	if r.side.most == 0 || r.side.open.Load() != nil || kernelOfTests.Make != nil {
		t.Skip("this ring has none, or as many as it likes")
	}
	r.side.config.Entries = 1 << 20 // EINVAL
	r.widen(1)
	if r.side.most != 0 || len(r.sides()) != 0 {
		t.Errorf("%d lanes, and %d to be tried", len(r.sides()), r.side.most)
	}
}

// Each lane tells a Profile what it has done.
func TestAProfileCountsWhatAllLanesDo(t *testing.T) {
	defer func(n int) { spreadLanes = n }(spreadLanes)
	spreadLanes = 3
	var out strings.Builder
	r, err := New(&Config{Profile: &out})
	if err != nil {
		t.Fatal(err)
	}
	const gs, each = 8, 300
	var wg sync.WaitGroup
	for range gs {
		wg.Go(func() {
			for range each {
				r.Nop().Wait()
			}
		})
	}
	wg.Wait()
	r.Close()
	if fields := strings.Fields(out.String()); !slices.Contains(fields, strconv.Itoa(gs*each)) {
		t.Errorf("not %d: %s", gs*each, &out)
	}
}
