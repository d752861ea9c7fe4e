package rio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// memoryFile is a file in memory with n bytes that tell where they are, opened with flag.
func memoryFile(t testing.TB, r *Ring, n, flag int) (*File, []byte) {
	t.Helper()
	fd, err := unix.MemfdCreate("memory", unix.MFD_CLOEXEC)
	if err != nil {
		t.Skip(err)
	}
	of := os.NewFile(uintptr(fd), "memory")
	defer of.Close()
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i>>8 ^ i)
	}
	if _, err := of.Write(data); err != nil {
		t.Fatal(err)
	}
	f, err := r.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fd), flag, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, data
}

// None of them has a device to wait for, so however many are started, and with however few Ps, none goes to a worker.
func TestReadsOfMemoryNeedNoEnter(t *testing.T) {
	for _, procs := range []int{1, 2} {
		r, _ := handMade(t, 0)
		withProcs(t, procs)
		r.procs.Store(int32(procs))
		f, data := memoryFile(t, r, 1<<16, os.O_RDWR)
		before := r.Stats()
		var started [64]Completion[int]
		var bufs [64][1000]byte
		for round := range 3 {
			for i := range started {
				started[i] = r.ReadAt(f, bufs[i][:], int64(1000*i+round))
			}
			for i, c := range started {
				at := 1000*i + round
				n, err := 0, error(nil)
				switch i % 3 {
				case 0:
					n, err = c.Wait()
				case 1:
					n, err = c.WaitContext(t.Context())
				case 2:
					n, _, err = c.TryWait()
				}
				if n != 1000 || err != nil || !bytes.Equal(bufs[i][:], data[at:at+1000]) {
					t.Fatal("read", i, n, err)
				}
				if _, err := c.Wait(); err != ErrWaited {
					t.Fatal("taken twice:", err)
				}
			}
		}
		for i := range 10 {
			p := bufs[0][:]
			if n, err := f.ReadAt(p, int64(i)); n != 1000 || err != nil || !bytes.Equal(p, data[i:i+1000]) {
				t.Fatal("ReadAt", n, err)
			}
			if n, err := f.Read(p); n != 1000 || err != nil || !bytes.Equal(p, data[1000*i:1000*(i+1)]) {
				t.Fatal("Read", n, err)
			}
		}
		// The end of the file is the file's to tell.
		if n, err := r.ReadAt(f, bufs[0][:], 1<<16-46).Wait(); n != 46 || err != nil || !bytes.Equal(bufs[0][:46], data[1<<16-46:]) {
			t.Error("across the end:", n, err)
		}
		if n, err := r.ReadAt(f, bufs[0][:], 1<<16).Wait(); n != 0 || err != nil {
			t.Error("at the end:", n, err)
		}
		if n, err := f.ReadAt(bufs[0][:], 1<<16-46); n != 46 || err != io.EOF {
			t.Error("ReadAt across the end:", n, err)
		}
		after := r.Stats()
		if after.Enters != before.Enters || after.Submitted != before.Submitted {
			t.Errorf("%d Ps: %d enters, for %d", procs, after.Enters-before.Enters, after.Submitted-before.Submitted)
		}
		if n, m := after.Started-before.Started, after.Completed-before.Completed; n != 192+20+4 || m != n {
			t.Errorf("%d Ps: Stats have %d more started, %d completed", procs, n, m)
		}
	}
}

// What is wrong the ring says, as of any file.
func TestErrorsOfMemoryAreThoseOfTheRing(t *testing.T) {
	r := openRing(t, nil)
	f, _ := memoryFile(t, r, 4096, os.O_WRONLY)
	var pe *os.PathError
	if n, err := f.ReadAt(make([]byte, 10), 0); n != 0 || !errors.Is(err, syscall.EBADF) || !errors.As(err, &pe) || pe.Op != "read" {
		t.Error(n, err)
	}
	if n, err := r.ReadAt(f, make([]byte, 10), 0).Wait(); n != 0 || !errors.Is(err, syscall.EBADF) {
		t.Error(n, err)
	}
	f, _ = memoryFile(t, r, 4096, os.O_RDONLY)
	f.Close()
	if n, err := f.ReadAt(make([]byte, 10), 0); n != 0 || !errors.Is(err, os.ErrClosed) {
		t.Error("closed:", n, err)
	}
	f, _ = memoryFile(t, r, 4096, os.O_RDONLY)
	r.Close()
	if n, err := f.ReadAt(make([]byte, 10), 0); n != 0 || !errors.Is(err, ErrClosed) {
		t.Error("Ring closed:", n, err)
	}
	if n, err := r.ReadAt(f, make([]byte, 10), 0).Wait(); n != 0 || !errors.Is(err, ErrClosed) {
		t.Error("Ring closed:", n, err)
	}
}

// A file system that can't tell what it would have to wait for has all its reads go to workers; a File's own are made by hand, if nothing
// is in flight.
func TestWhatCannotTellIsReadByHand(t *testing.T) {
	r, _ := handMade(t, 0)
	const name = "/proc/version"
	want, err := os.ReadFile(name)
	if err != nil {
		t.Skip(err)
	}
	f, err := r.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i, c := range []struct {
		procs   int32
		pending bool
		by      bool // hand
	}{{1, false, false}, {2, false, true}, {1, false, false}, {2, true, false}} {
		r.procs.Store(c.procs)
		if c.pending {
			var fds [2]int
			if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
			from, to := os.NewFile(uintptr(fds[0]), "from"), os.NewFile(uintptr(fds[1]), "to")
			defer from.Close()
			defer to.Close()
			first := r.ReadAt(from, make([]byte, 1), 0)
			defer func() {
				to.Write([]byte{1})
				if n, err := first.Wait(); n != 1 || err != nil {
					t.Error(n, err)
				}
			}()
		}
		before := r.Stats()
		p := make([]byte, len(want)+10)
		if n, err := f.ReadAt(p, 0); n != len(want) || err != io.EOF || !bytes.Equal(p[:n], want) {
			t.Fatal(i, n, err)
		}
		if _, err := f.Seek(5, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if n, err := f.Read(p); n != len(want)-5 || err != nil || !bytes.Equal(p[:n], want[5:]) {
			t.Fatal(i, n, err)
		}
		after := r.Stats()
		if by := after.Enters == before.Enters; by != c.by {
			t.Errorf("%d: by hand: %v, not %v", i, by, c.by)
		}
		if n := after.Started - before.Started; n != after.Completed-before.Completed || n != 3 {
			t.Errorf("%d: Stats have %d more started", i, n)
		}
	}
}

// A File's own reads of what is cached need nothing of the ring but to be counted, and are tried once each.
func TestFilesReadWhatIsCached(t *testing.T) {
	if uring.Race {
		t.Skip("under the race detector every read goes through the ring")
	}
	firstLaneOnly(t)
	r := openRing(t, nil)
	f, data := dataFile(t, r, 4096)
	SkipUnlessItTells(t, f.fd)
	p := make([]byte, 100)
	before := r.Stats()
	for i := range 20 {
		if n, err := f.ReadAt(p, int64(i)); n != 100 || err != nil || !bytes.Equal(p, data[i:i+100]) {
			t.Fatal(n, err)
		}
		if n, err := f.Read(p); n != 100 || err != nil || !bytes.Equal(p, data[100*i:100*i+100]) {
			t.Fatal(n, err)
		}
	}
	after := r.Stats()
	if after.Submitted != before.Submitted || after.Started-before.Started != 40 || after.Completed-before.Completed != 40 {
		t.Errorf("%+v, before 40 cached reads %+v", after, before)
	}
	for _, at := range []int64{0, 4050} { // the end of the file is the ring's to tell
		f.cold.Store(0)
		f.chilled.Store(0)
		if at == 0 {
			f.cold.Store(10)
		}
		began := r.Stats().Submitted
		want := min(100, 4096-int(at))
		if n, err := f.do("read", &call{kind: kindRead, buf: p, off: at}); n != want || err != nil {
			t.Error(n, err)
		}
		if n := r.Stats().Submitted - began; n != 1 {
			t.Errorf("%d SQEs for a read at %d", n, at)
		}
		if cold := f.cold.Load(); cold != map[int64]int32{0: 9, 4050: 1}[at] {
			t.Errorf("after a read at %d the next %d are not tried", at, cold)
		}
	}
}

// What is not for a system call of the caller's own.
func TestWhoReadsHere(t *testing.T) {
	for _, c := range []struct {
		name   string
		flag   int
		change func(r *Ring, f *File)
		here   bool
	}{
		{name: "cached", here: true},
		{name: "others start several at once", here: true, change: func(_ *Ring, f *File) { f.crowd() }},
		{name: "others start several at once, and it was not cached", change: func(_ *Ring, f *File) { f.chill(); f.crowd() }},
		{name: "others start several at once, and it can't tell", change: func(_ *Ring, f *File) { f.crowd(); f.cold.Store(blind) }},
		{name: "was not cached", change: func(_ *Ring, f *File) { f.chill() }},
		{name: "O_DIRECT", flag: O_DIRECT},
		{name: "a Profile", change: func(r *Ring, _ *File) { r.profile = new(profile) }},
		{name: "IOPoll", change: func(r *Ring, _ *File) { r.k.Flags |= uring.SetupIOPoll }},
		{name: "the Ring closes", change: func(r *Ring, _ *File) { r.closing.Store(true) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, f := handMade(t, c.flag)
			SkipUnlessItTells(t, f.fd)
			flags := r.k.Flags
			if c.change != nil {
				c.change(r, f)
			}
			n, ok := f.readHere(&call{kind: kindRead, buf: Aligned(4096, 0)})
			r.profile, r.k.Flags = nil, flags
			r.closing.Store(false)
			if ok != c.here || ok && n != 4096 {
				t.Error(n, ok)
			}
		})
	}
}

// A worker copies much while the caller does something else.
func TestMuchOfMemoryIsReadByTheRing(t *testing.T) {
	r, _ := handMade(t, 0)
	f, data := memoryFile(t, r, 1<<17, os.O_RDWR)
	for _, n := range []int{uring.FewBytes, uring.FewBytes + 1} {
		before := r.Stats().Submitted
		p := make([]byte, n)
		if m, err := r.ReadAt(f, p, 1).Wait(); m != n || err != nil || !bytes.Equal(p, data[1:n+1]) {
			t.Fatal(m, err)
		}
		if by := r.Stats().Submitted > before; by != (n > uring.FewBytes) {
			t.Errorf("%d bytes by the ring: %v", n, by)
		}
	}
}

// When Close has returned the kernel writes to no buffer.
func TestCloseWaitsForReadsOfMemory(t *testing.T) {
	r := openRing(t, nil)
	if uring.Race {
		t.Skip("under the race detector every read goes through the ring")
	}
	f, _ := memoryFile(t, r, 1<<20, os.O_RDONLY)
	if !f.memory {
		t.Skip("no file of the kernel's")
	}
	done := make(chan error)
	go func() {
		p := make([]byte, 1<<20)
		for {
			if _, err := f.ReadAt(p, 0); err != nil {
				done <- err
				return
			}
		}
	}()
	// With one P who reads lets others run between two reads, mostly.
	until(t, "it is counted", func() bool {
		return r.reads.now.Load() > 0 || runtime.GOMAXPROCS(0) == 1 && r.atOnce.count() > 0
	})
	r.Close()
	if n := r.reads.now.Load(); n > 0 {
		t.Error(n, "reads, and the Ring is closed")
	}
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}
