package rio_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed-9c58b644/rio"
)

// A canary is what a connection sends: its own number and nothing else, so that a byte of another one stands out.
type canary byte

func (c canary) bytes(n int) []byte { return bytes.Repeat([]byte{byte(c)}, n) }

// strange is the first byte of p that is not c's. p is looked at up to its capacity, for whoever reslices.
func (c canary) strange(p []byte) string {
	if cap(p) != len(p) {
		return fmt.Sprintf("there are %d bytes of room behind %d", cap(p)-len(p), len(p))
	}
	for i, b := range p[:cap(p)] {
		if b != byte(c) {
			return fmt.Sprintf("byte %d of %d is %d, not %d", i, len(p), b, c)
		}
	}
	return ""
}

// talk sends messages, long ones and then short ones that leave the end of a buffer as it was, and reads their echo.
func (c canary) talk(conn net.Conn, rounds int) error {
	rnd := rand.New(rand.NewPCG(uint64(c), 1))
	for i := range rounds {
		n := 1 + rnd.IntN(7)
		if i%3 == 0 {
			n = 4096 + rnd.IntN(12<<10)
		}
		sent := make(chan error, 1)
		go func() {
			_, err := conn.Write(c.bytes(n))
			sent <- err
		}()
		p := make([]byte, n)
		if _, err := io.ReadFull(conn, p); err != nil {
			return err
		}
		if s := c.strange(p); s != "" {
			return fmt.Errorf("the echo: %s", s)
		}
		if err := <-sent; err != nil {
			return err
		}
	}
	return nil
}

// canaries has n of them talk at once.
func canaries(t *testing.T, n, rounds int, dial func() net.Conn) {
	var talking sync.WaitGroup
	for i := range n {
		c, conn := canary(i+1), dial()
		talking.Go(func() {
			defer conn.Close()
			if err := c.talk(conn, rounds); err != nil {
				t.Errorf("canary %d: %v", c, err)
			}
		})
	}
	talking.Wait()
}

func TestServeShowsNoHandlerWhatAnotherConnectionSent(t *testing.T) {
	inBothModes(t, func(t *testing.T) {
		var received atomic.Int64
		v := serve(t, handler{data: func(c *rio.Stream, p []byte) {
			if s := canary(p[0]).strange(p); s != "" {
				t.Error(s)
			}
			received.Add(int64(len(p)))
			// Nor does what a handler leaves behind in the buffer reach anybody.
			c.Write(p)
			for i := range p {
				p[i] = 0xff
			}
		}}, rio.Server{Loops: 2})
		canaries(t, 100, 12, func() net.Conn { return v.dial(t) })
		if received.Load() < 100*4*4096 {
			t.Errorf("only %d bytes were received", received.Load())
		}
	})
}

func TestReceivedShowsNobodyWhatAnotherConnectionSent(t *testing.T) {
	r := newRing(t, nil)
	l, err := r.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for c, err := range l.Conns(t.Context()) {
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				for p, err := range c.Received(t.Context()) {
					if err != nil {
						t.Error(err)
						return
					}
					if s := canary(p[0]).strange(p); s != "" {
						t.Error(s)
					}
					c.Write(p)
				}
			})
		}
	})
	for range 3 { // the buffers of those before are used again
		canaries(t, 30, 9, func() net.Conn {
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			return c
		})
	}
	l.Close()
	serving.Wait()
}
