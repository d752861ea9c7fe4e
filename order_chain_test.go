package rio_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
)

func submit(t testing.TB, c *rio.Chain) {
	t.Helper()
	if err := c.Submit(); err != nil {
		t.Fatal(err)
	}
}

func TestChainRunsInItsOrder(t *testing.T) {
	owners(t, func(t *testing.T, own func(*rio.Ring, *os.File) syscall.Conn) {
		shapes(t, func(t *testing.T, r *rio.Ring) {
			n := min(8, max(1, r.Stats().Capacity/2))
			f := own(r, appendFile(t))
			want := ""
			for round := range 20 {
				c := r.Chain()
				var ws []rio.Completion[int]
				var ss []rio.Completion[struct{}]
				for i := range n {
					if i%3 == round%3 { // continued by the ring: the kernel can't be trusted behind it
						ss = append(ss, c.Fdatasync(f))
						continue
					}
					ws = append(ws, c.WriteAt(f, []byte{'0' + byte(i)}, 0))
					want += string(rune('0' + i))
				}
				submit(t, c)
				for i := range ws {
					ok(t, ws[len(ws)-1-i])
				}
				for _, s := range ss {
					ok(t, s)
				}
			}
			if got := content(t, f.(interface{ Name() string })); got != want {
				t.Fatalf("the file has\n%q, not\n%q", got, want)
			}
		})
	})
}

func TestChainStopsAtFirstFailure(t *testing.T) {
	owners(t, func(t *testing.T, own func(*rio.Ring, *os.File) syscall.Conn) {
		r := newRing(t, &rio.Config{Depth: 8})
		f, bad := own(r, appendFile(t)), own(r, readOnly(t))
		for at := range 6 {
			for _, short := range []bool{false, true} {
				c := r.Chain()
				var cs []rio.Completion[int]
				for i := range 6 {
					switch {
					case i == at && short:
						cs = append(cs, c.ReadAt(bad, make([]byte, 100), 0))
					case i == at:
						cs = append(cs, c.WriteAt(bad, []byte("x"), 0))
					default:
						cs = append(cs, c.WriteAt(f, []byte{byte('a' + at)}, 0))
					}
				}
				submit(t, c)
				for i := range cs {
					switch {
					case i < at || i == at && short:
						ok(t, cs[i])
					case i == at:
						fails(t, cs[i], syscall.EBADF)
					default:
						fails(t, cs[i], syscall.ECANCELED)
					}
				}
			}
		}
		if got, want := content(t, f.(interface{ Name() string })), "bbccccddddddeeeeeeeeffffffffff"; got != want {
			t.Fatalf("the file has %q, not %q", got, want)
		}
	})
}

// Others start failing operations with Link on the same Ring all the time: what they cancel is the next one on the Ring,
// never one of a chain, and a chain that fails cancels nobody else's.
func TestNothingGetsIntoAChain(t *testing.T) {
	shapes(t, func(t *testing.T, r *rio.Ring) {
		if r.Stats().Capacity < 4 {
			return
		}
		bad, f := own(t, r, readOnly(t)), own(t, r, tempFile(t, ""))
		n := 150
		if testing.Short() {
			n = 30
		}
		var left, good, cancelled atomic.Int32
		left.Store(3)
		all(6, func(i int) {
			switch i {
			case 0, 1, 2: // chains: good ones of two, bad ones of two
				defer left.Add(-1)
				for k := range n {
					c := r.Chain()
					x := byte(k)
					off := int64(2 * i)
					got := make([]byte, 2)
					w, rd := c.WriteAt(f, []byte{x, x ^ 0xff}, off), c.ReadAt(f, got, off)
					if i == 2 {
						c = r.Chain()
						w, rd = c.WriteAt(bad, []byte{x}, off), c.ReadAt(f, got, off)
					}
					if err := c.Submit(); err != nil {
						t.Error(err)
						return
					}
					_, rerr := rd.Wait()
					_, werr := w.Wait()
					switch {
					case i == 2 && (!is(werr, syscall.EBADF) || !errors.Is(rerr, syscall.ECANCELED)):
						t.Error("a failing chain gave", werr, rerr)
						return
					case i != 2 && (werr != nil || rerr != nil || got[0] != x || got[1] != x^0xff):
						t.Error("a good chain gave", werr, rerr, got)
						return
					}
				}
			case 3, 4:
				for left.Load() > 0 {
					if _, err := r.WriteAt(bad, []byte("x"), 0, rio.Link).Wait(); err == nil {
						t.Error("a read-only file was written to")
					}
				}
			case 5: // linked to, or not: nothing else may happen to them
				for left.Load() > 0 {
					switch _, err := r.Nop().Wait(); {
					case err == nil:
						good.Add(1)
					case errors.Is(err, syscall.ECANCELED):
						cancelled.Add(1)
					default:
						t.Error(err)
					}
				}
			}
		})
		r.Nop() // whatever was linked last
	})
}

func TestFailingChainCancelsNobodyElses(t *testing.T) {
	r := newRing(t, &rio.Config{Depth: 4})
	bad := own(t, r, readOnly(t))
	var left atomic.Int32
	left.Store(2)
	all(4, func(i int) {
		if i < 2 {
			defer left.Add(-1)
			for range 200 {
				c := r.Chain()
				a, b := c.WriteAt(bad, []byte("x"), 0), c.Nop()
				if err := c.Submit(); err != nil {
					t.Error(err)
					return
				}
				if _, err := b.Wait(); !errors.Is(err, syscall.ECANCELED) {
					t.Error(err)
				}
				a.Wait()
			}
			return
		}
		for left.Load() > 0 {
			if _, err := r.Nop().Wait(); err != nil {
				t.Error(err)
				return
			}
		}
	})
}

func TestWaitingForAChainBeforeSubmitIsAnErrorThatUsesNothingUp(t *testing.T) {
	r := newRing(t, nil)
	f := tempFile(t, ".")
	c := r.Chain()
	w := c.WriteAt(f, []byte("W"), 0)
	for range 2 {
		if _, err := w.Wait(); err == nil || errors.Is(err, rio.ErrWaited) {
			t.Fatal(err)
		}
		if _, err := w.WaitContext(t.Context()); err == nil || errors.Is(err, rio.ErrWaited) {
			t.Fatal(err)
		}
		if _, _, err := w.TryWait(); err == nil || errors.Is(err, rio.ErrWaited) {
			t.Fatal(err)
		}
		select {
		case <-w.Done():
			t.Fatal("it is done before Submit")
		default:
		}
	}
	if got := content(t, f); got != "." || r.Stats().Started != 0 {
		t.Fatalf("something was started: %q, %+v", got, r.Stats())
	}
	submit(t, c)
	if n := ok(t, w); n != 1 || content(t, f) != "W" {
		t.Fatal(n, content(t, f))
	}
	fails(t, w, rio.ErrWaited)
}

func TestRefusedChainStartsNothing(t *testing.T) {
	owners(t, func(t *testing.T, own func(*rio.Ring, *os.File) syscall.Conn) {
		r := newRing(t, &rio.Config{Depth: 4})
		f := own(r, appendFile(t))
		gone := appendFile(t)
		gone.Close()
		chains := map[string]func(c *rio.Chain) rio.Completion[int]{
			"too long": func(c *rio.Chain) (w rio.Completion[int]) {
				for range 5 {
					w = c.WriteAt(f, []byte("x"), 0)
				}
				return w
			},
			"negative offset": func(c *rio.Chain) (w rio.Completion[int]) {
				c.WriteAt(f, []byte("x"), 0)
				return c.WriteAt(f, []byte("x"), -1)
			},
			"nil file": func(c *rio.Chain) rio.Completion[int] {
				c.WriteAt(f, []byte("x"), 0)
				return c.WriteAt(nil, []byte("x"), 0)
			},
			"closed file": func(c *rio.Chain) rio.Completion[int] {
				c.WriteAt(f, []byte("x"), 0)
				return c.WriteAt(gone, []byte("x"), 0)
			},
		}
		for name, fill := range chains {
			c := r.Chain()
			w := fill(c)
			err := c.Submit()
			if err == nil {
				t.Fatal(name, "was taken")
			}
			if _, werr := w.Wait(); werr == nil || werr.Error() != err.Error() {
				t.Errorf("%s: Submit says %v, the operation %v", name, err, werr)
			}
			fails(t, w, rio.ErrWaited)
			if c.Submit() == nil {
				t.Error(name, "was taken the second time")
			}
		}
		if r.Chain().Submit() == nil {
			t.Error("an empty chain was taken")
		}
		ok(t, r.Nop())
		if got := content(t, f.(interface{ Name() string })); got != "" || r.Stats().Started != 1 {
			t.Fatalf("something was started: %q, %+v", got, r.Stats())
		}

		c := r.Chain()
		w := c.WriteAt(f, []byte("1"), 0)
		submit(t, c)
		if c.Submit() == nil {
			t.Error("a chain was submitted twice")
		}
		late := c.WriteAt(f, []byte("2"), 0)
		if _, err := late.Wait(); err == nil {
			t.Error("an operation was added after Submit")
		}
		ok(t, w)
		if got := content(t, f.(interface{ Name() string })); got != "1" {
			t.Fatalf("the file has %q", got)
		}
	})
}

func TestChainOnAClosedRing(t *testing.T) {
	r := newRing(t, nil)
	f := tempFile(t, ".")
	c := r.Chain()
	w := c.WriteAt(f, []byte("x"), 0)
	r.Close()
	if err := c.Submit(); !errors.Is(err, rio.ErrClosed) {
		t.Fatal(err)
	}
	fails(t, w, rio.ErrClosed)
	if got := content(t, f); got != "." {
		t.Fatal(got)
	}
}

// The files of a chain are kept by the ring: their owner may close them, and the number be another file's.
func TestChainReachesItsFilesAfterTheyWereClosed(t *testing.T) {
	shapes(t, func(t *testing.T, r *rio.Ring) {
		n := min(r.Stats().Capacity/2, 6)
		dir := t.TempDir()
		for round := range 25 {
			pr, pw := tempPipe(t)
			var files []*os.File
			c := r.Chain()
			var cs []rio.Completion[int]
			for i := range n {
				if i == 0 && n > 1 { // so that the rest has to wait
					c.ReadAt(pr, make([]byte, 1), 0)
					continue
				}
				f, err := os.OpenFile(fmt.Sprintf("%s/%d-%d", dir, round, i), os.O_CREATE|os.O_RDWR, 0o600)
				if err != nil {
					t.Fatal(err)
				}
				files = append(files, f)
				if i%3 == 2 {
					c.Fallocate(f, 0, 0, 2)
				} else {
					cs = append(cs, c.WriteAt(f, []byte("ok"), 0))
				}
			}
			submit(t, c)
			pr.Close()
			for _, f := range files {
				f.Close()
			}
			var others []*os.File // they take the numbers
			for i := range n {
				f, err := os.Create(fmt.Sprintf("%s/other%d", dir, i))
				if err != nil {
					t.Fatal(err)
				}
				others = append(others, f)
			}
			pw.Write([]byte("p"))
			for _, c := range cs {
				if n := ok(t, c); n != 2 {
					t.Fatal(n)
				}
			}
			ok(t, r.Nop(rio.Drain))
			for _, f := range files {
				if b, err := os.ReadFile(f.Name()); err != nil || string(b) != "ok" && string(b) != "\x00\x00" {
					t.Fatalf("%s has %q, %v", f.Name(), b, err)
				}
			}
			for _, f := range others {
				if b, err := os.ReadFile(f.Name()); err != nil || len(b) != 0 {
					t.Fatalf("%s, another file, has %q, %v", f.Name(), b, err)
				}
				f.Close()
			}
		}
	})
}

func TestChainHasEveryOperation(t *testing.T) {
	r := newRing(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f := tempFile(t, "")
	first, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	conn := ok(t, r.Accept(l))
	defer conn.Close()

	var got [3][]byte
	for i := range got {
		got[i] = make([]byte, 3)
	}
	c := r.Chain()
	send, recv := c.Send(first, []byte("abc")), c.Recv(conn, got[0])
	wv := c.WritevAt(f, [][]byte{[]byte("x"), []byte("yz")}, 0)
	rv := c.ReadvAt(f, [][]byte{got[1][:1], got[1][1:]}, 0)
	nop, sync, data, sfr := c.Nop(), c.Fsync(f), c.Fdatasync(f), c.SyncFileRange(f, 0, 3)
	alloc := c.Fallocate(f, 0, 0, 100)
	rd := c.ReadAt(f, got[2], 0)
	acc := c.Accept(l)
	last := c.WriteAt(f, []byte("!"), 99)
	submit(t, c)
	second, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if n := ok(t, last); n != 1 {
		t.Fatal(n)
	}
	peer := ok(t, acc)
	if peer.RemoteAddr().String() != second.LocalAddr().String() {
		t.Error("it accepted", peer.RemoteAddr())
	}
	peer.Close()
	for _, n := range []int{ok(t, send), ok(t, recv), ok(t, wv), ok(t, rv), ok(t, rd)} {
		if n != 3 {
			t.Error("one moved", n, "bytes")
		}
	}
	for _, v := range []rio.Completion[struct{}]{nop, sync, data, sfr, alloc} {
		ok(t, v)
	}
	if string(got[0]) != "abc" || string(got[1]) != "xyz" || string(got[2]) != "xyz" {
		t.Errorf("%q", got)
	}
	if s := content(t, f); len(s) != 100 || s[99] != '!' {
		t.Errorf("the file has %d bytes", len(s))
	}
}

// A Chain that is refused holds none of its files: closing one would wait for ever.
func TestRefusedChainLetsItsFilesGo(t *testing.T) {
	r := newRing(t, nil)
	a, b := openOn(t, r, tempFile(t, "a").Name(), os.O_RDWR), openOn(t, r, tempFile(t, "b").Name(), os.O_RDWR)
	b.Close()
	c := r.Chain()
	c.WriteAt(a, []byte("x"), 0)
	c.WriteAt(b, []byte("x"), 0)
	if err := c.Submit(); !errors.Is(err, os.ErrClosed) {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	go func() { closed <- a.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("Close hangs")
	}
}
