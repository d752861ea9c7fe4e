package rio

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-9c58b644/rio/internal/hook"
	"github.com/seed-9c58b644/rio/internal/uring"
)

// handMade is a file of 64 KiB on an io_uring without a sweeper, with two Ps.
func handMade(t *testing.T, flag int) (*Ring, *File) {
	t.Helper()
	firstLaneOnly(t)
	if os.Getenv("RIO_BACKEND") != "" || os.Getenv("RIO_TEST_SIM") != "" || uring.Race {
		t.Skip("only an io_uring hands anything to workers; the race detector's witnesses want to see all")
	}
	withProcs(t, 2)
	r, f := unsweptFile(t, flag)
	if !r.linux {
		t.Skip(r.because)
	}
	return r, f
}

// What the kernel would hand to a worker needs no enter, and does what it says: the bytes are in the file, the position has
// moved, Stats have it.
func TestWhatWouldGoToAWorkerIsDoneByHand(t *testing.T) {
	for _, c := range []struct {
		name   string
		flag   int
		procs  int32
		do     func(f *File, p []byte) error
		by     bool // hand
		at     int64
		others int32 // are done by hand already
		change func(r *Ring, f *File)
	}{
		{name: "WriteAt", by: true, at: 4096, do: writeAt},
		{name: "Write", by: true, at: 8192, do: write},
		{name: "Write, O_APPEND", flag: os.O_APPEND, by: true, at: 1 << 16, do: write},
		{name: "WriteAt, O_DSYNC", flag: syscall.O_DSYNC, by: true, at: 4096, do: writeAt},
		{name: "WriteAt, O_DIRECT and O_SYNC", flag: O_DIRECT | syscall.O_SYNC, by: true, at: 4096, do: writeAt},
		{name: "WriteAt, O_DIRECT", flag: O_DIRECT, at: 4096, do: writeAt},
		{name: "Sync", by: true, at: -1, do: func(f *File, _ []byte) error { return f.Sync() }},
		{name: "Datasync", by: true, at: -1, do: func(f *File, _ []byte) error { return f.Datasync() }},
		{name: "Datasync, O_DIRECT", flag: O_DIRECT, by: true, at: -1, do: func(f *File, _ []byte) error { return f.Datasync() }},
		{name: "WriteAt, one P", procs: 1, by: true, at: 4096, do: writeAt},
		{name: "WriteAt, O_DSYNC, one P", procs: 1, flag: syscall.O_DSYNC, at: 4096, do: writeAt},
		{name: "Sync, one P", procs: 1, at: -1, do: func(f *File, _ []byte) error { return f.Sync() }},
		{name: "WriteAt, somebody else's", at: 4096, do: writeAt, change: func(_ *Ring, f *File) { f.remote = true }},
		{name: "WriteAt, many at once", at: 4096, do: writeAt, others: hands},
		{name: "Sync, many at once", at: -1, do: func(f *File, _ []byte) error { return f.Sync() }, others: hands},
		{name: "WriteAt, almost many", by: true, at: 4096, do: writeAt, others: hands - 1},
		{name: "durable WriteAt, more than Ps", flag: O_DIRECT | syscall.O_DSYNC, at: 4096, do: writeAt, others: 2},
		{name: "WriteAt, traced", at: 4096, do: writeAt, change: func(*Ring, *File) { TraceInFlight(true) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, f := handMade(t, c.flag)
			defer TraceInFlight(false)
			if c.procs > 0 {
				r.procs.Store(c.procs)
			}
			before := r.Stats()
			now := r.hands.now.Load()
			if c.change != nil {
				c.change(r, f)
			}
			r.hands.now.Add(c.others)
			defer r.hands.now.Store(now)
			p := Aligned(4096, 0)
			copy(p, bytes.Repeat([]byte(c.name), 4096/len(c.name)))
			if err := c.do(f, p); err != nil {
				t.Fatal(err)
			}
			after := r.Stats()
			if by := after.Enters == before.Enters; by != c.by {
				t.Errorf("by hand: %v, not %v", by, c.by)
			}
			if n, m := after.Started-before.Started, after.Completed-before.Completed; n != 1 || m != 1 {
				t.Errorf("Stats have %d more started, %d completed", n, m)
			}
			got, err := os.ReadFile(f.Name())
			if err != nil {
				t.Fatal(err)
			}
			if c.at >= 0 && (int64(len(got)) < c.at+4096 || !bytes.Equal(got[c.at:c.at+4096], p)) {
				t.Error("the file hasn't got what was written")
			}
			if c.name == "Write" {
				if pos, err := f.Seek(0, 1); pos != c.at+4096 || err != nil {
					t.Error("the position is", pos, err)
				}
			}
		})
	}
}

func writeAt(f *File, p []byte) error { return allOf(f.WriteAt(p, 4096)) }

func write(f *File, p []byte) error {
	if _, err := f.Seek(8192, 0); err != nil {
		return err
	}
	return allOf(f.Write(p))
}

func allOf(n int, err error) error {
	if err == nil && n != 4096 {
		err = errors.New("short, without an error")
	}
	return err
}

// Errors are those of the ring, and Stats count what was begun.
func TestErrorsByHandAreThoseOfTheRing(t *testing.T) {
	errs := func(by bool) (errs []string) {
		r, f := handMade(t, O_DIRECT|syscall.O_DSYNC)
		if !by {
			r.hands.now.Add(hands)
			defer r.hands.now.Add(-hands)
		}
		fails := func(began uint64, do func() error) {
			t.Helper()
			before := r.Stats()
			err := do()
			after := r.Stats()
			if err == nil && len(errs) == 0 {
				t.Skip("this file system takes what is not aligned")
			} else if err == nil {
				t.Fatal("no error")
			}
			if n, m := after.Started-before.Started, after.Completed-before.Completed; n != began || m != began {
				t.Errorf("%v: Stats have %d more started, %d completed, not %d", err, n, m, began)
			}
			errs = append(errs, strings.ReplaceAll(err.Error(), filepath.Dir(f.Name()), ""))
		}
		fails(1, func() error { return allOf(f.WriteAt(make([]byte, 8192)[1:4097], 1)) }) // nothing is aligned
		ro, err := r.OpenFile(f.Name(), os.O_RDONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		enters := r.Stats().Enters
		fails(1, func() error { return allOf(ro.WriteAt(make([]byte, 10), 0)) })
		if was := r.Stats().Enters == enters; was != by {
			t.Errorf("by hand: %v, not %v", was, by)
		}
		ro.Close()
		fails(0, func() error { return allOf(ro.WriteAt(make([]byte, 10), 0)) })
		fails(0, func() error { return allOf(ro.Write(make([]byte, 10))) })
		fails(0, ro.Sync)
		return errs
	}
	hand, ring := errs(true), errs(false)
	for i := range hand {
		if hand[i] != ring[i] {
			t.Errorf("by hand: %s\nby the ring: %s", hand[i], ring[i])
		}
	}
}

// Who does one after the other lets others run in time.
func TestWhoWorksByHandLetsOthersRunInTime(t *testing.T) {
	r, f := handMade(t, 0)
	taken := 0
	for i := 0; taken < 2; i++ {
		r.scheduler.breaks.next.Store(0)
		if err := writeAt(f, make([]byte, 4096)); err != nil {
			t.Fatal(err)
		}
		if i > 0 && r.scheduler.breaks.next.Load() > 0 { // the first one looks always
			taken++
		}
		if i == 1<<glance*100 {
			t.Fatal("never, or once")
		}
	}
	if n := r.Stats().Enters; n > 0 {
		t.Errorf("%d enters: that was not by hand", n)
	}
}

// What a thread has submitted may complete only there. So nothing is done by hand while anything is in flight.
func TestNothingIsDoneByHandWhileAnythingIsInFlight(t *testing.T) {
	r, f := handMade(t, 0)
	a, b := socketsOf(t, r)
	p := make([]byte, 1)
	pending := r.Recv(a, p)
	for _, sync := range []func() error{f.Sync, func() error { return writeAt(f, make([]byte, 4096)) }} {
		before := r.Stats().Enters
		if err := sync(); err != nil {
			t.Fatal(err)
		}
		if r.Stats().Enters == before {
			t.Error("by hand, though a Recv is pending")
		}
	}
	if _, err := b.Write([]byte{7}); err != nil {
		t.Fatal(err)
	}
	if n, err := pending.Wait(); n != 1 || err != nil || p[0] != 7 {
		t.Error(n, err, p)
	}
	before := r.Stats().Enters
	if err := f.Sync(); err != nil || r.Stats().Enters != before {
		t.Error("not by hand, though nothing is pending; or", err)
	}
}

// Close waits for it, and nothing new is begun.
func TestCloseWaitsForWhatIsDoneByHand(t *testing.T) {
	r, f := handMade(t, 0)
	if !r.hands.begin(r, hands) {
		t.Fatal("nothing can be done by hand")
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		r.Close()
	}()
	until(t, "Close refuses", func() bool { return r.usable("test") != nil })
	for range 1000 {
		runtime.Gosched() // so that it could end, if nothing held it up
	}
	if r.hands.begin(r, hands) {
		t.Error("something new was begun")
		r.hands.leave(r)
	}
	if err := f.Sync(); !errors.Is(err, ErrClosed) {
		t.Error("Sync on a Ring that closes:", err)
	}
	select {
	case <-gone:
		t.Error("Close has not waited")
	default:
	}
	r.hands.leave(r)
	<-gone
}

// A File that is closed while the kernel writes keeps its descriptor until that has ended: all of it is written, and no other
// file, which would get the number, has any of it.
func TestFileClosedDuringAWriteByHandKeepsItsDescriptor(t *testing.T) {
	p := bytes.Repeat([]byte("all of this, and nowhere else..."), 1<<20)
	for range 50 {
		r, f := handMade(t, 0)
		name := f.Name()
		if err := os.Truncate(name, 0); err != nil {
			t.Fatal(err)
		}
		n, err, done := 0, error(nil), make(chan struct{})
		go func() {
			defer close(done)
			n, err = f.WriteAt(p, 0)
		}()
		within := false
		until(t, "something is written", func() bool {
			i, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			within = i.Size() > 0
			return within
		})
		closed := make(chan error, 1)
		go func() { closed <- f.Close() }()
		until(t, "it is being closed", f.closed)
		other, err2 := os.CreateTemp(t.TempDir(), "") // whose descriptor would be f's
		if err2 != nil {
			t.Fatal(err2)
		}
		defer other.Close()
		i, err2 := os.Stat(name)
		if err2 != nil {
			t.Fatal(err2)
		}
		if within = i.Size() < int64(len(p)); within && other.Fd() == uintptr(f.fd) {
			t.Error("another file has its descriptor")
		}
		<-done
		if err := <-closed; err != nil {
			t.Error("Close:", err)
		}
		got, err2 := os.ReadFile(name)
		if n != len(p) || err != nil || !bytes.Equal(got, p) {
			t.Fatalf("written %d of %d, %v; in the file are %d: %v", n, len(p), err, len(got), err2)
		}
		if i, err := other.Stat(); err != nil || i.Size() > 0 {
			t.Fatal("another file has", i.Size(), err)
		}
		if r.Stats().Enters > 0 {
			t.Error("that was not by hand")
		}
		if within {
			return
		}
	}
	t.Error("it was closed too late each time")
}

// BenchmarkWorthByHand: what a File's methods take by hand, and by the ring.
func BenchmarkWorthByHand(b *testing.B) {
	for _, c := range []struct {
		name string
		do   func(f *File, p []byte, off int64) error
	}{
		{"WriteAt", func(f *File, p []byte, off int64) error { return allOf(f.WriteAt(p, off)) }},
		{"WriteAtAndDatasync", func(f *File, p []byte, off int64) error {
			if err := allOf(f.WriteAt(p, off)); err != nil {
				return err
			}
			return f.Datasync()
		}},
		{"ReadAt", func(f *File, p []byte, off int64) error { return allOf(f.ReadAt(p, off)) }},
	} {
		for _, by := range []string{"hand", "ring"} {
			b.Run(c.name+"/"+by, func(b *testing.B) {
				r, err := newOn(&Config{Backend: IOUring}, hook.Kernel{})
				if err != nil {
					b.Skip(err)
				}
				defer r.Close()
				if by == "ring" {
					r.hands.now.Add(hands)
					defer r.hands.now.Add(-hands)
				}
				f, err := r.OpenFile(filepath.Join(b.TempDir(), "f"), os.O_RDWR|os.O_CREATE, 0o600)
				if err != nil {
					b.Fatal(err)
				}
				defer f.Close()
				if c.name == "ReadAt" { // one that can't tell
					f, _ = memoryFile(b, r, 1024*4096, os.O_RDONLY)
					f.memory = false
				}
				p := make([]byte, 4096)
				i := int64(0)
				for b.Loop() {
					if err := c.do(f, p, i%1024*4096); err != nil {
						b.Fatal(err)
					}
					i++
				}
			})
		}
	}
}
