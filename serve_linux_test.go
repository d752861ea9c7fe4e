package rio_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
)

// patience is how long a test waits for what must happen.
const patience = time.Minute

// inBothModes runs a test with what this kernel has, and as on a kernel without provided buffers and multishot requests.
func inBothModes(t *testing.T, f func(t *testing.T)) {
	t.Run("multishot", f)
	t.Run("plain", func(t *testing.T) {
		defer rio.PlainLoops()()
		f(t)
	})
}

// A handler is made of functions, any of which may be nil. It counts.
type handler struct {
	data   func(c *rio.Stream, p []byte)
	closed func(c *rio.Stream, err error)
	*served
}

func (h handler) Data(c *rio.Stream, p []byte) { h.data(c, p) }

func (h handler) Closed(c *rio.Stream, err error) {
	h.closes.Add(1)
	if h.closed != nil {
		h.closed(c, err)
	}
}

func echo(c *rio.Stream, p []byte) { c.Write(p) }

// served is a Listener that is served until the test ends, or stop is called.
type served struct {
	ring          *rio.Ring
	l             *rio.Listener
	stop          func() error // returns what Serve does
	opens, closes atomic.Int64
}

// serve begins to serve. When the test ends each connection must have been told so.
func serve(t *testing.T, h handler, s rio.Server) *served {
	t.Helper()
	return serveOn(t, "tcp", h, s)
}

func serveOn(t *testing.T, network string, h handler, s rio.Server) *served {
	t.Helper()
	v := &served{ring: newRing(t, nil)}
	h.served = v
	var err error
	if v.l, err = v.ring.Listen(network, loopback(t, network)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	if s.Open == nil {
		s.Open = func(*rio.Stream) rio.Handler {
			v.opens.Add(1)
			return h
		}
	}
	go func() { result <- v.l.Serve(ctx, &s) }()
	v.stop = sync.OnceValue(func() error {
		cancel()
		return v.await(t, result)
	})
	t.Cleanup(func() {
		if err := v.stop(); err != nil {
			t.Error("Serve:", err)
		}
		if o, c := v.opens.Load(), v.closes.Load(); o != c {
			t.Errorf("%d connections were opened, %d closed", o, c)
		}
		if err := v.l.Close(); err != nil {
			t.Error(err)
		}
	})
	return v
}

func (v *served) await(t *testing.T, result chan error) error {
	select {
	case err := <-result:
		return err
	case <-time.After(patience):
		buf := make([]byte, 1<<20)
		t.Errorf("Serve does not return\n%s", buf[:runtime.Stack(buf, true)])
		return nil
	}
}

func (v *served) dial(t testing.TB) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", v.l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

// soon fails the test if f doesn't become true.
func soon(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: ", what)
		}
	}
}

// pattern is n bytes that no other seed has.
func pattern(seed uint64, n int) []byte {
	p := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := 0; i+8 <= n; i += 8 {
		binary.NativeEndian.PutUint64(p[i:], r.Uint64())
	}
	for i := n &^ 7; i < n; i++ {
		p[i] = byte(r.Uint64())
	}
	return p
}

// exchanges sends p and wants it back.
func exchanges(c net.Conn, p []byte) error {
	go c.Write(p)
	got := make([]byte, len(p))
	if n, err := io.ReadFull(c, got); err != nil {
		return fmt.Errorf("%d bytes of %d came back: %w", n, len(p), err)
	}
	if !bytes.Equal(got, p) {
		return fmt.Errorf("other bytes came back than the %d sent", len(p))
	}
	return nil
}

func TestServeEchoesMessagesOfEverySize(t *testing.T) {
	inBothModes(t, func(t *testing.T) {
		v := serve(t, handler{data: echo}, rio.Server{Loops: 2})
		var clients sync.WaitGroup
		for i := range 8 {
			c := v.dial(t)
			clients.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), 2))
				for n := range 40 {
					size := 1 + r.IntN(1<<r.IntN(21))
					if err := exchanges(c, pattern(uint64(i)<<32|uint64(n), size)); err != nil {
						t.Error(err)
						return
					}
				}
				if err := exchanges(c, pattern(uint64(i), 1<<20)); err != nil {
					t.Error(err)
				}
			})
		}
		clients.Wait()
	})
}

func TestServeKeepsManyConnectionsApart(t *testing.T) {
	inBothModes(t, func(t *testing.T) {
		conns := 2000
		if underRace || testing.Short() {
			conns = 300
		}
		v := serve(t, handler{data: echo}, rio.Server{Loops: 3})
		soon(t, "the loops run", func() bool { return v.dial(t) != nil })
		before := runtime.NumGoroutine()
		cs := make([]*net.TCPConn, conns)
		for i := range cs {
			cs[i] = v.dial(t)
		}
		for round := range 3 {
			// All at once, more than there are buffers: the answers must be each one's own.
			for i, c := range cs {
				if _, err := c.Write(pattern(uint64(round*conns+i), 100)); err != nil {
					t.Fatal(err)
				}
			}
			got := make([]byte, 100)
			for i, c := range cs {
				if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, pattern(uint64(round*conns+i), 100)) {
					t.Fatalf("connection %d, round %d: %v, or another's bytes", i, round, err)
				}
			}
		}
		if n := runtime.NumGoroutine(); n > before+10 {
			t.Errorf("%d goroutines with %d connections, %d before", n, conns, before)
		}
	})
}

func TestServeSpreadsConnectionsEvenly(t *testing.T) {
	var mu sync.Mutex
	threads := map[int]int{}
	v := serve(t, handler{}, rio.Server{Loops: 4, Open: func(c *rio.Stream) rio.Handler {
		mu.Lock()
		defer mu.Unlock()
		threads[syscall.Gettid()]++
		return handler{served: new(served)}
	}})
	for range 40 {
		v.dial(t)
	}
	soon(t, "four threads have ten connections each", func() bool {
		mu.Lock()
		defer mu.Unlock()
		for _, n := range threads {
			if n != 10 {
				return false
			}
		}
		return len(threads) == 4
	})
}

func TestServeStopsReceivingFromWhoDoesNotRead(t *testing.T) {
	inBothModes(t, func(t *testing.T) {
		const limit = 64 << 10
		var most atomic.Int64
		v := serve(t, handler{data: func(c *rio.Stream, p []byte) {
			c.Write(p)
			most.Store(max(most.Load(), int64(c.Unsent())))
		}}, rio.Server{Loops: 1, MaxUnsent: limit})
		slow, other := v.dial(t), v.dial(t)
		slow.SetWriteBuffer(64 << 10)
		message := pattern(1, 64<<20)
		var written atomic.Int64
		wrote := make(chan error, 1)
		go func() {
			for n := 0; n < len(message); n += 64 << 10 {
				if _, err := slow.Write(message[n : n+64<<10]); err != nil {
					wrote <- err
					return
				}
				written.Add(64 << 10)
			}
			wrote <- nil
		}()
		soon(t, "the limit is reached", func() bool { return most.Load() > limit })
		for before := int64(-1); before != written.Load(); { // until the client is stuck, or nearly so
			before = written.Load()
			time.Sleep(50 * time.Millisecond)
		}
		if written.Load() == int64(len(message)) {
			t.Fatal("the server takes everything from who reads nothing")
		}
		// What was received before the kernel knew that it should stop is at most what there are buffers for.
		if err := exchanges(other, pattern(2, 10000)); err != nil {
			t.Error("another connection:", err)
		}
		got := make([]byte, len(message))
		if m, err := io.ReadFull(slow, got); err != nil || !bytes.Equal(got, message) {
			t.Errorf("%d of %d bytes came back (%v), or others", m, len(message), err)
		}
		if err := <-wrote; err != nil {
			t.Error(err)
		}
		if got := most.Load(); got > limit+512*4096 {
			t.Errorf("up to %d bytes were unsent, with a limit of %d", got, limit)
		}
		if err := exchanges(slow, pattern(3, 1<<20)); err != nil {
			t.Error("when it reads again:", err)
		}
	})
}

func TestServeAnswersAHalfClosedPeer(t *testing.T) {
	inBothModes(t, func(t *testing.T) {
		ends := make(chan error, 1)
		v := serve(t, handler{data: echo, closed: func(_ *rio.Stream, err error) { ends <- err }}, rio.Server{})
		c := v.dial(t)
		message := pattern(1, 3<<20)
		go func() {
			c.Write(message)
			c.CloseWrite()
		}()
		if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, message) {
			t.Errorf("%d of %d bytes came back (%v), or others", len(got), len(message), err)
		}
		if err := <-ends; err != nil {
			t.Error("Closed:", err)
		}
	})
}

// An ender goes on writing, from another goroutine, when the peer has ended.
type ender struct {
	handler
	got []byte
}

func (e *ender) Data(_ *rio.Stream, p []byte) { e.got = append(e.got, p...) }

func (e *ender) End(c *rio.Stream) {
	go func() {
		defer c.Close()
		for i := range 100 {
			fmt.Fprintf(c, "%d ", i)
		}
		c.Write(e.got)
	}()
}

func TestServeLetsAnEnderGoOn(t *testing.T) {
	inBothModes(t, func(t *testing.T) {
		v := serve(t, handler{}, rio.Server{Open: func(*rio.Stream) rio.Handler {
			return &ender{handler: handler{served: new(served)}}
		}})
		c := v.dial(t)
		fmt.Fprint(c, "and that was all")
		c.CloseWrite()
		var want strings.Builder
		for i := range 100 {
			fmt.Fprintf(&want, "%d ", i)
		}
		want.WriteString("and that was all")
		if got, err := io.ReadAll(c); err != nil || string(got) != want.String() {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func TestServeToldOfAReset(t *testing.T) {
	inBothModes(t, func(t *testing.T) {
		ends := make(chan error, 100)
		v := serve(t, handler{data: echo, closed: func(_ *rio.Stream, err error) { ends <- err }}, rio.Server{})
		other := v.dial(t)
		for range 20 {
			c := v.dial(t)
			c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
			for err := error(nil); err == nil; { // until the server is stuck with what nobody reads
				_, err = c.Write(make([]byte, 1<<20))
			}
			c.SetLinger(0)
			c.Close()
			var op *net.OpError
			if err := <-ends; !errors.As(err, &op) || !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
				t.Errorf("Closed: %v", err)
			}
		}
		if err := exchanges(other, pattern(1, 1<<16)); err != nil {
			t.Error(err)
		}
	})
}

func TestServeStreamsAreWrittenByAnyGoroutine(t *testing.T) {
	inBothModes(t, func(t *testing.T) {
		const writers, lines = 8, 500
		v := serve(t, handler{data: func(c *rio.Stream, p []byte) {
			var writing sync.WaitGroup
			for w := range writers {
				writing.Go(func() {
					for i := range lines {
						fmt.Fprintf(c, "%d %d\n", w, i)
						if i%100 == 99 {
							if err := c.Flush(t.Context()); err != nil {
								t.Error(err)
							}
						}
					}
				})
			}
			go func() {
				writing.Wait()
				c.Close()
			}()
		}}, rio.Server{})
		c := v.dial(t)
		fmt.Fprint(c, "go")
		next := [writers]int{}
		got, err := io.ReadAll(c)
		if err != nil {
			t.Error(err)
		}
		for line := range strings.Lines(string(got)) {
			var w, i int
			if _, err := fmt.Sscanf(line, "%d %d\n", &w, &i); err != nil || i != next[w] {
				t.Fatalf("%q (%v), but writer %d is at %d", line, err, w, next[w])
			}
			next[w]++
		}
		for w, n := range next {
			if n != lines {
				t.Errorf("writer %d: %d lines", w, n)
			}
		}
	})
}

func TestServeAnIdleLoopIsWoken(t *testing.T) {
	inBothModes(t, func(t *testing.T) {
		streams := make(chan *rio.Stream, 1)
		v := serve(t, handler{data: func(c *rio.Stream, p []byte) { streams <- c }}, rio.Server{Loops: 1})
		c := v.dial(t)
		fmt.Fprint(c, "x")
		stream := <-streams
		for i := range 200 {
			if i%20 == 0 {
				time.Sleep(5 * time.Millisecond) // long enough for the loop to sleep
			}
			if n, err := stream.Write([]byte{byte(i)}); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			var got [1]byte
			if _, err := io.ReadFull(c, got[:]); err != nil || got[0] != byte(i) {
				t.Fatalf("message %d: %d, %v", i, got[0], err)
			}
		}
	})
}

func TestServeClosesAfterWhatWasWritten(t *testing.T) {
	inBothModes(t, func(t *testing.T) {
		ends := make(chan error, 1)
		message := pattern(1, 5<<20)
		v := serve(t, handler{
			data: func(c *rio.Stream, p []byte) {
				if c.Unsent() > 0 {
					t.Error("Data after Close")
				}
				c.Write(message)
				//lint:ignore SA1012 that is the test
				if err := c.Flush(nil); !errors.Is(err, os.ErrInvalid) {
					t.Error("Flush without a context:", err)
				}
				c.Close()
				c.Close()
				if n, err := c.Write(p); n != 0 || !errors.Is(err, net.ErrClosed) {
					t.Error("Write after Close:", n, err)
				}
			},
			closed: func(c *rio.Stream, err error) {
				if c.RemoteAddr() == nil || c.LocalAddr() == nil {
					t.Error("no addresses in Closed")
				}
				ends <- err
			},
		}, rio.Server{})
		c := v.dial(t)
		fmt.Fprint(c, "x")
		if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, message) {
			t.Errorf("%d of %d bytes (%v), or others", len(got), len(message), err)
		}
		if err := <-ends; err != nil {
			t.Error("Closed:", err)
		}
	})
}

func TestServeAbortDoesNotWaitForThePeer(t *testing.T) {
	inBothModes(t, func(t *testing.T) {
		ends := make(chan error, 1)
		v := serve(t, handler{
			data: func(c *rio.Stream, p []byte) {
				c.Write(make([]byte, 64<<20))
				c.Close() // waits for the peer, who does not read
				go func() {
					ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
					defer cancel()
					if err := c.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
						t.Error("Flush:", err)
					}
					c.Abort()
					if err := c.Flush(context.Background()); !errors.Is(err, net.ErrClosed) {
						t.Error("Flush of what never will be sent:", err)
					}
				}()
			},
			closed: func(_ *rio.Stream, err error) { ends <- err },
		}, rio.Server{})
		c := v.dial(t)
		fmt.Fprint(c, "x")
		select {
		case err := <-ends:
			if !errors.Is(err, net.ErrClosed) {
				t.Error("Closed:", err)
			}
		case <-time.After(patience):
			t.Error("Abort waits")
		}
	})
}

func TestServeRefusesWithoutAHandler(t *testing.T) {
	inBothModes(t, func(t *testing.T) {
		v := serve(t, handler{}, rio.Server{Open: func(*rio.Stream) rio.Handler { return nil }})
		for range 10 {
			if n, err := v.dial(t).Read(make([]byte, 1)); n != 0 || err == nil || os.IsTimeout(err) {
				t.Error(n, err)
			}
		}
	})
}

// traffic has clients that send and receive until their connection ends.
func traffic(t *testing.T, v *served) (ended *sync.WaitGroup) {
	ended = new(sync.WaitGroup)
	for i := range 20 {
		c := v.dial(t)
		started := make(chan bool)
		ended.Go(func() {
			p := pattern(uint64(i), 1+i*997)
			for n := 0; ; n++ {
				if err := exchanges(c, p); err != nil {
					if n == 0 {
						t.Error("at once:", err)
						close(started)
					}
					return
				}
				if n == 0 {
					close(started)
				}
			}
		})
		<-started
	}
	return ended
}

func TestServeEndsWithTheContextInFullTraffic(t *testing.T) {
	inBothModes(t, func(t *testing.T) {
		fds, goroutines := len(openFDs()), runtime.NumGoroutine()
		t.Run("traffic", func(t *testing.T) {
			v := serve(t, handler{data: echo, closed: func(_ *rio.Stream, err error) {
				if err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
					t.Error("Closed:", err)
				}
			}}, rio.Server{Loops: 3})
			clients := traffic(t, v)
			stuck := v.dial(t) // with something unsent, and nobody to take it
			stuck.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
			for err := error(nil); err == nil; {
				_, err = stuck.Write(make([]byte, 1<<20))
			}
			soon(t, "all are open", func() bool { return v.opens.Load() == 21 })
			if err := v.stop(); err != nil {
				t.Error("Serve:", err)
			}
			if o, c := v.opens.Load(), v.closes.Load(); o != 21 || c != o {
				t.Errorf("%d opened, %d closed", o, c)
			}
			clients.Wait()
			// The Listener is still there, and Serve can begin again.
			ctx, cancel := context.WithCancel(context.Background())
			again := make(chan error)
			go func() {
				again <- v.l.Serve(ctx, &rio.Server{Open: func(*rio.Stream) rio.Handler {
					return handler{data: echo, served: new(served)}
				}})
			}()
			if err := exchanges(v.dial(t), pattern(1, 100)); err != nil {
				t.Error("again:", err)
			}
			cancel()
			if err := <-again; err != nil {
				t.Error("again:", err)
			}
		})
		soon(t, "everything is given back", func() bool {
			return len(openFDs()) <= fds+2 && runtime.NumGoroutine() <= goroutines+1
		})
	})
}

func TestServeEndsWithItsListenerAndItsRing(t *testing.T) {
	for name, end := range map[string]func(v *served) error{
		"Listener.Close": func(v *served) error { return v.l.Close() },
		"Ring.Close":     func(v *served) error { return v.ring.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			inBothModes(t, func(t *testing.T) {
				ring := newRing(t, nil)
				l, err := ring.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				v := &served{ring: ring, l: l}
				s := rio.Server{Loops: 2, Open: func(*rio.Stream) rio.Handler {
					v.opens.Add(1)
					return handler{data: echo, served: v}
				}}
				result := make(chan error, 1)
				go func() { result <- l.Serve(context.Background(), &s) }()
				clients := traffic(t, v)
				if err := end(v); err != nil {
					t.Error(err)
				}
				if err := v.await(t, result); !errors.Is(err, net.ErrClosed) {
					t.Error("Serve:", err)
				}
				if o, c := v.opens.Load(), v.closes.Load(); o != 20 || c != o {
					t.Errorf("%d opened, %d closed", o, c)
				}
				clients.Wait()
				if err := l.Serve(context.Background(), &s); !errors.Is(err, net.ErrClosed) {
					t.Error("Serve when all is closed:", err)
				}
			})
		})
	}
}

func TestServeThatIsEndedAtOnceLeavesNothing(t *testing.T) {
	inBothModes(t, func(t *testing.T) {
		ring := newRing(t, nil)
		l, err := ring.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		fds := len(openFDs())
		for i := range 50 {
			ctx, cancel := context.WithCancel(context.Background())
			var opened, closed atomic.Int64
			result := make(chan error)
			go func() {
				result <- l.Serve(ctx, &rio.Server{Loops: 2, Open: func(*rio.Stream) rio.Handler {
					opened.Add(1)
					return handler{data: echo, served: new(served), closed: func(*rio.Stream, error) { closed.Add(1) }}
				}})
			}()
			var clients sync.WaitGroup
			for range 5 { // they connect while it ends
				clients.Go(func() {
					if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
						c.Close()
					}
				})
			}
			for range i * 50 {
				runtime.Gosched()
			}
			cancel()
			if err := <-result; err != nil || opened.Load() != closed.Load() {
				t.Fatalf("%v; %d opened, %d closed", err, opened.Load(), closed.Load())
			}
			clients.Wait()
		}
		soon(t, "all descriptors are closed", func() bool { return len(openFDs()) <= fds+1 })
	})
}

func TestServeGoesOnWhenDescriptorsWereScarce(t *testing.T) {
	inBothModes(t, func(t *testing.T) {
		var old syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
			t.Fatal(err)
		}
		few := old
		few.Cur = uint64(len(openFDs()) + 50)
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
			t.Fatal(err)
		}
		defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old)
		// The kernel asks for the limit when an accept begins, so not before now.
		v := serve(t, handler{data: echo}, rio.Server{Loops: 2})
		if err := exchanges(v.dial(t), []byte("x")); err != nil {
			t.Fatal(err)
		}
		var taken []int
		for {
			fd, err := syscall.Dup(0)
			if err != nil {
				break
			}
			taken = append(taken, fd)
		}
		syscall.Close(taken[0]) // for the client; there is none for the server
		c := v.dial(t)
		fmt.Fprint(c, "hello")
		c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if n, err := c.Read(make([]byte, 5)); !os.IsTimeout(err) {
			t.Error("served without a descriptor:", n, err)
		}
		for _, fd := range taken[1:] {
			syscall.Close(fd)
		}
		c.SetReadDeadline(time.Now().Add(patience))
		got := make([]byte, 5)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// What a Handler does before it writes, its client sees when it has read, and the other way round.
func TestServeIsCleanUnderTheRaceDetector(t *testing.T) {
	inBothModes(t, func(t *testing.T) {
		var request, answer int // no lock: the messages say who may use them
		v := serve(t, handler{data: func(c *rio.Stream, p []byte) {
			answer = 2 * request
			c.Write(p)
		}}, rio.Server{})
		c := v.dial(t)
		var p [1]byte
		for i := range 100 {
			request = i
			if _, err := c.Write(p[:]); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, p[:]); err != nil {
				t.Fatal(err)
			}
			if answer != 2*i {
				t.Fatalf("answer %d to %d", answer, i)
			}
		}
	})
}

func TestServeTakesBackItsBufferUnderTheRaceDetector(t *testing.T) {
	if !underRace {
		t.Skip("only with -race")
	}
	var kept []byte
	same := make(chan bool, 10)
	v := serve(t, handler{data: func(c *rio.Stream, p []byte) {
		if kept != nil {
			same <- string(kept) == "first"
		}
		kept = p
		c.Write(p)
	}}, rio.Server{Loops: 1})
	c := v.dial(t)
	for _, m := range []string{"first", "again"} {
		if err := exchanges(c, []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	if <-same {
		t.Error("a Handler that keeps its buffer doesn't notice")
	}
}

func TestServeEndsTheProcessWithAPanic(t *testing.T) {
	if how := os.Getenv("RIO_TEST_HANDLER"); how != "" {
		v := serve(t, handler{data: func(*rio.Stream, []byte) {
			if how == "panic" {
				panic("the handler's own words")
			}
			runtime.Goexit()
		}}, rio.Server{})
		exchanges(v.dial(t), []byte("x"))
		os.Exit(0)
	}
	for how, words := range map[string]string{"panic": "the handler's own words", "Goexit": "runtime.Goexit"} {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "RIO_TEST_HANDLER="+how)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "panic: ") || !strings.Contains(string(out), words) {
			t.Errorf("%s: %v\n%s", how, err, out)
		}
	}
}

func TestServeBadArguments(t *testing.T) {
	r := newRing(t, nil)
	l, err := r.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	open := func(*rio.Stream) rio.Handler { return nil }
	for name, serve := range map[string]func() error{
		"nil Listener":       func() error { return (*rio.Listener)(nil).Serve(t.Context(), &rio.Server{Open: open}) },
		"zero Listener":      func() error { return new(rio.Listener).Serve(t.Context(), &rio.Server{Open: open}) },
		"nil Server":         func() error { return l.Serve(t.Context(), nil) },
		"no Open":            func() error { return l.Serve(t.Context(), &rio.Server{}) },
		"negative Loops":     func() error { return l.Serve(t.Context(), &rio.Server{Open: open, Loops: -1}) },
		"negative MaxUnsent": func() error { return l.Serve(t.Context(), &rio.Server{Open: open, MaxUnsent: -1}) },
		"nil context":        func() error { return l.Serve(nil, &rio.Server{Open: open}) }, //lint:ignore SA1012 that is the test
	} {
		if err := serve(); !errors.Is(err, os.ErrInvalid) || !strings.HasPrefix(err.Error(), "rio: serve: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An answer may be much longer than what asked for it: who doesn't read costs no more than one more of those.
func TestServeHoldsBackFromWhoDoesNotRead(t *testing.T) {
	inBothModes(t, func(t *testing.T) {
		const limit, times = 64 << 10, 256
		var calls, over, taken atomic.Int64
		ends := make(chan error, 1)
		v := serve(t, handler{data: func(c *rio.Stream, p []byte) {
			if c.Unsent() > limit {
				over.Add(1)
			}
			calls.Add(1)
			taken.Add(int64(len(p)))
			for _, b := range p {
				c.Write(bytes.Repeat([]byte{b}, times))
			}
		}, closed: func(_ *rio.Stream, err error) { ends <- err }}, rio.Server{Loops: 1, MaxUnsent: limit})
		slow, other := v.dial(t), v.dial(t)
		message := pattern(1, 100<<10)
		for n := 0; n < len(message); n += 1 << 10 { // many pieces
			if _, err := slow.Write(message[n : n+1<<10]); err != nil {
				t.Fatal(err)
			}
		}
		slow.CloseWrite()
		soon(t, "Data was called", func() bool { return calls.Load() > 0 })
		other.Write([]byte{7})
		if answer := make([]byte, times); true {
			if _, err := io.ReadFull(other, answer); err != nil || !bytes.Equal(answer, bytes.Repeat([]byte{7}, times)) {
				t.Error("another connection:", err)
			}
		}
		held := taken.Load() < int64(len(message)) // though all of it was sent
		got := make([]byte, times*len(message))
		if m, err := io.ReadFull(slow, got); err != nil {
			t.Fatalf("%d of %d bytes came back: %v", m, len(got), err)
		}
		for i, b := range got {
			if b != message[i/times] {
				t.Fatalf("byte %d is another's", i)
			}
		}
		if n, err := slow.Read(got); n != 0 || err != io.EOF {
			t.Error("behind it:", n, err)
		}
		if err := <-ends; err != nil {
			t.Error("Closed:", err)
		}
		if n := over.Load(); n > 0 {
			t.Errorf("Data was called %d times of %d with more than %d bytes unsent", n, calls.Load(), limit)
		}
		if !held {
			t.Error("nothing was held back")
		}
	})
}

// What was received is not lost, though the peer has reset the connection and it is the send that hears of that.
func TestServeHandsOverWhatItHoldsToTheEnd(t *testing.T) {
	inBothModes(t, func(t *testing.T) {
		const sent = 32 << 10
		var got atomic.Int64
		ends := make(chan error, 1)
		v := serve(t, handler{data: func(c *rio.Stream, p []byte) {
			got.Add(int64(len(p)))
			c.Write(make([]byte, 8<<20))
		}, closed: func(_ *rio.Stream, err error) { ends <- err }}, rio.Server{Loops: 1, MaxUnsent: 64 << 10})
		c := v.dial(t)
		if _, err := c.Write(make([]byte, sent)); err != nil { // it comes in one piece, and is received in eight
			t.Fatal(err)
		}
		soon(t, "Data was called", func() bool { return got.Load() > 0 })
		first := got.Load()
		c.SetLinger(0)
		c.Close()
		if err := <-ends; err == nil {
			t.Error("it was no reset")
		}
		if all := !strings.HasSuffix(t.Name(), "plain") && !olderThan(t, 6, 0) && !onThreads; got.Load() == first && all {
			t.Errorf("Data had %d bytes of %d, all of them before the reset: %d", got.Load(), sent, first)
		}
	})
}
