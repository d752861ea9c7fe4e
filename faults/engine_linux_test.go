package faults

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
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
)

// What Conns wait for takes no ticket: of all that rio does only this can overflow the CQ.
func TestMoreCompletionsThanThereIsRoomFor(t *testing.T) {
	f := inject(t, 1, "200 receives complete at once into a CQ of 16")
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	seen := overflowsSeen(t)
	r := f.ring(&rio.Config{Depth: 8, CQDepth: 16})
	const many = 200
	var peers [many]net.Conn
	var got [many]atomic.Int64
	var wg sync.WaitGroup
	for i := range many {
		a, b := unixPair(f)
		peers[i] = a
		c, err := r.NewConn(b)
		if err != nil {
			t.Fatal(err)
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer c.Close()
			buf := make([]byte, 8)
			for {
				n, err := io.ReadFull(c, buf)
				if err != nil {
					if n != 0 || err != io.EOF {
						f.lost.Add(1)
						t.Error(n, err)
					}
					return
				}
				f.ops.Add(1)
				if binary.LittleEndian.Uint64(buf) != uint64(got[i].Load())<<32|uint64(i) {
					f.wrong.Add(8)
				}
				got[i].Add(1)
			}
		}()
	}
	n := rounds(20, 100, 1000)
	for round := range n {
		f.eventually("all wait", func() bool {
			for i := range got {
				if got[i].Load() < int64(round) {
					return false
				}
			}
			return true
		})
		// On one P nobody reads completions before this is done.
		for i, p := range peers {
			if _, err := p.Write(binary.LittleEndian.AppendUint64(nil, uint64(round)<<32|uint64(i))); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, p := range peers {
		p.Close()
	}
	wg.Wait()
	for i := range got {
		if g := got[i].Load(); g != int64(n) {
			f.lost.Add(int64(n) - g)
			t.Errorf("connection %d has received %d messages of %d", i, g, n)
		}
	}
	if o := r.Stats().Overflows; o == 0 {
		t.Error("it never overflowed: nothing was injected")
	} else {
		t.Log("the ring had to ask for more", o, "times; the kernel says", seen())
	}
}

// overflowsSeen returns a function that says what the kernel has seen since, by its tracepoint: completions that found no place.
func overflowsSeen(t *testing.T) func() string {
	dir := "/sys/kernel/tracing/instances/rio-faults"
	if err := os.Mkdir(dir, 0o700); err != nil {
		return func() string { return "nothing (" + err.Error() + ")" }
	}
	t.Cleanup(func() { os.Remove(dir) })
	if err := os.WriteFile(dir+"/events/io_uring/io_uring_cqe_overflow/enable", []byte("1"), 0); err != nil {
		return func() string { return "nothing (" + err.Error() + ")" }
	}
	return func() string {
		os.WriteFile(dir+"/events/io_uring/io_uring_cqe_overflow/enable", []byte("0"), 0)
		b, err := os.ReadFile(dir + "/trace")
		if err != nil {
			return err.Error()
		}
		n := bytes.Count(b, []byte("io_uring_cqe_overflow:"))
		if n == 0 {
			t.Error("the tracepoint has seen no overflow: the ring's figure is wrong")
		}
		return fmt.Sprint(n, " completions found no place")
	}
}

func TestManyGoroutinesAndASmallQueue(t *testing.T) {
	f := inject(t, 2, "64 goroutines, an SQ of 4; contexts that end")
	r := f.ring(&rio.Config{Depth: 4})
	file, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	n := rounds(100, 500, 5000)
	f.within(2*time.Minute, "somebody", func() {
		var wg sync.WaitGroup
		for g := range 64 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				want, got := tagged("small", g, 0, 256), make([]byte, 256)
				for i := range n {
					ok(f, r.WriteAt(file, want, int64(g*256)))
					// A context that has ended or ends soon: the result, or its error, and the place comes back.
					ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i%3)*10*time.Microsecond)
					_, err := r.ReadAt(file, got, int64(g*256)).WaitContext(ctx)
					cancel()
					f.ops.Add(1)
					if err == nil {
						f.same("small", got, want)
					} else if !errors.Is(err, context.DeadlineExceeded) {
						f.lost.Add(1)
						t.Error(err)
					}
				}
			}()
		}
		wg.Wait()
	})
	if s := r.Stats(); s.InFlight != 0 || s.Waits == 0 {
		t.Errorf("%+v: nobody has waited for a place, or one was lost", s)
	}
}

func TestNumbersOfDescriptorsThatAreUsedAgain(t *testing.T) {
	f := inject(t, 7, "descriptors are closed under operations, and their numbers reused")
	r := f.ring(nil)
	dir := t.TempDir()
	const files, size = 16, 4096
	for i := range files {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), tagged("reuse", i, 0, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n := rounds(300, 2000, 20000)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			rnd := rand.New(rand.NewPCG(1, uint64(g)))
			for range n {
				which := rnd.IntN(files)
				name := filepath.Join(dir, fmt.Sprint(which))
				var conn syscall.Conn
				var closer io.Closer
				if rnd.IntN(2) == 0 {
					h, err := r.OpenFile(name, os.O_RDONLY, 0)
					if err != nil {
						t.Error(err)
						return
					}
					conn, closer = h, h
				} else {
					o, err := os.Open(name)
					if err != nil {
						t.Error(err)
						return
					}
					conn, closer = o, o
				}
				buf := make([]byte, size)
				var c rio.Completion[int]
				var chained rio.Completion[struct{}]
				chain := rnd.IntN(3) == 0
				if chain { // these are lent: they reach the kernel late
					ch := r.Chain()
					ch.Nop()
					c = ch.ReadAt(conn, buf, 0)
					chained = ch.Fsync(conn)
					if err := ch.Submit(); err != nil {
						t.Error(err)
					}
				} else {
					c = r.ReadAt(conn, buf, 0)
				}
				go closer.Close() // while it is in flight
				m, err := c.Wait()
				f.ops.Add(1)
				switch {
				case err == nil:
					f.same("file "+fmt.Sprint(which), buf[:m], tagged("reuse", which, 0, size))
				case !errors.Is(err, os.ErrClosed):
					f.lost.Add(1)
					t.Error(err)
				}
				if chain {
					chained.Wait()
				}
				closer.Close()
				if _, err := r.ReadAt(conn, buf, 0).Wait(); !errors.Is(err, os.ErrClosed) {
					f.lost.Add(1)
					t.Errorf("a read of a closed file: %v", err)
				}
				f.ops.Add(1)
			}
		}()
	}
	wg.Wait()
}

func TestBuffersOnTheStack(t *testing.T) {
	f := inject(t, 9, "a buffer that lies on the stack, which grows")
	r := f.ring(nil)
	pr, pw := pipe(f)
	var deep func(n int) byte
	deep = func(n int) byte {
		var pad [1024]byte
		pad[n%1024] = byte(n)
		if n == 0 {
			return pad[0]
		}
		return deep(n-1) + pad[n%1024]
	}
	for i := range rounds(200, 1000, 10000) {
		done := make(chan bool)
		go func() {
			defer close(done)
			var b [512]byte
			c := r.ReadAt(pr, b[:], 0)
			r.SubmitAll()
			deep(300) // another stack
			want := tagged("stack", i, 0, 512)
			pw.Write(want)
			ok(f, c)
			f.same("stack", b[:], want)
		}()
		<-done
	}
}

func TestCancelsThatRaceWithCompletions(t *testing.T) {
	f := inject(t, 10, "contexts end as data arrives; the stream has no gap")
	r := f.ring(nil)
	a, b := tcpPair(f)
	n := rounds(3000, 20000, 100000)
	go func() {
		var word [8]byte
		for i := range n {
			binary.LittleEndian.PutUint64(word[:], uint64(i))
			if _, err := a.Write(word[:]); err != nil {
				return
			}
			if i%8 == 0 {
				time.Sleep(100 * time.Microsecond)
			}
		}
	}()
	rnd := rand.New(rand.NewPCG(2, 3))
	var stream []byte
	cancelled := 0
	for len(stream) < n*8 {
		buf := make([]byte, 24)
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rnd.IntN(50))*time.Microsecond)
		m, err := r.Recv(b, buf).WaitContext(ctx)
		cancel()
		f.ops.Add(1)
		switch {
		case err == nil && m > 0:
			stream = append(stream, buf[:m]...)
		case errors.Is(err, context.DeadlineExceeded) && m == 0:
			cancelled++
		default:
			t.Fatal(m, err)
		}
	}
	var want []byte
	for i := range n {
		want = binary.LittleEndian.AppendUint64(want, uint64(i))
	}
	f.same("stream", stream, want)
	if cancelled == 0 {
		t.Error("no context has ended in time")
	}
}

func TestThousandsOfDeadlinesAtOnce(t *testing.T) {
	f := inject(t, 11, "3,000 operations with one deadline")
	const many = 3000
	r := f.ring(&rio.Config{Depth: 2048})
	pr, _ := pipe(f)
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	f.within(time.Minute, "an operation with a deadline", func() {
		var wg sync.WaitGroup
		for range many {
			wg.Add(1)
			go func() {
				defer wg.Done()
				_, err := r.ReadAt(pr, make([]byte, 1), 0).WaitContext(ctx)
				f.ops.Add(1)
				if !errors.Is(err, context.DeadlineExceeded) {
					f.lost.Add(1)
					t.Error(err)
				}
			}()
		}
		wg.Wait()
	})
	if s := r.Stats(); s.InFlight != 0 {
		t.Errorf("%d are still in flight", s.InFlight)
	}
}

func TestCompletionsThatNobodyWaitsFor(t *testing.T) {
	n := rounds(5000, 20000, 200000)
	f := inject(t, 12, fmt.Sprintf("%d completions are forgotten, and collected", n))
	r := f.ring(nil)
	name := filepath.Join(t.TempDir(), "f")
	h, err := r.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for i := range n {
		r.WriteAt(h, tagged("forgotten", i%64, 0, 512), int64(i%64)*512)
		if i%1000 == 0 {
			runtime.GC()
		}
		f.ops.Add(1)
	}
	f.eventually("nothing is in flight", func() bool { return r.Stats().InFlight == 0 })
	if s := r.Stats(); s.Completed != uint64(n) {
		f.lost.Add(int64(n) - int64(s.Completed))
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 64 {
		f.same("forgotten", got[i*512:(i+1)*512], tagged("forgotten", i, 0, 512))
	}
}

func TestGoroutinesThatEndBetweenStartAndWait(t *testing.T) {
	for _, how := range []string{"panic", "Goexit", "Goexit on a locked thread"} {
		t.Run(how, func(t *testing.T) {
			number := 13
			if how != "panic" {
				number = 14
			}
			f := inject(t, number, how+" between start and Wait, and in Wait")
			r := f.ring(&rio.Config{Depth: 32})
			pr, pw := pipe(f)
			n := rounds(200, 1000, 10000)
			for i := range n {
				done := make(chan bool)
				buf := make([]byte, 8)
				var left rio.Completion[int]
				go func() {
					defer close(done)
					defer func() { recover() }()
					if how == "Goexit on a locked thread" {
						runtime.LockOSThread() // the thread ends with it
					}
					left = r.ReadAt(pr, buf, 0)
					c := r.Nop()
					r.SubmitAll()
					if i%2 == 0 {
						c.Wait()
					}
					if how == "panic" {
						panic("a goroutine")
					}
					runtime.Goexit()
				}()
				<-done
				want := tagged("panic", i, 0, 8)
				if _, err := pw.Write(want); err != nil {
					t.Fatal(err)
				}
				ok(f, left)
				f.same("pipe", buf, want)
				f.eventually("nothing is in flight", func() bool { return r.Stats().InFlight == 0 })
				f.ops.Add(1)
			}
			ok(f, r.Nop())
		})
	}
}

func TestLoopsThatPanic(t *testing.T) {
	f := inject(t, 13, "a panic in the body of a loop over Received or Conns")
	r := f.ring(nil)
	l := listen(f, r)
	for i := range rounds(50, 300, 3000) {
		peer, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		var conn *rio.Conn
		func() {
			defer func() { recover() }()
			for c, err := range l.Conns(context.Background()) {
				if err != nil {
					t.Fatal(err)
				}
				conn = c
				panic("in the loop")
			}
		}()
		want := tagged("loop", i, 0, 2000)
		go func() {
			peer.Write(want)
			peer.(*net.TCPConn).CloseWrite()
		}()
		var got []byte
		func() {
			defer func() { recover() }()
			for p, err := range conn.Received(context.Background()) {
				if err != nil {
					t.Error(err)
				}
				got = append(got, p...)
				panic("in the loop")
			}
		}()
		rest, err := io.ReadAll(conn)
		if err != nil {
			t.Error(err)
		}
		f.same("the stream", append(got, rest...), want)
		f.ops.Add(2)
		conn.Close()
		peer.Close()
	}
}

func TestTheThreadOfSQPollSleeps(t *testing.T) {
	n := rounds(1000, 5000, 100000)
	f := inject(t, 21, fmt.Sprintf("SQPOLL sleeps after 1 ms; %d times somebody comes then", n))
	r := f.ring(&rio.Config{Depth: 8, SQPoll: true, SQPollIdle: time.Millisecond})
	rnd := rand.New(rand.NewPCG(4, 5))
	f.within(5*time.Minute, "an operation on an SQPOLL ring", func() {
		for range n {
			if d := rnd.IntN(5000); d < 2000 {
				time.Sleep(time.Duration(d) * time.Microsecond)
			}
			ok(f, r.Nop())
		}
	})
}

func TestAShortReadBreaksItsLink(t *testing.T) {
	f := inject(t, 23, "a linked read of 8 KiB from a file of 4")
	r := f.ring(nil)
	dir := t.TempDir()
	h := open(f, r, filepath.Join(dir, "f"), os.O_CREATE|os.O_RDWR)
	want := tagged("link", 1, 0, 4096)
	if _, err := h.WriteAt(want, 0); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "f"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, conn := range []syscall.Conn{h, file} {
		for range rounds(100, 1000, 10000) {
			c := r.Chain()
			read := c.ReadAt(conn, make([]byte, 8192), 0)
			write := c.WriteAt(conn, []byte("must not be written"), 0)
			sync := c.Fdatasync(conn)
			if err := c.Submit(); err != nil {
				t.Fatal(err)
			}
			if n := ok(f, read); n != 4096 {
				t.Fatal("the read gives ", n)
			}
			if _, err := write.Wait(); !errors.Is(err, syscall.ECANCELED) {
				f.lost.Add(1)
				t.Fatalf("the write says %v", err)
			}
			if _, err := sync.Wait(); !errors.Is(err, syscall.ECANCELED) {
				f.lost.Add(1)
				t.Fatalf("the sync says %v", err)
			}
			f.ops.Add(2)
		}
	}
	got, err := os.ReadFile(filepath.Join(dir, "f"))
	if err != nil {
		t.Fatal(err)
	}
	f.same("the file", got, want)
}

func TestDrainBehindWhatNeverEnds(t *testing.T) {
	f := inject(t, 24, "Drain behind a pending read; Received and timers don't count")
	r := f.ring(nil)
	pr, pw := pipe(f)
	a, b := unixPair(f)
	conn, err := r.NewConn(b)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(time.Hour))
	heard := make(chan []byte)
	go func() {
		for p, err := range conn.Received(context.Background()) {
			if err != nil {
				break
			}
			heard <- bytes.Clone(p)
		}
		close(heard)
	}()
	for range rounds(50, 500, 5000) {
		ok(f, r.Nop(rio.Drain)) // what the Conn waits for doesn't hold it up
		buf := make([]byte, 1)
		pending := r.ReadAt(pr, buf, 0)
		drained := r.Nop(rio.Drain)
		for range 5 {
			ok(f, r.Nop()) // later ones are not held up
		}
		if _, done, err := drained.TryWait(); done {
			t.Fatalf("it did not wait for the read: %v", err)
		}
		pw.Write([]byte("x"))
		ok(f, drained)
		ok(f, pending)
	}
	a.Write([]byte("hello"))
	f.same("heard", <-heard, []byte("hello"))
	a.Close()
	<-heard
}
