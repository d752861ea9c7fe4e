package rio_test

import (
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"weak"

	"github.com/seed-9c58b644/rio"
)

// Backpressure.

func TestStatsCountPlaces(t *testing.T) {
	for depth, capacity := range map[int]int{1: 2, 2: 4, 3: 8, 256: 512} {
		r := newRing(t, &rio.Config{Depth: depth})
		pr, pw := tempPipe(t)
		if s := r.Stats(); s.Capacity != capacity || s.InFlight != 0 || s.Started != 0 || s.Completed != 0 {
			t.Fatalf("depth %d: %+v", depth, s)
		}
		a, b := r.ReadAt(pr, make([]byte, 1), 0), r.ReadAt(pr, make([]byte, 1), 0)
		r.SubmitAll()
		if s := r.Stats(); s.InFlight != 2 || s.Started != 2 || s.Completed != 0 || s.Submitted != 2 || s.Enters == 0 {
			t.Fatalf("depth %d: %+v", depth, s)
		}
		pw.Write([]byte("12"))
		ok(t, a)
		ok(t, b)
		if s := r.Stats(); s.InFlight != 0 || s.Started != 2 || s.Completed != 2 || s.Waits != 0 || s.Overflows != 0 {
			t.Fatalf("depth %d: %+v", depth, s)
		}
	}
}

// One goroutine starts more than there are places: what it has queued must go out first, or it would wait for itself.
func TestOneGoroutineMayStartMoreThanThereArePlaces(t *testing.T) {
	owners(t, func(t *testing.T, own func(*rio.Ring, *os.File) syscall.Conn) {
		shapes(t, func(t *testing.T, r *rio.Ring) {
			f := own(r, tempFile(t, ""))
			var cs []rio.Completion[int]
			for i := range 100 {
				cs = append(cs, r.WriteAt(f, []byte{byte(i)}, int64(i)))
				if s := r.Stats(); s.InFlight > s.Capacity {
					t.Fatalf("%+v", s)
				}
			}
			for _, c := range cs {
				if n := ok(t, c); n != 1 {
					t.Fatal(n)
				}
			}
			got := content(t, f.(interface{ Name() string }))
			for i := range 100 {
				if got[i] != byte(i) {
					t.Fatalf("byte %d is %d", i, got[i])
				}
			}
		})
	})
}

func TestFurtherOperationBlocksUntilAPlaceIsFree(t *testing.T) {
	owners(t, func(t *testing.T, own func(*rio.Ring, *os.File) syscall.Conn) {
		for depth := 1; depth <= 2; depth++ {
			for _, ord := range []rio.Ordering{rio.None, rio.Drain, rio.Link} {
				r := newRing(t, &rio.Config{Depth: depth})
				pr, pw := tempPipe(t)
				p, f := own(r, pr), own(r, tempFile(t, "."))
				var cs []rio.Completion[int]
				for range 2 * depth {
					cs = append(cs, r.ReadAt(p, make([]byte, 1), 0)) // not submitted yet
				}
				passed := make(chan rio.Completion[int])
				go func() { passed <- r.WriteAt(f, []byte("X"), 0, ord) }()
				eventually(t, "somebody waits for a place", func() bool { return r.Stats().Waits == 1 })
				eventually(t, "everything queued was submitted before", func() bool { return r.Stats().Submitted == uint64(2*depth) })
				select {
				case <-passed:
					t.Fatalf("depth %d: there was no place for it", depth)
				default:
				}
				pw.Write(make([]byte, 2*depth)) // drained, it waits for all
				x := <-passed
				ok(t, x)
				for _, c := range cs {
					ok(t, c)
				}
				if got := content(t, f.(interface{ Name() string })); got != "X" {
					t.Fatal(got)
				}
				ok(t, r.Nop())
			}
		}
	})
}

func TestManyGoroutinesShareFewPlaces(t *testing.T) {
	owners(t, func(t *testing.T, own func(*rio.Ring, *os.File) syscall.Conn) {
		shapes(t, func(t *testing.T, r *rio.Ring) {
			f := own(r, tempFile(t, ""))
			n := 60
			if testing.Short() {
				n = 15
			}
			all(16, func(g int) {
				for i := range n {
					off := int64(16*i + g)
					b := []byte{byte(off)}
					ords := []rio.Ordering{rio.None, rio.Drain}
					if n, err := r.WriteAt(f, b, off, ords[(i+g)%2]).Wait(); n != 1 || err != nil {
						t.Error(n, err)
						return
					}
					b[0] = 0xee
					if n, err := r.ReadAt(f, b, off).Wait(); n != 1 || err != nil || b[0] != byte(off) {
						t.Error(n, err, b)
						return
					}
				}
			})
			if s := r.Stats(); s.InFlight != 0 || s.Started != s.Completed {
				t.Errorf("%+v", s)
			}
		})
	})
}

// A chain that needs all places must not starve because single operations always find one.
func TestChainThatNeedsAllPlacesIsNotOvertaken(t *testing.T) {
	owners(t, func(t *testing.T, own func(*rio.Ring, *os.File) syscall.Conn) {
		r := newRing(t, &rio.Config{Depth: 4, CQDepth: 4})
		f := own(r, appendFile(t))
		rounds := 40
		if testing.Short() {
			rounds = 10
		}
		var done atomic.Bool
		all(6, func(g int) {
			if g > 0 {
				for !done.Load() {
					if _, err := r.Nop().Wait(); err != nil {
						t.Error(err)
						return
					}
				}
				return
			}
			defer done.Store(true)
			for range rounds {
				c := r.Chain()
				var last rio.Completion[int]
				for i := range 4 {
					last = c.WriteAt(f, []byte{'0' + byte(i)}, 0)
				}
				if err := c.Submit(); err != nil {
					t.Error(err)
					return
				}
				if _, err := last.Wait(); err != nil {
					t.Error(err)
					return
				}
			}
		})
		if got := content(t, f.(interface{ Name() string })); len(got) != 4*rounds {
			t.Fatalf("%d bytes", len(got))
		}
	})
}

// Those who come later wait behind a chain that waits, though there is a place for them.
func TestNobodyOvertakesInTheLineForPlaces(t *testing.T) {
	r := newRing(t, &rio.Config{Depth: 2, CQDepth: 2})
	pr, pw := tempPipe(t)
	f := own(t, r, appendFile(t))
	a := r.ReadAt(pr, make([]byte, 1), 0)
	c := r.Chain()
	c.WriteAt(f, []byte("1"), 0)
	second := c.WriteAt(f, []byte("2"), 0)
	submitted := make(chan error)
	go func() { submitted <- c.Submit() }()
	eventually(t, "the chain waits", func() bool { return r.Stats().Waits == 1 })
	later := make(chan error)
	go func() {
		_, err := r.WriteAt(f, []byte("3"), 0).Wait()
		later <- err
	}()
	eventually(t, "the later one waits, too", func() bool { return r.Stats().Waits == 2 })
	pw.Write([]byte("p"))
	if err := <-submitted; err != nil {
		t.Fatal(err)
	}
	if err := <-later; err != nil {
		t.Fatal(err)
	}
	ok(t, a)
	ok(t, second)
	// The later one gets a place when the chain's first has ended, so it may run before its second.
	if got := content(t, f); got != "123" && got != "132" {
		t.Fatalf("the file has %q", got)
	}
}

// More chains of foreign files at once than there are places for files.
func TestChainsOfForeignFilesWaitForPlaces(t *testing.T) {
	r := newRing(t, &rio.Config{Depth: 4})
	f := appendFile(t)
	n := 30
	if testing.Short() {
		n = 8
	}
	all(8, func(int) {
		for range n {
			c := r.Chain()
			var w rio.Completion[int]
			for range 4 {
				w = c.WriteAt(f, []byte("x"), 0)
			}
			if err := c.Submit(); err != nil {
				t.Error(err)
				return
			}
			if _, err := w.Wait(); err != nil {
				t.Error(err)
				return
			}
		}
	})
	if got := content(t, f); len(got) != 8*n*4 {
		t.Fatalf("%d bytes", len(got))
	}
}

// What a thousand Conns wait for takes no tickets; when all of that completes at once, the queue overflows, and nothing
// is lost.
func TestThousandPendingConnReadsTakeNoPlaces(t *testing.T) {
	r := newRing(t, &rio.Config{Depth: 2})
	l := listen(t, r, local())
	n := 1000
	if testing.Short() {
		n = 100
	}
	peers := make([]net.Conn, n)
	conns := make([]net.Conn, n)
	for i := range n {
		var err error
		if peers[i], err = net.Dial(local(), l.Addr().String()); err != nil {
			t.Fatal(err)
		}
		defer peers[i].Close()
		if conns[i], err = l.Accept(); err != nil {
			t.Fatal(err)
		}
		defer conns[i].Close()
	}
	started := r.Stats().Started
	got := make(chan byte, n)
	for i := range n {
		go func() {
			b := make([]byte, 1)
			if _, err := conns[i].Read(b); err != nil {
				t.Error(err)
			}
			got <- b[0]
		}()
	}
	eventually(t, "all receives are started", func() bool { return r.Stats().Started == started+uint64(n) })
	if s := r.Stats(); s.InFlight != 0 {
		t.Fatalf("%+v", s)
	}
	for range 10 {
		ok(t, r.Nop())
	}
	want, sum := 0, 0
	for i := range n {
		peers[i].Write([]byte{byte(i)})
		want += int(byte(i))
	}
	for range n {
		sum += int(<-got)
	}
	if sum != want {
		t.Fatalf("other bytes arrived: %d, not %d", sum, want)
	}
}

// Operations that nobody waits for.

func TestOperationThatNobodyWaitsForReachesTheKernel(t *testing.T) {
	owners(t, func(t *testing.T, own func(*rio.Ring, *os.File) syscall.Conn) {
		shapes(t, func(t *testing.T, r *rio.Ring) {
			pr, pw := tempPipe(t)
			w := own(r, pw)
			if h, is := w.(*rio.File); is {
				defer h.Close()
			}
			b := make([]byte, 1)
			for i := range 5 {
				r.WriteAt(w, []byte{byte(i)}, 0, []rio.Ordering{rio.None, rio.Drain, rio.Link}[i%3])
				if _, err := pr.Read(b); err != nil || b[0] != byte(i) {
					t.Fatal(b, err)
				}
				eventually(t, "its completion is read", func() bool { return r.Stats().InFlight == 0 })
				if i == 3 {
					time.Sleep(15 * time.Millisecond) // the sweeper falls asleep; nothing tells when
				}
			}
		})
	})
}

// The sweeper sleeps while a read is pending; its completion is read all the same.
func TestForgottenOperationThatEndsLateLeavesNothing(t *testing.T) {
	r := newRing(t, nil)
	pr, pw := tempPipe(t)
	freed := make(chan weak.Pointer[[512]byte], 1)
	func() {
		buf := new([512]byte)
		freed <- weak.Make(buf)
		r.ReadAt(pr, buf[:], 0)
	}()
	p := <-freed
	time.Sleep(15 * time.Millisecond) // as above
	for range 3 {
		runtime.GC()
		if p.Value() == nil {
			t.Fatal("the kernel's buffer was collected")
		}
	}
	pw.Write([]byte("late"))
	eventually(t, "the completion is read", func() bool { return r.Stats().InFlight == 0 })
	eventually(t, "the buffer is collected", func() bool {
		runtime.GC()
		return p.Value() == nil
	})
	ok(t, r.Nop())
}

func TestForgottenCompletionsLeaveNothing(t *testing.T) {
	shapes(t, func(t *testing.T, r *rio.Ring) {
		f := tempFile(t, "0123456789")
		h := own(t, r, tempFile(t, "0123456789"))
		var last weak.Pointer[[256]byte]
		func() {
			for i := range 200 {
				buf := new([256]byte)
				last = weak.Make(buf)
				switch i % 4 {
				case 0:
					r.ReadAt(f, buf[:], 0)
				case 1:
					r.ReadAt(h, buf[:], 0, rio.Drain)
				case 2:
					r.ReadvAt(h, [][]byte{buf[:10], buf[10:]}, 0)
				case 3:
					c := r.Chain()
					c.ReadAt(f, buf[:5], 0)
					c.ReadAt(h, buf[5:], 0)
					if c.Submit() != nil && r.Stats().Capacity > 2 {
						t.Fatal("not taken")
					}
				}
			}
		}()
		eventually(t, "all have ended", func() bool { return r.Stats().InFlight == 0 })
		eventually(t, "the last buffer is collected", func() bool {
			runtime.GC()
			return last.Value() == nil
		})
	})
}

func TestTryWaitLoopEnds(t *testing.T) {
	owners(t, func(t *testing.T, own func(*rio.Ring, *os.File) syscall.Conn) {
		shapes(t, func(t *testing.T, r *rio.Ring) {
			f := own(r, tempFile(t, "abc"))
			for range 20 {
				b := make([]byte, 3)
				c := r.ReadAt(f, b, 0, rio.Drain)
				n, done, err := c.TryWait()
				for end := time.Now().Add(20 * time.Second); !done && time.Now().Before(end); n, done, err = c.TryWait() {
					runtime.Gosched()
				}
				if !done || n != 3 || err != nil || string(b) != "abc" {
					t.Fatal(n, done, err, b)
				}
				if _, done, err := c.TryWait(); !done || err != rio.ErrWaited {
					t.Fatal(done, err)
				}
			}
		})
	})
}

func TestDoneInASelect(t *testing.T) {
	shapes(t, func(t *testing.T, r *rio.Ring) {
		pr, pw := tempPipe(t)
		for i := range 10 {
			b := make([]byte, 1)
			c := r.ReadAt(pr, b, 0)
			d := c.Done()
			select {
			case <-d:
				t.Fatal("it is done already")
			default:
			}
			if d2 := c.Done(); d2 != d {
				t.Error("there are two channels for one operation")
			}
			if i%2 == 1 {
				time.Sleep(12 * time.Millisecond) // the sweeper sleeps: only the notification is left
			}
			pw.Write([]byte{byte(i)})
			select {
			case <-d:
			case <-time.After(20 * time.Second):
				t.Fatal("Done does not hear of it")
			}
			if n := ok(t, c); n != 1 || b[0] != byte(i) {
				t.Fatal(n, b)
			}
			<-d
			<-c.Done()
			ok(t, r.Nop()) // perhaps in the same place
			<-c.Done()
		}
	})
}

func TestManyDonesAreAllClosed(t *testing.T) {
	r := newRing(t, &rio.Config{Depth: 16})
	pr, pw := tempPipe(t)
	var cs []rio.Completion[int]
	var ds []<-chan struct{}
	for range 32 {
		c := r.ReadAt(pr, make([]byte, 1), 0)
		cs, ds = append(cs, c), append(ds, c.Done())
	}
	pw.Write(make([]byte, 32))
	for i := range ds {
		<-ds[i]
		if _, done, err := cs[i].TryWait(); !done || err != nil {
			t.Fatal(done, err)
		}
	}
}

func TestAcceptedConnectionThatNobodyTookIsClosed(t *testing.T) {
	r, err := rio.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	nl, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer nl.Close()
	rl, err := r.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer rl.Close()
	for _, l := range []net.Listener{nl, rl} {
		dial := func() net.Conn {
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		// Forgotten: the collector finds it.
		func() { r.Accept(l) }()
		c := dial()
		eventually(t, "it is accepted", func() bool { return r.Stats().InFlight == 0 })
		ended := make(chan error)
		go func() {
			_, err := c.Read(make([]byte, 1))
			ended <- err
		}()
		for open := true; open; {
			runtime.GC()
			select {
			case err := <-ended:
				if err == nil {
					t.Error("the peer has read something")
				}
				open = false
			case <-time.After(time.Millisecond):
			}
		}
		c.Close()
	}
	// Kept, but not taken before the Ring's end.
	kept := r.Accept(nl)
	c, err := net.Dial("tcp", nl.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	<-kept.Done()
	r.Close()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Fatal("the peer has read", n, err)
	}
	fails(t, kept, rio.ErrClosed)

	// Taken: it outlives the Ring.
	r = newRing(t, nil)
	taken := r.Accept(nl)
	c2, err := net.Dial("tcp", nl.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c2.Close()
	conn := ok(t, taken)
	r.Close()
	conn.Close()
	if n, err := c2.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Fatal("the peer has read", n, err)
	}
}
