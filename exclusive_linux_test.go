package rio_test

import (
	"context"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
)

// acceptUntil accepts on r, and gives up after d.
func acceptUntil(r *rio.Ring, l net.Listener, d time.Duration) func() (net.Conn, error) {
	first := r.Accept(l)
	r.SubmitAll()
	return func() (net.Conn, error) {
		ctx, cancel := context.WithTimeout(context.Background(), d)
		defer cancel()
		return first.WaitContext(ctx)
	}
}

// A connection that comes while one accept gives up is for another that waits: the kernel has woken the one, and tells no other.
func TestNoConnectionIsLeftByAnAcceptThatGivesUp(t *testing.T) {
	for name, c := range map[string]struct {
		foreign bool
		first   func(r *rio.Ring, l net.Listener, d time.Duration) func() (net.Conn, error) // gives up after d
	}{
		"WaitContext":          {first: acceptUntil},
		"a foreign listener's": {first: acceptUntil, foreign: true},
		"a deadline": {first: func(_ *rio.Ring, l net.Listener, d time.Duration) func() (net.Conn, error) {
			l.(*rio.Listener).SetDeadline(time.Now().Add(d))
			return l.Accept
		}},
		"a loop": {first: func(_ *rio.Ring, l net.Listener, d time.Duration) func() (net.Conn, error) {
			return func() (net.Conn, error) {
				ctx, cancel := context.WithTimeout(context.Background(), d)
				defer cancel()
				for c, err := range l.(*rio.Listener).Conns(ctx) {
					return c, err
				}
				return nil, ctx.Err()
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRing(t, nil)
			l := net.Listener(listen(t, r, "tcp4"))
			if c.foreign {
				l = stdListen(t, "tcp4")
			}
			for range 300 {
				d := 300*time.Microsecond + rand.N(300*time.Microsecond)
				began := time.Now()
				got := make(chan net.Conn, 2)
				accepts := func(accept func() (net.Conn, error)) {
					if c, err := accept(); err == nil {
						got <- c
					} else {
						got <- nil
					}
				}
				go accepts(c.first(r, l, d))
				time.Sleep(100 * time.Microsecond) // it is the first in the kernel's line, mostly
				second := r.Accept(l)
				r.SubmitAll()
				go accepts(func() (net.Conn, error) { return second.Wait() })
				time.Sleep(time.Until(began.Add(d - 100*time.Microsecond + rand.N(150*time.Microsecond))))
				var peers []net.Conn
				for taken, left := 0, 2; left > 0; { // the first gets it, or the second does
					if taken == len(peers) {
						p, err := net.Dial("tcp4", l.Addr().String())
						if err != nil {
							t.Fatal(err)
						}
						peers = append(peers, p)
					}
					select {
					case c := <-got:
						if left--; c != nil {
							taken++
							c.Close()
						}
					case <-time.After(10 * time.Second):
						t.Fatal("a connection lies there, and nobody takes it")
					}
				}
				for _, p := range peers {
					p.Close()
				}
				if l, ok := l.(*rio.Listener); ok {
					l.SetDeadline(time.Time{})
				}
			}
		})
	}
}
