package rio_test

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
)

func TestCloseStopsAdmission(t *testing.T) {
	r := newRing(t, nil)
	f := tempFile(t, ".")
	h := own(t, r, tempFile(t, "."))
	a, _ := tcpPair(t)
	before := r.Nop()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	ok(t, before)
	fails(t, r.Nop(), rio.ErrClosed)
	fails(t, r.Nop(rio.Link), rio.ErrClosed)
	for _, ord := range []rio.Ordering{rio.None, rio.Link, rio.Drain} {
		fails(t, r.WriteAt(f, []byte("x"), 0, ord), rio.ErrClosed)
		fails(t, r.WriteAt(h, []byte("x"), 0, ord), rio.ErrClosed)
		fails(t, r.Fsync(f, ord), rio.ErrClosed)
		fails(t, r.Recv(a, make([]byte, 1), ord), rio.ErrClosed)
	}
	fails(t, r.Nop(), os.ErrClosed)
	fails(t, r.Nop(), net.ErrClosed)
	if _, err := h.WriteAt([]byte("x"), 0); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
	if _, err := r.OpenFile(f.Name(), os.O_RDONLY, 0); !errors.Is(err, rio.ErrClosed) {
		t.Error(err)
	}
	if err := r.SubmitAll(); !errors.Is(err, rio.ErrClosed) {
		t.Error(err)
	}
	for range 2 {
		if err := r.Close(); err != nil {
			t.Error("Close, again:", err)
		}
	}
	if s := content(t, f) + content(t, h); s != ".." {
		t.Error(s)
	}
}

func TestCloseLetsOperationsOnRegularFilesFinish(t *testing.T) {
	owners(t, func(t *testing.T, own func(*rio.Ring, *os.File) syscall.Conn) {
		for _, cfg := range []*rio.Config{nil, {Depth: 2}, {Depth: 8, SQPoll: true, SQPollIdle: time.Millisecond}} {
			if cfg != nil && cfg.SQPoll && onThreads {
				continue
			}
			r := newRing(t, cfg)
			f := own(r, tempFile(t, ""))
			var cs []rio.Completion[int]
			var chained rio.Completion[struct{}]
			data := bytes.Repeat([]byte("0123456789abcdef"), 4096)
			for i := range 20 {
				ord := []rio.Ordering{rio.None, rio.Drain, rio.Link, rio.None}[i%4]
				cs = append(cs, r.WriteAt(f, data, int64(i*len(data)), ord))
			}
			c := r.Chain()
			chained = c.Fdatasync(f)
			last := c.WriteAt(f, []byte("end"), int64(20*len(data)))
			submit(t, c)
			r.Close()
			if got := content(t, f.(interface{ Name() string })); got != strings.Repeat(string(data), 20)+"end" {
				t.Fatalf("%d bytes are there", len(got))
			}
			for _, c := range cs {
				if n := ok(t, c); n != len(data) {
					t.Fatal(n)
				}
			}
			ok(t, chained)
			ok(t, last)
		}
	})
}

func TestCloseEndsWhatMayWaitForEver(t *testing.T) {
	shapes(t, func(t *testing.T, r *rio.Ring) {
		if r.Stats().Capacity < 8 {
			return
		}
		nl, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer nl.Close()
		a, _ := tcpPair(t)
		b, _ := tcpPair(t)
		pr, _ := tempPipe(t)
		h, _ := tempPipe(t)
		acc, rcv := r.Accept(nl), r.Recv(a, make([]byte, 1))
		p, q := r.ReadAt(pr, make([]byte, 1), 0), r.ReadAt(own(t, r, h), make([]byte, 1), 0)
		snd := r.Send(b, make([]byte, 16<<20)) // nobody reads
		d := r.ReadAt(pr, make([]byte, 1), 0, rio.Drain)
		waiting := make(chan error)
		go func() {
			_, err := p.Wait()
			waiting <- err
		}()
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-waiting; !errors.Is(err, rio.ErrClosed) {
			t.Error(err)
		}
		fails(t, acc, rio.ErrClosed)
		fails(t, rcv, rio.ErrClosed)
		fails(t, q, rio.ErrClosed)
		fails(t, d, rio.ErrClosed)
		if n, err := snd.Wait(); err == nil && n == 16<<20 || err != nil && !errors.Is(err, rio.ErrClosed) {
			t.Error(n, err)
		}
	})
}

func TestCloseResolvesWhatIsHeldBack(t *testing.T) {
	owners(t, func(t *testing.T, own func(*rio.Ring, *os.File) syscall.Conn) {
		for _, chained := range []bool{false, true} {
			r := newRing(t, nil)
			pr, _ := tempPipe(t)
			p, f := own(r, pr), own(r, tempFile(t, "...."))
			var first, next rio.Completion[int]
			var sync rio.Completion[struct{}]
			if chained {
				c := r.Chain()
				first, sync = c.ReadAt(p, make([]byte, 1), 0), c.Fsync(f)
				next = c.WriteAt(f, []byte("X"), 0)
				submit(t, c)
			} else {
				first, sync = r.ReadAt(p, make([]byte, 1), 0, rio.Link), r.Fsync(f, rio.Link)
				next = r.WriteAt(f, []byte("X"), 0)
			}
			d := r.WriteAt(f, []byte("D"), 1, rio.Drain)
			r.Close()
			fails(t, first, rio.ErrClosed)
			for _, err := range []error{errOf(sync.Wait()), errOf(next.Wait())} {
				if !errors.Is(err, syscall.ECANCELED) && !errors.Is(err, rio.ErrClosed) {
					t.Error(err)
				}
			}
			want := "...."
			if _, err := d.Wait(); err == nil { // it is on a regular file, so it may run
				want = ".D.."
			}
			if got := content(t, f.(interface{ Name() string })); got != want {
				t.Errorf("the file has %q, not %q", got, want)
			}
		}
	})
}

func errOf[T any](_ T, err error) error { return err }

func TestCloseFromManyAtOnce(t *testing.T) {
	for range 20 {
		r, err := rio.New(&rio.Config{Depth: 4})
		if err != nil {
			t.Fatal(err)
		}
		pr, pw := tempPipe(t)
		all(6, func(i int) {
			if i < 3 {
				if err := r.Close(); err != nil {
					t.Error(err)
				}
				if s := r.Stats(); s.InFlight != 0 || s.Started != s.Completed {
					t.Errorf("Close has returned: %+v", s)
				}
				return
			}
			for k := 0; ; k++ {
				var err error
				switch k % 3 {
				case 0:
					_, err = r.Nop().Wait()
				case 1:
					r.ReadAt(pr, make([]byte, 1), 0)
				case 2:
					c := r.Chain()
					c.Nop()
					err = c.Submit()
				}
				if errors.Is(err, rio.ErrClosed) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
		pr.Close()
		pw.Close()
	}
}

func TestCloseEndsWhoWaitsForAPlace(t *testing.T) {
	owners(t, func(t *testing.T, own func(*rio.Ring, *os.File) syscall.Conn) {
		r := newRing(t, &rio.Config{Depth: 2, CQDepth: 2})
		pr, _ := tempPipe(t)
		p, f := own(r, pr), own(r, tempFile(t, "."))
		r.ReadAt(p, make([]byte, 1), 0)
		r.ReadAt(p, make([]byte, 1), 0)
		errs := make(chan error, 6)
		for i := range 6 {
			go func() {
				if i%2 == 0 {
					_, err := r.WriteAt(f, []byte("X"), 0, rio.Ordering(i%4)).Wait()
					errs <- err
					return
				}
				c := r.Chain()
				c.WriteAt(f, []byte("X"), 0)
				c.WriteAt(f, []byte("X"), 0)
				errs <- c.Submit()
			}()
		}
		eventually(t, "all wait", func() bool { return r.Stats().Waits == 6 })
		r.Close()
		for range 6 {
			if err := <-errs; !errors.Is(err, rio.ErrClosed) {
				t.Error(err)
			}
		}
		if got := content(t, f.(interface{ Name() string })); got != "." {
			t.Errorf("the file has %q", got)
		}
	})
}

// The kernel writes on after its ring was closed; the Ring doesn't let it.
func TestNothingIsWrittenAfterClose(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	const size, n = 4 << 20, 64
	if err := os.WriteFile(name, bytes.Repeat([]byte{0xAA}, size), 0o600); err != nil {
		t.Fatal(err)
	}
	rounds := 10
	if testing.Short() {
		rounds = 2
	}
	for round := range rounds {
		r, err := rio.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		f, err := r.OpenFile(name, os.O_RDONLY|rio.O_DIRECT, 0)
		if errors.Is(err, syscall.EINVAL) {
			f, err = r.OpenFile(name, os.O_RDONLY, 0) // the file system has no O_DIRECT
		}
		if err != nil {
			t.Fatal(err)
		}
		buf := rio.Aligned(size, 4096)
		var cs []rio.Completion[int]
		for i := range n {
			cs = append(cs, r.ReadAt(f, buf[i*size/n:(i+1)*size/n], int64(i*size/n)))
		}
		if round%2 == 0 {
			r.SubmitAll()
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		for _, c := range cs {
			if n, err := c.Wait(); n != size/64 || err != nil {
				t.Fatal(n, err)
			}
		}
		for i := range buf {
			if buf[i] != 0xAA {
				t.Fatalf("byte %d is not there, though all reads have ended", i)
			}
		}
		clear(buf)
		for range 3 {
			time.Sleep(time.Millisecond) // what the kernel does late, nothing tells of
			for i := range buf {
				if buf[i] != 0 {
					t.Fatalf("byte %d was written after Close", i)
				}
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCloseLeavesNoGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	for i := range 30 {
		r, err := rio.New(&rio.Config{Depth: 4})
		if err != nil {
			t.Fatal(err)
		}
		pr, pw := tempPipe(t)
		if i%2 == 0 {
			r.ReadAt(pr, make([]byte, 1), 0)
			ok(t, r.Nop())
		}
		r.Close()
		pr.Close()
		pw.Close()
	}
	eventually(t, "as many goroutines as before", func() bool { return runtime.NumGoroutine() <= before })
}
