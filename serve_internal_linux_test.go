package rio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

type echoes struct{}

func (echoes) Data(c *Stream, p []byte) { c.Write(p) }
func (echoes) Closed(*Stream, error)    {}

// Ring.Close waits for those who Serve, also for who finds the Listener closed just then.
func TestServeOfAClosedListenerHoldsNobodyUp(t *testing.T) {
	withProcs(t, 2)
	r := openRing(t, nil)
	l, err := r.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.close(l.closeFD) // the first half of Close
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				if l.Serve(context.Background(), &Server{Open: func(*Stream) Handler { return echoes{} }}) == nil {
					t.Error("it serves")
				}
			}
		}
	}()
	seen := map[*service]bool{}
	until(t, "some are seen", func() bool {
		r.services.mu.Lock()
		for v := range r.services.all {
			seen[v] = true
		}
		r.services.mu.Unlock()
		return len(seen) >= 20
	})
	close(stop)
	<-stopped
	for v := range seen {
		select {
		case <-v.gone:
		case <-time.After(10 * time.Second):
			t.Fatal("Ring.Close would wait for one that is gone")
		}
	}
}

// A shortKernel takes nothing while it is short of memory.
type shortKernel struct {
	uring.Kernel
	short *atomic.Bool
}

func (k shortKernel) Enter(submit, wait, flags uint32, limit time.Duration) (int, syscall.Errno) {
	if !k.short.Load() {
		return k.Kernel.Enter(submit, wait, flags, limit)
	}
	k.Kernel.Enter(0, 0, flags, 0)
	return 0, syscall.EAGAIN
}

// When the kernel takes nothing for a while, and the queue is full, Serve goes on afterwards, whatever was to be done meanwhile.
func TestServeGoesOnAfterTheKernelTookNothing(t *testing.T) {
	for _, ends := range []bool{false, true} {
		t.Run(fmt.Sprintf("ends=%t", ends), func(t *testing.T) {
			r := openRing(t, &Config{Backend: Threads})
			if r.loopKernel == nil {
				t.Skip("its loops have no kernel but Linux")
			}
			var short atomic.Bool
			inner := r.loopKernel
			r.loopKernel = func(q *uring.Queues) uring.Kernel { return shortKernel{inner(q), &short} }
			l, err := r.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			const n = 1400 // more than the queue holds
			opened := make(chan *Stream, n+1)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			go func() {
				done <- l.Serve(ctx, &Server{Loops: 1, Open: func(c *Stream) Handler { opened <- c; return echoes{} }})
			}()
			var clients []net.Conn
			var streams []*Stream
			dial := func() {
				c, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.Close() })
				c.SetDeadline(time.Now().Add(20 * time.Second))
				clients = append(clients, c)
			}
			for range n {
				dial()
				streams = append(streams, <-opened)
			}
			for _, c := range []net.Conn{clients[0], clients[n-1]} { // all are received from
				io.WriteString(c, "-")
				if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
			}
			short.Store(true)
			time.AfterFunc(500*time.Millisecond, func() { short.Store(false) })
			for _, s := range streams {
				s.Write([]byte("x"))
			}
			dial() // accepted, and another accept asked for
			<-opened
			if ends {
				cancel()
			}
			for i, c := range clients[:n] {
				if b, err := io.ReadAll(io.LimitReader(c, 1)); !ends && (string(b) != "x" || err != nil) {
					t.Fatalf("%d: %q, %v", i, b, err)
				}
			}
			if !ends {
				io.WriteString(clients[n], "y")
				if b, err := io.ReadAll(io.LimitReader(clients[n], 1)); string(b) != "y" || err != nil {
					t.Fatalf("%q, %v", b, err)
				}
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// Where there is memory for some of the loops these serve, and the Logger hears of it; for none, Serve says so.
func TestServeRunsWithTheLoopsThatItGets(t *testing.T) {
	defer func() { openLoop = uring.OpenLoop }()
	var log strings.Builder
	r := openRing(t, &Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for _, some := range []int32{2, 0} {
		var left atomic.Int32
		left.Store(some)
		openLoop = func(entries, cqEntries uint32, plain, free bool, on func(*uring.Queues) uring.Kernel) (*uring.Loop, error) {
			if left.Add(-1) < 0 {
				return nil, os.NewSyscallError("io_uring_setup", syscall.ENOMEM)
			}
			return uring.OpenLoop(entries, cqEntries, plain, free, on)
		}
		l, err := r.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		served := make(chan error, 1)
		go func() { served <- l.Serve(ctx, &Server{Loops: 5, Open: func(*Stream) Handler { return echoes{} }}) }()
		if some > 0 {
			for range 4 {
				c, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				c.SetDeadline(time.Now().Add(10 * time.Second))
				c.Write([]byte("x"))
				if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
					t.Error(n, err)
				}
			}
			cancel()
		}
		if err := <-served; errors.Is(err, syscall.ENOMEM) != (some == 0) {
			t.Errorf("with %d of 5: %v", some, err)
		}
		l.Close()
	}
	// Whatever else keeps a loop from being is an error, whoever says so first.
	for _, first := range []int32{0, 1} {
		var n atomic.Int32
		openLoop = func(entries, cqEntries uint32, plain, free bool, on func(*uring.Queues) uring.Kernel) (*uring.Loop, error) {
			switch k := n.Add(1) - 1; k {
			case first:
				return nil, os.NewSyscallError("io_uring_setup", syscall.ENOMEM)
			case 1 - first:
				return nil, os.NewSyscallError("io_uring_setup", syscall.EMFILE)
			}
			return uring.OpenLoop(entries, cqEntries, plain, free, on)
		}
		l, err := r.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := l.Serve(ctx, &Server{Loops: 5, Open: func(*Stream) Handler { return echoes{} }}); !errors.Is(err, syscall.EMFILE) {
			t.Error(err)
		}
		cancel()
		l.Close()
	}
	if n := strings.Count(log.String(), "loops=2 wanted=5"); n != 1 {
		t.Errorf("told %d times: %s", n, &log)
	}
}

// Who writes much copies it before the loop has to wait for him; and if the Stream is closed meanwhile nothing of it is taken.
func TestALargeWriteDoesNotHoldUpTheLoop(t *testing.T) {
	r := openRing(t, nil)
	l, err := r.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	streams, served := make(chan *Stream, 1), make(chan error, 1)
	go func() {
		served <- l.Serve(context.Background(), &Server{Loops: 1, Open: func(c *Stream) Handler {
			streams <- c
			return echoes{}
		}})
	}()
	peer, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	c := <-streams
	text := make([]byte, 5*bigChunk+5)
	rand.NewChaCha8([32]byte{}).Read(text)
	begin := text[:10]
	held := false
	hold := func(on bool) {
		if held = on; on {
			c.mu.Lock()
		} else {
			c.mu.Unlock()
		}
	}
	defer func() {
		if held { // or nothing ends
			c.mu.Unlock()
		}
	}()
	written := make(chan error, 1)
	write := func() { // returns when it has copied, and waits for mu, which is held
		spare := &c.loop.spare
		kept := spare.take(bigChunk)
		spare.put(kept)
		go func() {
			_, err := c.Write(text)
			written <- err
		}()
		until(t, "the Write copies", func() bool {
			spare.mu.Lock()
			defer spare.mu.Unlock()
			for k := spare.big; k != nil; k = k.next {
				if k == kept {
					return false
				}
			}
			return true
		})
	}
	hold(true)
	c.push(begin) // which is still to be sent
	write()
	if c.unsent != len(begin) {
		t.Errorf("%d bytes are queued", c.unsent)
	}
	hold(false)
	if err := <-written; err != nil {
		t.Error(err)
	}
	c.Write([]byte("end"))
	want := slices.Concat(begin, text, []byte("end"))
	got := make([]byte, len(want))
	if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, want) {
		t.Error("the peer has something else:", err)
	}
	hold(true)
	write()
	c.asked |= wantClose
	hold(false)
	if err := <-written; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	c.loop.post(c)
	if n, err := peer.Read(got); n != 0 || err != io.EOF {
		t.Errorf("the peer got %d bytes of it, %v", n, err)
	}
	l.Close()
	<-served
}

// A counter writes more than a chunk sixteen times, and tells in how many chunks that lies.
type counter chan int

func (n counter) Data(c *Stream, _ []byte) {
	for range 16 {
		c.Write(make([]byte, bigChunk+1))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	chunks := 0
	for k := c.out; k != nil; k = k.next {
		chunks++
	}
	n <- chunks
}

func (counter) Closed(*Stream, error) {}

// Writes share chunks, but for very large ones.
func TestWritesShareChunks(t *testing.T) {
	r := openRing(t, nil)
	l, err := r.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n, served := make(counter, 1), make(chan error, 1)
	go func() { served <- l.Serve(context.Background(), &Server{Open: func(*Stream) Handler { return n }}) }()
	peer, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	peer.Write([]byte("x"))
	if n := <-n; n != 17 {
		t.Errorf("1 MiB and 16 bytes lie in %d chunks", n)
	}
	peer.Close()
	l.Close()
	<-served
}
