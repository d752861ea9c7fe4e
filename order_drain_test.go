package rio_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
)

func TestDrainBeginsAfterAllEarlierOnesAndHoldsNoneUp(t *testing.T) {
	owners(t, func(t *testing.T, own func(*rio.Ring, *os.File) syscall.Conn) {
		for _, cfg := range []*rio.Config{nil, {Depth: 2}, {Depth: 8, SQPoll: true, SQPollIdle: time.Millisecond}} {
			if cfg != nil && cfg.SQPoll && onThreads {
				continue
			}
			r := newRing(t, cfg)
			pr, pw := tempPipe(t)
			p, f := own(r, pr), own(r, tempFile(t, "...."))
			for i := range 10 {
				a := r.ReadAt(p, make([]byte, 1), 0)
				d := r.WriteAt(f, []byte("D"), 0, rio.Drain)
				r.SubmitAll()
				ok(t, r.WriteAt(f, []byte{'0' + byte(i)}, 1)) // a later one passes
				pending(t, d)
				pending(t, a)
				if got := content(t, f.(interface{ Name() string })); got[0] != '.' {
					t.Fatalf("the drained write ran too early: %q", got)
				}
				pw.Write([]byte("p"))
				ok(t, d)
				ok(t, a)
				if got := content(t, f.(interface{ Name() string })); got != fmt.Sprintf("D%d..", i) {
					t.Fatalf("the file has %q", got)
				}
				ok(t, r.WriteAt(f, []byte("."), 0))
			}
		}
	})
}

func TestDrainWithNothingBeforeItBeginsAtOnce(t *testing.T) {
	shapes(t, func(t *testing.T, r *rio.Ring) {
		f := tempFile(t, "")
		for i := range 100 {
			if n := ok(t, r.WriteAt(f, []byte{byte(i)}, int64(i), rio.Drain)); n != 1 {
				t.Fatal(n)
			}
		}
		if s := content(t, f); len(s) != 100 || s[99] != 99 {
			t.Fatalf("%q", s)
		}
	})
}

func TestDrainDoesNotWaitForWhatConnsAndListenersWaitFor(t *testing.T) {
	r := newRing(t, nil)
	l, err := r.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started := r.Stats().Started
	accepted := make(chan net.Conn, 2)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	c, err := r.Dial(context.Background(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	<-accepted // and waits for the next one
	readEnded := make(chan struct{})
	go func() { c.Read(make([]byte, 1)); close(readEnded) }()
	eventually(t, "an accept, an accept again and a receive are started", func() bool { return r.Stats().Started >= started+3 })
	if s := r.Stats(); s.InFlight != 0 {
		t.Fatalf("InFlight counts what Conn and Listener wait for by themselves: %+v", s)
	}
	ok(t, r.Nop(rio.Drain))
	c.Close()
	<-readEnded
	l.Close()
	for range accepted {
	}
}

func TestDrainWaitsForAPendingAccept(t *testing.T) {
	r := newRing(t, nil)
	for _, listen := range []func(network, addr string) (net.Listener, error){
		net.Listen,
		func(network, addr string) (net.Listener, error) { return r.Listen(network, addr) },
	} {
		l, err := listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		a := r.Accept(l)
		d := r.Nop(rio.Drain)
		ok(t, r.Nop())
		pending(t, d)
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ok(t, d)
		conn := ok(t, a)
		if got, want := conn.RemoteAddr().String(), c.LocalAddr().String(); got != want {
			t.Errorf("the peer is %s, not %s", got, want)
		}
		conn.Close()
	}
}

func TestDrainAndLinkTogether(t *testing.T) {
	owners(t, func(t *testing.T, own func(*rio.Ring, *os.File) syscall.Conn) {
		shapes(t, func(t *testing.T, r *rio.Ring) {
			if r.Stats().Capacity < 4 {
				return
			}
			pr, pw := tempPipe(t)
			p, f, bad := own(r, pr), own(r, appendFile(t)), own(r, readOnly(t))
			// The drained one waits for the read, the linked one for the drained one.
			a := r.ReadAt(p, make([]byte, 1), 0)
			d := r.WriteAt(f, []byte("D"), 0, rio.Drain, rio.Link)
			l := r.WriteAt(f, []byte("L"), 0)
			ok(t, r.WriteAt(f, []byte("n"), 0))
			pending(t, d)
			pending(t, l)
			pw.Write([]byte("p"))
			ok(t, l)
			ok(t, d)
			ok(t, a)

			a = r.ReadAt(p, make([]byte, 1), 0)
			d = r.WriteAt(bad, []byte("D"), 0, rio.Drain|rio.Link)
			l = r.WriteAt(f, []byte("X"), 0)
			r.SubmitAll()
			pending(t, d)
			pending(t, l)
			pw.Write([]byte("p"))
			fails(t, l, syscall.ECANCELED)
			fails(t, d, syscall.EBADF)
			ok(t, a)

			// A successor that drains waits for both.
			a = r.ReadAt(p, make([]byte, 1), 0)
			d = r.WriteAt(f, []byte("1"), 0, rio.Link)
			l = r.WriteAt(f, []byte("2"), 0, rio.Drain)
			ok(t, d)
			pending(t, l)
			pw.Write([]byte("p"))
			ok(t, l)
			ok(t, a)
			if got := content(t, f.(interface{ Name() string })); got != "nDL12" {
				t.Fatalf("the file has %q", got)
			}
		})
	})
}

func TestCancelledDrainNeverBegins(t *testing.T) {
	owners(t, func(t *testing.T, own func(*rio.Ring, *os.File) syscall.Conn) {
		r := newRing(t, nil)
		pr, pw := tempPipe(t)
		p, f := own(r, pr), own(r, tempFile(t, "..."))
		for range 20 {
			a := r.ReadAt(p, make([]byte, 1), 0)
			d1 := r.WriteAt(f, []byte("1"), 0, rio.Drain|rio.Link)
			l := r.WriteAt(f, []byte("l"), 1)
			d2 := r.WriteAt(f, []byte("2"), 2, rio.Drain)
			if err := d1.Cancel(); err != nil {
				t.Fatal(err)
			}
			fails(t, d1, syscall.ECANCELED)
			fails(t, l, syscall.ECANCELED)
			pending(t, d2)
			pending(t, a)
			pw.Write([]byte("p"))
			ok(t, d2)
			ok(t, a)
			if got := content(t, f.(interface{ Name() string })); got != "..2" {
				t.Fatalf("the file has %q", got)
			}
		}
	})
}

func TestSecondDrainWaitsForTheFirstAndWhatCameBetween(t *testing.T) {
	r := newRing(t, nil)
	pr, pw := tempPipe(t)
	pr2, pw2 := tempPipe(t)
	f := appendFile(t)
	for range 10 {
		a := r.ReadAt(pr, make([]byte, 1), 0)
		d1 := r.WriteAt(f, []byte("1"), 0, rio.Drain)
		b := r.ReadAt(pr2, make([]byte, 1), 0)
		d2 := r.WriteAt(f, []byte("2"), 0, rio.Drain)
		c := r.WriteAt(f, []byte("c"), 0)
		ok(t, c)
		pw2.Write([]byte("p"))
		ok(t, b)
		pending(t, d2)
		pending(t, d1)
		pw.Write([]byte("p"))
		ok(t, d2)
		ok(t, d1) // the file says which was first
		ok(t, a)

		// The first may go, what came between is slow: the second waits on.
		d1 = r.WriteAt(f, []byte("1"), 0, rio.Drain)
		b = r.ReadAt(pr2, make([]byte, 1), 0)
		d2 = r.WriteAt(f, []byte("2"), 0, rio.Drain)
		ok(t, d1)
		pending(t, d2)
		pw2.Write([]byte("p"))
		ok(t, d2)
		ok(t, b)
	}
	if got, want := content(t, f), strings.Repeat("c1212", 10); got != want {
		t.Fatalf("the file has %q", got)
	}
}

// Any mixture of orderings, on files that keep the order in which they were written to.
func TestOrderingsHoldInAnyMixture(t *testing.T) {
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	owners(t, func(t *testing.T, own func(*rio.Ring, *os.File) syscall.Conn) {
		shapes(t, func(t *testing.T, r *rio.Ring) {
			for round := range rounds {
				seed := uint64(round) + 1
				rnd := rand.New(rand.NewPCG(seed, 7))
				f, bad := own(r, appendFile(t)), own(r, readOnly(t))
				const n = 120
				ords := make([]rio.Ordering, n)
				bads := make([]bool, n)
				var cs []rio.Completion[int]
				for i := range n {
					switch rnd.IntN(6) {
					case 0:
						ords[i] = rio.Drain
					case 1, 2:
						ords[i] = rio.Link
					case 3:
						ords[i] = rio.Link | rio.Drain
					}
					to := f
					if bads[i] = rnd.IntN(8) == 0; bads[i] {
						to = bad
					}
					if i == n-1 {
						ords[i] &^= rio.Link
					}
					cs = append(cs, r.WriteAt(to, []byte{byte(i)}, 0, ords[i]))
					if rnd.IntN(10) == 0 {
						r.SubmitAll()
					}
				}
				at := map[byte]int{}
				errs := make([]error, n)
				for i := range cs {
					_, errs[i] = cs[i].Wait()
				}
				got := content(t, f.(interface{ Name() string }))
				for i := range len(got) {
					at[got[i]] = i
				}
				if len(at) != len(got) {
					t.Fatalf("seed %d: something was written twice: %v", seed, []byte(got))
				}
				for i := range n {
					where, landed := at[byte(i)]
					want := error(nil)
					if i > 0 && ords[i-1]&rio.Link != 0 && errs[i-1] != nil {
						want = syscall.ECANCELED
					} else if bads[i] {
						want = syscall.EBADF
					}
					if !is(errs[i], want) {
						t.Fatalf("seed %d: operation %d: %v, not %v", seed, i, errs[i], want)
					}
					if landed != (errs[i] == nil) {
						t.Fatalf("seed %d: operation %d: landed %v, though it said %v", seed, i, landed, errs[i])
					}
					if !landed {
						continue
					}
					if i > 0 && ords[i-1]&rio.Link != 0 && at[byte(i-1)] > where {
						t.Fatalf("seed %d: %d ran before %d, which it is linked to", seed, i, i-1)
					}
					for j := range i {
						if w, in := at[byte(j)]; in && w > where && ords[i]&rio.Drain != 0 {
							t.Fatalf("seed %d: %d, drained, ran before %d", seed, i, j)
						}
					}
				}
			}
		})
	})
}

// What an operation has waited for is over when it is, to whoever asks: a lent file has to be taken back first.
func TestWhatWasWaitedForIsOver(t *testing.T) {
	skipUnderRace(t) // there a witness tells of it a little later
	r := newRing(t, nil)
	var others sync.WaitGroup
	for range 4 {
		others.Go(func() {
			f := tempFile(t, "0123")
			for range 10000 {
				first := r.SyncFileRange(f, 0, 1)
				last := r.Nop(rio.Drain)
				if _, err := last.Wait(); err != nil {
					t.Error(err)
				}
				if _, ok, _ := first.TryWait(); !ok {
					t.Error("a Drain is over, and what was started before it is not")
				}
				c := r.Chain()
				first, last = c.SyncFileRange(f, 0, 1), c.Nop()
				if err := c.Submit(); err != nil {
					t.Error(err)
				}
				if _, err := last.Wait(); err != nil {
					t.Error(err)
				}
				if _, ok, _ := first.TryWait(); !ok {
					t.Error("the last of a Chain is over, and the first is not")
				}
				if t.Failed() {
					return
				}
			}
		})
	}
	others.Wait()
}
