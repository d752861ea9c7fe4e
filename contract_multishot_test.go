package rio_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
)

// multishot skips t where the kernel takes one at a time, which the other tests of loops then are about.
func multishot(t *testing.T, major, minor int) {
	t.Helper()
	if simulated || onThreads || olderThan(t, major, minor) {
		t.Skip("this kernel receives or accepts once a request")
	}
}

// outside is a Conn of r and its peer, which is package net's.
func outside(t *testing.T, r *rio.Ring, network string) (*rio.Conn, conn) {
	t.Helper()
	l := listen(t, r, network)
	defer l.Close()
	peer, err := net.Dial(network, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); peer.Close() })
	return c.(*rio.Conn), peer.(conn)
}

// shallow runs f on rings with room for a lot, and for two.
func shallow(t *testing.T, f func(t *testing.T, r *rio.Ring)) {
	for _, depth := range []int{256, 1} {
		t.Run(fmt.Sprint("depth ", depth), func(t *testing.T) {
			waits(t, func(t *testing.T, profile io.Writer) { f(t, newRing(t, &rio.Config{Depth: depth, Profile: profile})) })
		})
	}
}

// waits runs f for Rings whose Conns wait on Go's poller, where they would, and for such as wait in the ring.
func waits(t *testing.T, f func(t *testing.T, profile io.Writer)) {
	t.Run("as it likes", func(t *testing.T) { f(t, nil) })
	t.Run("in the ring", func(t *testing.T) { f(t, io.Discard) })
}

func TestOneRequestReceivesManyPieces(t *testing.T) {
	multishot(t, 6, 0)
	streams(t, func(t *testing.T, network string) {
		r := newRing(t, &rio.Config{Profile: io.Discard}) // without one, and with several Ps, it is Go's poller that waits
		c, peer := outside(t, r, network)
		const n = 500
		turns := make(chan struct{})
		go func() {
			for i := range n {
				peer.Write([]byte{byte(i)})
				<-turns // one piece each
			}
			peer.CloseWrite()
		}()
		before, i := r.Stats(), 0
		for p, err := range c.Received(t.Context()) {
			if err != nil || len(p) != 1 || p[0] != byte(i) {
				t.Fatalf("%x, %v; want %x", p, err, byte(i))
			}
			i++
			turns <- struct{}{}
		}
		settled(t, r)
		if s := r.Stats(); i != n || s.Started-before.Started > n/10 {
			t.Errorf("%d pieces by %d requests", i, s.Started-before.Started)
		}
	})
}

func TestOneRequestAcceptsManyConnections(t *testing.T) {
	multishot(t, 5, 19)
	streams(t, func(t *testing.T, network string) {
		r := newRing(t, nil)
		l := listen(t, r, network)
		const n = 100
		peers := make(chan net.Conn)
		go func() {
			for range n {
				peer, err := net.Dial(network, l.Addr().String())
				if err != nil {
					t.Error(err)
				}
				peers <- peer
			}
		}()
		before, i := r.Stats(), 0
		for c, err := range l.Conns(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			peer := <-peers
			if got, want := fmt.Sprintf("%T %v", c.RemoteAddr(), c.RemoteAddr()), fmt.Sprintf("%T %v", peer.LocalAddr(), peer.LocalAddr()); network != "unix" && got != want {
				t.Errorf("the peer is %s; want %s", got, want)
			}
			peer.Close()
			c.Close()
			if i++; i == n {
				break
			}
		}
		settled(t, r)
		if s := r.Stats(); i != n || s.Started-before.Started > n/10 {
			t.Errorf("%d connections by %d requests", i, s.Started-before.Started)
		}
	})
}

// Whatever takes from a Conn, and in whatever order, has the stream's bytes in theirs.
func TestWhoeverReceivesGetsTheStreamInOrder(t *testing.T) {
	shallow(t, func(t *testing.T, r *rio.Ring) {
		streams(t, func(t *testing.T, network string) {
			for seed := range uint64(6) {
				rnd := rand.New(rand.NewPCG(seed, 1))
				c, peer := outside(t, r, network)
				want := letters(300_000)
				go func() {
					for p := want; len(p) > 0; {
						n := min(1+rand.IntN(9000), len(p))
						peer.Write(p[:n])
						p = p[n:]
					}
					peer.CloseWrite()
				}()
				var got []byte
				other := func(depth int) error {
					buf := make([]byte, 1+rnd.IntN(6000))
					n, err := 0, error(nil)
					switch rnd.IntN(4 - depth) {
					case 0:
						n, err = c.Read(buf)
					case 1:
						if n, err = r.Recv(c, buf).Wait(); n == 0 && err == nil {
							err = io.EOF
						}
					case 2:
						c.SetReadDeadline(time.Now().Add(time.Duration(rnd.IntN(200)) * time.Microsecond))
						if n, err = c.Read(buf); errors.Is(err, os.ErrDeadlineExceeded) {
							err = nil
						}
						c.SetReadDeadline(time.Time{})
					case 3: // another loop, within this one or not
						for p, err := range c.Received(t.Context()) {
							got = append(got, p...)
							if err != nil || rnd.IntN(3) == 0 {
								return err
							}
							clear(p)
						}
						return nil
					}
					got = append(got, buf[:n]...)
					return err
				}
				for err := error(nil); err == nil; err = other(0) {
					left := rnd.IntN(20)
					for p, err := range c.Received(t.Context()) {
						if err != nil {
							t.Fatal(err)
						}
						got = append(got, p...)
						if rnd.IntN(3) == 0 {
							if err := other(1); err != nil && err != io.EOF {
								t.Fatal(err)
							}
						}
						if left--; left < 0 {
							break
						}
					}
				}
				if !bytes.Equal(got, want) {
					t.Fatalf("seed %d: %d bytes of %d, or in another order", seed, len(got), len(want))
				}
				settled(t, r)
			}
		})
	})
}

// Many loops share the buffers of a Ring. One whose consumer is slow takes all of them, and holds up nobody else.
func TestASlowConsumerHoldsUpNobody(t *testing.T) {
	shallow(t, func(t *testing.T, r *rio.Ring) {
		slow, flood := outside(t, r, "tcp4")
		want := letters(4 << 20)
		sent := make(chan error, 1)
		var got []byte
		ended, second, resume := make(chan error, 1), make(chan struct{}), make(chan struct{})
		go func() {
			turns := 0
			for p, err := range slow.Received(t.Context()) {
				if err != nil {
					ended <- err
					return
				}
				if turns++; turns == 2 { // from here on the kernel receives by itself
					close(second)
					<-resume
				}
				got = append(got, p...)
			}
			ended <- nil
		}()
		go func() {
			_, err := flood.Write(want[:1])
			for p := want[1:]; err == nil && len(p) > 0; {
				n := min(32<<10, len(p))
				if _, err = flood.Write(p[:n]); n < len(p) && len(p) > 4<<20-64<<10 {
					runtime.Gosched() // two pieces at least
				}
				p = p[n:]
			}
			sent <- errors.Join(err, flood.CloseWrite())
		}()
		<-second
		var wg sync.WaitGroup
		for range 20 {
			c, peer := outside(t, r, "tcp4")
			wg.Go(func() {
				for p, err := range c.Received(t.Context()) {
					if err != nil {
						t.Error(err)
					}
					c.Write(p)
				}
			})
			wg.Go(func() {
				peer.SetDeadline(time.Now().Add(20 * time.Second))
				buf := make([]byte, 100)
				for i := range 50 {
					msg := letters(1 + i)
					peer.Write(msg)
					if _, err := io.ReadFull(peer, buf[:len(msg)]); err != nil || !bytes.Equal(buf[:len(msg)], msg) {
						t.Errorf("%q, %v", buf[:len(msg)], err)
						break
					}
				}
				peer.CloseWrite()
			})
		}
		wg.Wait()
		close(resume)
		if err := errors.Join(<-sent, <-ended); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
		}
		settled(t, r)
	})
}

// A hundred loops, a collector at work, and a queue that overflows.
func TestManyLoopsAtOnce(t *testing.T) {
	shallow(t, func(t *testing.T, r *rio.Ring) {
		stop := make(chan struct{})
		var collector sync.WaitGroup
		collector.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					runtime.GC()
				}
			}
		})
		defer func() { close(stop); collector.Wait() }()
		l, err := r.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		const n, size = 100, 40_000
		ctx, cancel := context.WithCancel(t.Context())
		var wg, serving sync.WaitGroup
		for range 2 {
			serving.Go(func() {
				for c, err := range l.Conns(ctx) {
					if err != nil {
						if !errors.Is(err, context.Canceled) {
							t.Error(err)
						}
						continue
					}
					serving.Go(func() {
						defer c.Close()
						for p, err := range c.Received(context.Background()) {
							if err != nil {
								t.Error(err)
							}
							c.Write(p)
						}
					})
				}
			})
		}
		for i := range n {
			wg.Go(func() {
				peer, err := net.Dial("tcp4", l.Addr().String())
				if err != nil {
					t.Error(err)
					return
				}
				defer peer.Close()
				want := bytes.Repeat([]byte{byte(i)}, size)
				go func() {
					for p := want; len(p) > 0; p = p[1000:] {
						peer.Write(p[:1000])
					}
					peer.(conn).CloseWrite()
				}()
				peer.SetReadDeadline(time.Now().Add(40 * time.Second))
				if got, err := io.ReadAll(peer); err != nil || !bytes.Equal(got, want) {
					t.Errorf("connection %d: %d bytes of %d, or not its own, %v", i, len(got), size, err)
				}
			})
		}
		wg.Wait()
		cancel()
		serving.Wait()
		settled(t, r)
		t.Logf("%+v", r.Stats())
	})
}

// Loops end as they should whenever their context does, the Conn is closed, or the Ring.
func TestLoopsEndInFullTraffic(t *testing.T) {
	fds := len(openFDs())
	for i := range 40 {
		cfg := &rio.Config{Depth: 1 << (i % 3)}
		if i%2 == 0 {
			cfg.Profile = io.Discard // loops wait in the ring
		}
		r, err := rio.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		l, err := r.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		heard := make(chan struct{}, 1000)
		wg.Go(func() {
			for c, err := range l.Conns(ctx) {
				if err != nil {
					if !errors.Is(err, context.Canceled) && !errors.Is(err, net.ErrClosed) {
						t.Error(err)
					}
					continue
				}
				wg.Go(func() {
					defer c.Close()
					for _, err := range c.Received(ctx) {
						if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, net.ErrClosed) && !isReset(err) {
							t.Error(err)
						}
						select {
						case heard <- struct{}{}:
						default:
						}
						if i%4 == 3 {
							c.Close()
						}
					}
				})
			}
		})
		var peers sync.WaitGroup
		for range 5 {
			peers.Go(func() {
				peer, err := net.Dial("tcp4", l.Addr().String())
				if err != nil {
					return // the listener may be closed by now
				}
				defer peer.Close()
				for err == nil {
					_, err = peer.Write(make([]byte, 3000))
				}
			})
		}
		for range 1 + i%7 {
			<-heard
		}
		switch i % 4 {
		case 0, 3:
			cancel()
		case 1:
			l.Close()
			cancel()
		case 2:
			r.Close()
		}
		wg.Wait()
		l.Close()
		cancel()
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		peers.Wait()
		if s := r.Stats(); s.InFlight != 0 || s.Started != s.Completed {
			t.Errorf("%+v", s)
		}
	}
	comesTrue(t, "all descriptors are closed", func() bool { return len(openFDs()) <= fds+2 })
}

// Two who receive from one Conn share what comes: nothing is lost, nothing comes twice, and nobody is forgotten.
func TestALoopAndAReadShareAConn(t *testing.T) {
	shallow(t, func(t *testing.T, r *rio.Ring) {
		for range 20 {
			c, peer := outside(t, r, "tcp4")
			const n = 200
			var mu sync.Mutex
			seen := [256]int{}
			total := 0
			count := func(p []byte) {
				mu.Lock()
				defer mu.Unlock()
				for _, b := range p {
					seen[b]++
					total++
				}
			}
			var wg sync.WaitGroup
			wg.Go(func() {
				buf := make([]byte, 7)
				for {
					k, err := c.Read(buf)
					if count(buf[:k]); err != nil {
						return
					}
				}
			})
			for range 2 {
				wg.Go(func() {
					for over := false; !over; {
						over = true
						turns := 0
						for p, err := range c.Received(t.Context()) {
							if err != nil {
								t.Error(err)
							}
							count(p)
							if turns++; turns == 3 {
								over = false // and into the next loop
								break
							}
						}
					}
				})
			}
			for i := range n {
				peer.Write([]byte{byte(i)})
			}
			peer.CloseWrite()
			wg.Wait()
			for i := range n {
				if seen[i] != 1 {
					t.Fatalf("byte %d came %d times", i, seen[i])
				}
			}
			settled(t, r)
		}
	})
}

// Deadlines are for Read, also while a loop on the same Conn waits, or is at its body.
func TestDeadlinesOfReadHoldBesideALoop(t *testing.T) {
	waits(t, func(t *testing.T, profile io.Writer) {
		r := newRing(t, &rio.Config{Profile: profile})
		c, peer := outside(t, r, "tcp4")
		buf := make([]byte, 1)
		turns := 0
		peer.Write([]byte("1"))
		for p, err := range c.Received(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if turns++; turns == 4 {
				break
			}
			c.SetReadDeadline(time.Unix(1, 0))
			_, err := c.Read(buf)
			wantTimeout(t, "past", err)
			c.SetReadDeadline(time.Now().Add(time.Millisecond))
			_, err = c.Read(buf)
			wantTimeout(t, "in the body", err)
			peer.Write(append([]byte(nil), p...))
		}
		ctx, cancel := context.WithCancel(t.Context())
		over := begun(t, r, func() error {
			var last error
			for _, err := range c.Received(ctx) {
				last = err
			}
			return last
		})
		_, err := c.Read(buf)
		wantTimeout(t, "beside a loop", err)
		cancel()
		if err := <-over; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		c.SetReadDeadline(time.Time{})
		peer.Write([]byte("x"))
		if n, err := c.Read(buf); n != 1 || err != nil || buf[0] != 'x' {
			t.Errorf("%d, %v, %q", n, err, buf)
		}
	})
}
