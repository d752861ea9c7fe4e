package rio_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
)

func TestCancelEndsWhatWaits(t *testing.T) {
	owners(t, func(t *testing.T, own func(*rio.Ring, *os.File) syscall.Conn) {
		shapes(t, func(t *testing.T, r *rio.Ring) {
			pr, pw := tempPipe(t)
			p := own(r, pr)
			for i := range 20 {
				c := r.ReadAt(p, make([]byte, 1), 0)
				if i%2 == 0 {
					r.SubmitAll()
				}
				for range 2 { // twice is once
					if err := c.Cancel(); err != nil {
						t.Fatal(err)
					}
				}
				fails(t, c, syscall.ECANCELED)
				if err := c.Cancel(); err != nil {
					t.Fatal(err)
				}
			}
			c := r.ReadAt(p, make([]byte, 1), 0) // nothing was eaten, and nothing is cancelled that shouldn't be
			pw.Write([]byte("p"))
			if n := ok(t, c); n != 1 {
				t.Fatal(n)
			}
		})
	})
}

func TestCancelEndsAcceptAndRecv(t *testing.T) {
	shapes(t, func(t *testing.T, r *rio.Ring) {
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
			c := r.Accept(l)
			c.Cancel()
			fails(t, c, syscall.ECANCELED)
			peer, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer peer.Close()
			conn := ok(t, r.Accept(l)) // the connection is still there for the next one
			defer conn.Close()
			rc := r.Recv(conn, make([]byte, 1))
			rc.Cancel()
			fails(t, rc, syscall.ECANCELED)
			peer.Write([]byte("x"))
			b := make([]byte, 1)
			if n := ok(t, r.Recv(conn, b)); n != 1 || b[0] != 'x' {
				t.Fatal(n, b)
			}
		}
	})
}

func TestCancelOfWhatIsDoneKeepsItsResult(t *testing.T) {
	shapes(t, func(t *testing.T, r *rio.Ring) {
		f := tempFile(t, "abc")
		for range 20 {
			c := r.ReadAt(f, make([]byte, 3), 0)
			<-c.Done()
			if err := c.Cancel(); err != nil {
				t.Fatal(err)
			}
			pr, _ := tempPipe(t) // the next operation may lie where c did
			next := r.ReadAt(pr, make([]byte, 1), 0)
			if n := ok(t, c); n != 3 {
				t.Fatal(n)
			}
			again := r.ReadAt(f, make([]byte, 3), 0)
			if err := c.Cancel(); err != nil {
				t.Fatal(err)
			}
			ok(t, again)
			pending(t, next)
			next.Cancel()
			fails(t, next, syscall.ECANCELED)
			pr.Close()
		}
	})
}

func TestCancelFromManyWhileOneWaits(t *testing.T) {
	r := newRing(t, nil)
	pr, _ := tempPipe(t)
	p := own(t, r, pr)
	for range 30 {
		c := r.ReadAt(p, make([]byte, 1), 0)
		all(5, func(i int) {
			if i > 0 {
				if err := c.Cancel(); err != nil {
					t.Error(err)
				}
				return
			}
			if _, err := c.Wait(); !errors.Is(err, syscall.ECANCELED) {
				t.Error(err)
			}
		})
	}
}

// A cancelled successor never runs, even where the kernel has it already.
func TestCancelledSuccessorOfALinkNeverRuns(t *testing.T) {
	owners(t, func(t *testing.T, own func(*rio.Ring, *os.File) syscall.Conn) {
		shapes(t, func(t *testing.T, r *rio.Ring) {
			pr, pw := tempPipe(t)
			p, f := own(r, pr), own(r, tempFile(t, "."))
			for i := range 10 {
				buf := make([]byte, 1)
				a := r.ReadAt(p, buf, 0, rio.Link)
				if i%2 == 0 {
					r.SubmitAll()
				}
				b := r.WriteAt(f, []byte("X"), 0)
				if i%3 == 0 {
					r.SubmitAll()
				}
				b.Cancel()
				select { // though the first is still pending
				case <-b.Done():
				case <-time.After(5 * time.Second):
					t.Fatal("the cancelled successor doesn't resolve while the first is pending")
				}
				fails(t, b, syscall.ECANCELED)
				pending(t, a)
				pw.Write([]byte{byte(i)})
				if n := ok(t, a); n != 1 || buf[0] != byte(i) {
					t.Fatal(n, buf)
				}
				ok(t, r.Nop())
				if got := content(t, f.(interface{ Name() string })); got != "." {
					t.Fatalf("the file has %q", got)
				}
			}
		})
	})
}

func TestCancelOfTheFirstEndsItsSuccessors(t *testing.T) {
	shapes(t, func(t *testing.T, r *rio.Ring) {
		if r.Stats().Capacity < 4 {
			return
		}
		pr, _ := tempPipe(t)
		f := tempFile(t, ".")
		for i := range 10 {
			a := r.ReadAt(pr, make([]byte, 1), 0, rio.Link)
			b := r.WriteAt(f, []byte("X"), 0, rio.Link)
			c := r.WriteAt(f, []byte("X"), 0)
			if i%2 == 0 {
				r.SubmitAll()
			}
			a.Cancel()
			fails(t, c, syscall.ECANCELED)
			fails(t, b, syscall.ECANCELED)
			fails(t, a, syscall.ECANCELED)
		}
		if got := content(t, f); got != "." {
			t.Fatalf("the file has %q", got)
		}
	})
}

func TestWaitContext(t *testing.T) {
	owners(t, func(t *testing.T, own func(*rio.Ring, *os.File) syscall.Conn) {
		shapes(t, func(t *testing.T, r *rio.Ring) {
			pr, pw := tempPipe(t)
			p, f := own(r, pr), own(r, tempFile(t, "abc"))

			ctx, cancel := context.WithCancel(t.Context())
			c := r.ReadAt(p, make([]byte, 1), 0)
			go func() { // as soon as it is in the kernel
				defer cancel()
				for r.Stats().Submitted == 0 && ctx.Err() == nil && !t.Failed() {
					time.Sleep(50 * time.Microsecond)
					if r.Stats().Submitted == 0 {
						break // SQPOLL: nobody counts them
					}
				}
			}()
			if n, err := c.WaitContext(ctx); n != 0 || err != context.Canceled {
				t.Fatal(n, err)
			}
			fails(t, c, rio.ErrWaited)

			ctx, cancel = context.WithTimeout(t.Context(), 2*time.Millisecond)
			defer cancel()
			c = r.ReadAt(p, make([]byte, 1), 0)
			if _, err := c.WaitContext(ctx); err != context.DeadlineExceeded {
				t.Fatal(err)
			}
			// The context has ended already.
			c = r.ReadAt(p, make([]byte, 1), 0)
			if _, err := c.WaitContext(ctx); err != context.DeadlineExceeded {
				t.Fatal(err)
			}
			// The operation has won.
			c = r.ReadAt(f, make([]byte, 3), 0)
			<-c.Done()
			if n, err := c.WaitContext(ctx); n != 3 || err != nil {
				t.Fatal(n, err)
			}
			pw.Write([]byte("p"))
			b := make([]byte, 1)
			if n, err := r.ReadAt(p, b, 0).WaitContext(t.Context()); n != 1 || err != nil || b[0] != 'p' {
				t.Fatal(n, err, b)
			}
			var none context.Context
			if _, err := r.Nop().WaitContext(none); err == nil {
				t.Fatal("a nil context is no context")
			}
		})
	})
}

// Cancel and the data come at the same time: either there is data, or it is left in the pipe.
func TestCancelEatsNothing(t *testing.T) {
	r := newRing(t, nil)
	pr, pw := tempPipe(t)
	p := own(t, r, pr)
	n := 200
	if testing.Short() {
		n = 40
	}
	for i := range n {
		buf := make([]byte, 1)
		c := r.ReadAt(p, buf, 0)
		r.SubmitAll()
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		go pw.Write([]byte{byte(i)})
		m, err := c.WaitContext(ctx)
		switch {
		case err == nil && m == 1:
		case err == context.Canceled:
			if m := ok(t, r.ReadAt(p, buf, 0)); m != 1 {
				t.Fatal(m)
			}
		default:
			t.Fatal(m, err)
		}
		if buf[0] != byte(i) {
			t.Fatalf("round %d: read %d", i, buf[0])
		}
	}
}

// For the race detector: by the second Wait the memory of the first operation is another's.
func TestSecondWaitLooksAtNothing(t *testing.T) {
	r := newRing(t, nil)
	all(4, func(int) {
		for range 2000 {
			c := r.Nop()
			ok(t, c)
			if _, err := c.Wait(); err != rio.ErrWaited {
				t.Error(err)
			}
		}
	})
}

func TestSecondWaitSaysErrWaited(t *testing.T) {
	shapes(t, func(t *testing.T, r *rio.Ring) {
		f := tempFile(t, "abc")
		var used []rio.Completion[int]
		for range 20 {
			c := r.ReadAt(f, make([]byte, 3), 0)
			ok(t, c)
			used = append(used, c)
			later := r.ReadAt(f, make([]byte, 2), 0) // perhaps in its place
			for _, c := range used {
				fails(t, c, rio.ErrWaited)
				if n, done, err := c.TryWait(); n != 0 || !done || err != rio.ErrWaited {
					t.Fatal(n, done, err)
				}
				if n, err := c.WaitContext(t.Context()); n != 0 || err != rio.ErrWaited {
					t.Fatal(n, err)
				}
				if err := c.Cancel(); err != nil {
					t.Fatal(err)
				}
				<-c.Done()
			}
			if n := ok(t, later); n != 2 {
				t.Fatal(n)
			}
		}
		// One that could not be started is used up as well.
		c := r.ReadAt(f, nil, -1)
		<-c.Done()
		if err := c.Cancel(); err != nil {
			t.Fatal(err)
		}
		fails(t, c, syscall.EINVAL)
		fails(t, c, rio.ErrWaited)
		if _, done, err := c.TryWait(); !done || err != rio.ErrWaited {
			t.Fatal(done, err)
		}
	})
}

func TestOfManyWaitsOneWins(t *testing.T) {
	shapes(t, func(t *testing.T, r *rio.Ring) {
		f := tempFile(t, "abc")
		for range 20 {
			c := r.ReadAt(f, make([]byte, 3), 0)
			var wins, losses atomic.Int32
			all(8, func(i int) {
				var n int
				var err error
				switch i % 3 {
				case 0:
					n, err = c.Wait()
				case 1:
					n, err = c.WaitContext(t.Context())
				case 2:
					var done bool
					for !done {
						n, done, err = c.TryWait()
					}
				}
				switch {
				case n == 3 && err == nil:
					wins.Add(1)
				case n == 0 && err == rio.ErrWaited:
					losses.Add(1)
				default:
					t.Error(n, err)
				}
			})
			if wins.Load() != 1 || losses.Load() != 7 {
				t.Fatalf("%d won, %d lost", wins.Load(), losses.Load())
			}
		}
	})
}

// An operation that waits for another is not begun for the sake of a context that has ended.
func TestDoneContextsBeginNothingThatIsHeldBack(t *testing.T) {
	r := newRing(t, nil)
	in, out := pipeOn(t, r)
	f := openOn(t, r, filepath.Join(t.TempDir(), "file"), os.O_RDWR|os.O_CREATE)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	buf := make([]byte, 1)
	first := r.ReadAt(in, buf, 0, rio.Link)
	second := r.WriteAt(f, []byte("never"), 0)
	drained := r.WriteAt(f, []byte("neither"), 0, rio.Drain)
	if err := r.SubmitAll(); err != nil {
		t.Fatal(err)
	}
	before := r.Stats()
	for what, c := range map[string]rio.Completion[int]{"linked": second, "drained": drained} {
		if n, err := c.WaitContext(ctx); n != 0 || !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %d, %v; want context.Canceled", what, n, err)
		}
	}
	if s := r.Stats(); s.Submitted != before.Submitted || s.InFlight != 1 {
		t.Errorf("%+v, before: %+v; want the read alone in flight, and nothing submitted", s, before)
	}
	if _, err := out.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if n, err := first.Wait(); n != 1 || err != nil {
		t.Error(n, err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != 0 {
		t.Errorf("the file has %d bytes, %v", info.Size(), err)
	}
}

// A Link holds its operation back for the successor, for a millisecond: until then it can be taken back.
func TestDoneContextsTakeBackWhatWaitsForItsSuccessor(t *testing.T) {
	if olderThan(t, 5, 18) {
		t.Skip("before 5.18 (IORING_SETUP_SUBMIT_ALL) nothing is held back for a successor")
	}
	r := newRing(t, nil)
	f := openOn(t, r, filepath.Join(t.TempDir(), "file"), os.O_RDWR|os.O_CREATE)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 1000 {
		before := r.Stats()
		n, err := r.WriteAt(f, []byte("never"), 0, rio.Link).WaitContext(ctx)
		if _, err := r.Nop().Wait(); !errors.Is(err, syscall.ECANCELED) && n == 0 {
			t.Fatalf("its successor: %v; want ECANCELED", err)
		}
		if r.Stats().Submitted != before.Submitted {
			continue // the millisecond was over
		}
		if n != 0 || !errors.Is(err, context.Canceled) {
			t.Fatalf("%d, %v; want context.Canceled", n, err)
		}
		return
	}
	t.Error("each of a thousand was submitted")
}

// What a Link has ended before is no matter of the context.
func TestAFailedLinkIsNotTheContextsEnd(t *testing.T) {
	r := newRing(t, nil)
	f := openOn(t, r, filepath.Join(t.TempDir(), "file"), os.O_RDWR|os.O_CREATE)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 10 {
		short := r.ReadAt(f, make([]byte, 10), 0, rio.Link)
		next := r.WriteAt(f, []byte("x"), 0)
		if n, err := short.Wait(); n != 0 || err != nil {
			t.Fatal(n, err)
		}
		<-next.Done()
		if n, err := next.WaitContext(ctx); n != 0 || !errors.Is(err, syscall.ECANCELED) {
			t.Fatalf("%d, %v; want ECANCELED", n, err)
		}
	}
}

// If the operation won, its result counts, whatever became of the context.
func TestResultsCountThoughTheContextIsDone(t *testing.T) {
	r := newRing(t, nil)
	f := openOn(t, r, filepath.Join(t.TempDir(), "file"), os.O_RDWR|os.O_CREATE)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	write := r.WriteAt(f, []byte("result"), 0)
	<-write.Done()
	if n, err := write.WaitContext(ctx); n != 6 || err != nil {
		t.Errorf("%d, %v; want what the operation has done", n, err)
	}
	if _, err := write.Wait(); err != rio.ErrWaited {
		t.Error(err)
	}
}
