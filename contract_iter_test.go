package rio_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
)

// settled waits until nothing is in flight on r, what Conns and Listeners wait for included.
func settled(t *testing.T, r *rio.Ring) {
	t.Helper()
	comesTrue(t, "nothing is in flight", func() bool {
		s := r.Stats()
		return s.Started == s.Completed
	})
}

func TestConnsYieldsEachConnectionOnce(t *testing.T) {
	streams(t, func(t *testing.T, network string) {
		r := newRing(t, nil)
		l := listen(t, r, network)
		ctx, cancel := context.WithCancel(t.Context())
		const loops, n = 3, 60
		var mu sync.Mutex
		seen := map[string]int{}
		var wg sync.WaitGroup
		for range loops {
			wg.Go(func() {
				var last error
				for c, err := range l.Conns(ctx) {
					if last = err; err != nil {
						continue // it is the last one, so the loop ends
					}
					id, err := io.ReadAll(c)
					if err != nil || c.LocalAddr() == nil {
						t.Error(err, c.LocalAddr())
					}
					c.Close()
					mu.Lock()
					seen[string(id)]++
					mu.Unlock()
				}
				if !errors.Is(last, context.Canceled) || !errors.As(last, new(*net.OpError)) {
					t.Errorf("at the end: %v; want context.Canceled in an OpError", last)
				}
			})
		}
		for i := range n {
			c, err := net.Dial(network, l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(c, i)
			c.(conn).CloseWrite()
			c.SetReadDeadline(time.Now().Add(20 * time.Second))
			if _, err := io.ReadAll(c); err != nil {
				t.Errorf("connection %d: %v", i, err)
			}
			c.Close()
		}
		cancel()
		wg.Wait()
		for i := range n {
			if seen[fmt.Sprint(i)] != 1 {
				t.Errorf("connection %d came %d times", i, seen[fmt.Sprint(i)])
			}
		}
		settled(t, r)
	})
}

// Whoever leaves the loop leaves nothing behind in the kernel: what comes later is the next one's.
func TestLeavingConnsTakesNothingAlong(t *testing.T) {
	streams(t, func(t *testing.T, network string) {
		r := newRing(t, nil)
		l := listen(t, r, network)
		for i := range 20 {
			var peers []net.Conn
			for range 2 {
				c, err := net.Dial(network, l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				peers = append(peers, c)
			}
			for c, err := range l.Conns(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(c, "first %d", i)
				c.Close()
				break
			}
			settled(t, r)
			l.SetDeadline(time.Now().Add(20 * time.Second))
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(c, "second %d", i)
			c.Close()
			for j, want := range []string{"first", "second"} {
				if got, err := io.ReadAll(peers[j]); err != nil || string(got) != fmt.Sprint(want, " ", i) {
					t.Errorf("%q, %v", got, err)
				}
			}
		}
	})
}

func TestConnsEndsWithItsListener(t *testing.T) {
	r := newRing(t, nil)
	l, err := r.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var errs []error
	loop := begun(t, r, func() error {
		for c, err := range l.Conns(context.Background()) {
			if c != nil {
				t.Error("a connection from nowhere")
			}
			errs = append(errs, err)
		}
		return nil
	})
	l.Close()
	<-loop
	if len(errs) != 1 || !errors.Is(errs[0], net.ErrClosed) {
		t.Errorf("%v; want net.ErrClosed once", errs)
	}
}

// A context that is done before the start submits nothing.
func TestDoneContextsStartNothing(t *testing.T) {
	r := newRing(t, nil)
	a, b := connPair(t, r, "tcp4")
	l, err := r.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	peer, err := net.Dial("tcp4", l.Addr().String()) // there would be one to accept
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	if _, err := b.Write([]byte("and something to receive")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	before := r.Stats()
	turns := 0
	for c, err := range l.Conns(ctx) {
		if turns++; c != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("%v, %v; want context.Canceled", c, err)
		}
	}
	for p, err := range a.Received(ctx) {
		if turns++; p != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("%q, %v; want context.Canceled", p, err)
		}
	}
	if c, err := r.Dial(ctx, "tcp4", l.Addr().String()); c != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("Dial: %v, %v; want context.Canceled", c, err)
	}
	serve := &rio.Server{Open: func(*rio.Stream) rio.Handler { t.Error("Serve has accepted something"); return nil }}
	if err := l.Serve(ctx, serve); err != nil {
		t.Errorf("Serve: %v", err)
	}
	after := r.Stats()
	if turns != 2 || after.Started != before.Started || after.Submitted != before.Submitted {
		t.Errorf("%d turns; %+v, before: %+v", turns, after, before)
	}
	l.SetDeadline(time.Now().Add(20 * time.Second))
	if c, err := l.Accept(); err != nil {
		t.Errorf("the connection is gone: %v", err)
	} else {
		c.Close()
	}
}

func TestReceivedIsTheStream(t *testing.T) {
	streams(t, func(t *testing.T, network string) {
		waits(t, func(t *testing.T, profile io.Writer) {
			r := newRing(t, &rio.Config{Profile: profile})
			a, b := connPair(t, r, network)
			want := letters(1 << 20)
			go func() {
				b.Write(want)
				b.CloseWrite()
			}()
			var got []byte
			for p, err := range a.Received(t.Context()) {
				if err != nil || len(p) == 0 {
					t.Fatalf("%d bytes, %v", len(p), err)
				}
				got = append(got, p...)
				clear(p) // it is the loop's
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%d bytes of %d", len(got), len(want))
			}
			settled(t, r)
		})
	})
}

// What is left in the socket by who leaves the loop is the next one's.
func TestLeavingReceivedTakesNothingAlong(t *testing.T) {
	streams(t, func(t *testing.T, network string) {
		waits(t, func(t *testing.T, profile io.Writer) {
			r := newRing(t, &rio.Config{Profile: profile})
			a, b := connPair(t, r, network)
			want := letters(100_000)
			sent := make(chan error, 1)
			go func() {
				_, err := b.Write(want)
				b.CloseWrite()
				sent <- err
			}()
			var got []byte
			for range 2 {
				for p, err := range a.Received(t.Context()) {
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, p...)
					break
				}
				settled(t, r)
				buf := make([]byte, 1000)
				n, err := a.Read(buf)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, buf[:n]...)
			}
			rest, err := io.ReadAll(a)
			if got = append(got, rest...); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
			}
			if err := <-sent; err != nil {
				t.Error(err)
			}
		})
	})
}

// overdue is a context whose deadline is over when the one within is canceled: at no time by the clock, which may
// come before what it is to end.
type overdue struct{ context.Context }

func (c overdue) Err() error {
	if c.Context.Err() != nil {
		return context.DeadlineExceeded
	}
	return nil
}

func TestReceivedEndsWithItsContextOrItsConn(t *testing.T) {
	streams(t, func(t *testing.T, network string) {
		r := newRing(t, nil)
		a, b := connPair(t, r, network)
		for what, want := range map[string]error{"context": context.Canceled, "deadline": context.DeadlineExceeded} {
			ctx, cancel := context.WithCancel(t.Context())
			if what == "deadline" {
				ctx = overdue{ctx}
			}
			var errs []error
			loop := begun(t, r, func() error {
				for _, err := range a.Received(ctx) {
					errs = append(errs, err)
				}
				return nil
			})
			cancel()
			<-loop
			if len(errs) != 1 || !errors.Is(errs[0], want) {
				t.Errorf("%s: %v; want %v once", what, errs, want)
			}
			settled(t, r)
			wantTalk(t, a, b)
		}
		var last error
		loop := begun(t, r, func() error {
			for _, err := range a.Received(context.Background()) {
				last = err
			}
			return nil
		})
		a.Close()
		<-loop
		if !errors.Is(last, net.ErrClosed) {
			t.Errorf("%v; want net.ErrClosed", last)
		}
	})
}

// A context that ends at the moment of an arrival loses nothing: who was faster counts.
func TestContextsThatEndLoseNothing(t *testing.T) {
	r := newRing(t, nil)
	a, b := connPair(t, r, "tcp4")
	want := letters(300)
	var got []byte
	won := 0
	for i := range want {
		ctx, cancel := context.WithCancel(t.Context())
		loop := begun(t, r, func() error {
			for p, err := range a.Received(ctx) {
				if err != nil {
					return err
				}
				got = append(got, p...)
				return nil
			}
			return io.EOF
		})
		if i%2 == 0 {
			go cancel()
		}
		if _, err := b.Write(want[i : i+1]); err != nil {
			t.Fatal(err)
		}
		cancel()
		err := <-loop
		if errors.Is(err, context.Canceled) {
			buf := make([]byte, 10)
			a.SetReadDeadline(time.Now().Add(20 * time.Second))
			var n int
			if n, err = a.Read(buf); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("byte %d is lost", i)
			}
			got = append(got, buf[:n]...)
		} else {
			won++
		}
		if err != nil || !bytes.Equal(got, want[:i+1]) {
			t.Fatalf("%v; %q of %q", err, got, want[:i+1])
		}
	}
	t.Logf("%d of %d were faster than their context", won, len(want))
}

// A datagram is a piece, however large, whoever waits for it.
func TestReceivedHasWholeDatagrams(t *testing.T) {
	waits(t, func(t *testing.T, profile io.Writer) {
		r := newRing(t, &rio.Config{Profile: profile})
		pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil && runtime.GOOS == "windows" {
			t.Skip("Wine has no datagrams for package net: ", err)
		} else if err != nil {
			t.Fatal(err)
		}
		defer pc.Close()
		c, err := r.Dial(t.Context(), "udp4", pc.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		sizes := []int{9000, 0, 1, 9216} // some systems send no more
		if runtime.GOOS == "linux" {
			sizes = append(sizes, 40000, 65507)
		}
		send := func(n int) {
			if _, err := pc.WriteTo(letters(n), c.LocalAddr()); err != nil {
				t.Fatal(err)
			}
		}
		next := 0
		send(sizes[0])
		for p, err := range c.Received(t.Context()) {
			if err != nil || !bytes.Equal(p, letters(sizes[next])) {
				t.Fatalf("%d bytes, %v; want %d", len(p), err, sizes[next])
			}
			if next++; next == len(sizes) {
				break
			}
			send(sizes[next])
		}
	})
}
