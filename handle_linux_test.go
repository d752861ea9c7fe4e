package rio_test

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-9c58b644/rio"
)

// inTime fails when f hangs.
func inTime(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { f(); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("hangs: " + what)
	}
}

// Some regular files can be polled, and package os then waits for a file's users when it closes it.
func TestNewFileOfAPollableRegularFileCloses(t *testing.T) {
	r := newRing(t, nil)
	for _, name := range []string{"/proc/self/mounts", "/proc/self/status", "go.mod"} {
		for _, first := range []string{"os.File", "File"} {
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			h, err := r.NewFile(f)
			if err != nil {
				t.Fatal(name, err)
			}
			inTime(t, name+", "+first+" first", func() {
				if first == "os.File" {
					f.Close()
				}
				b := make([]byte, 1)
				if n, err := h.Read(b); n != 1 || err != nil {
					t.Errorf("%s: read %d, %v", name, n, err)
				}
				if err := h.Close(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				f.Close()
			})
		}
	}
}

func TestWriteDoesNotWaitForARead(t *testing.T) {
	r := newRing(t, nil)
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	near, err := r.NewFile(os.NewFile(uintptr(fds[0]), "near"))
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	far := os.NewFile(uintptr(fds[1]), "far")
	defer far.Close()
	got := make(chan string, 1)
	go func() {
		b := make([]byte, 10)
		n, err := near.Read(b)
		if err != nil {
			t.Error(err)
		}
		got <- string(b[:n])
	}()
	eventually(t, "the read waits", func() bool { s := r.Stats(); return s.Started > s.Completed })
	inTime(t, "Write while a Read waits", func() {
		if _, err := near.Write([]byte("ping")); err != nil {
			t.Error(err)
		}
		near.Seek(0, 0)
	})
	b := make([]byte, 10)
	if n, err := far.Read(b); string(b[:n]) != "ping" {
		t.Error(string(b[:n]), err)
	}
	far.Write([]byte("pong"))
	if s := <-got; s != "pong" {
		t.Error(s)
	}
}

// An answer is seldom as long as the buffer for it.
func TestLastRecvOfAChainMayBeShort(t *testing.T) {
	r := newRing(t, nil)
	a, b := tcpPair(t)
	go func() {
		buf := make([]byte, 100)
		n, _ := b.Read(buf)
		b.Write(buf[:n])
	}()
	chain := r.Chain()
	chain.Send(a, []byte("ping"))
	buf := make([]byte, 64)
	answer := chain.Recv(a, buf)
	submit(t, chain)
	inTime(t, "the chain", func() {
		if n, err := answer.Wait(); string(buf[:n]) != "ping" || err != nil {
			t.Error(string(buf[:n]), err)
		}
	})
}

// Close waits for the operations that have the handle. Who is in line for a ticket may be so for ever, and has not.
func TestCloseDoesNotWaitForThoseInLine(t *testing.T) {
	r := newRing(t, &rio.Config{Depth: 1})
	busy, err := r.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for range r.Stats().Capacity {
		r.Accept(busy)
	}
	l, err := r.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		refused := make(chan error, 1)
		go func() {
			if i == 0 {
				_, err := r.Accept(l).Wait()
				refused <- err
				return
			}
			chain := r.Chain()
			chain.Accept(l)
			refused <- chain.Submit()
		}()
		eventually(t, "it is in line", func() bool { return r.Stats().Waits == uint64(i+1) })
		inTime(t, "Close", func() { l.Close() })
		busy.Close()
		if err := <-refused; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if i == 0 {
			if busy, err = r.Listen("tcp", "127.0.0.1:0"); err != nil {
				t.Fatal(err)
			}
			for range r.Stats().Capacity {
				r.Accept(busy)
			}
			if l, err = r.Listen("tcp", "127.0.0.1:0"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestZeroRingIsAnError(t *testing.T) {
	var r rio.Ring
	_, nop := r.Nop().Wait()
	_, open := r.OpenFile("go.mod", os.O_RDONLY, 0)
	_, listen := r.Listen("tcp", "127.0.0.1:0")
	chain := r.Chain()
	chain.Nop()
	for what, err := range map[string]error{"Nop": nop, "OpenFile": open, "Listen": listen, "Submit": chain.Submit(), "SubmitAll": r.SubmitAll(), "Close": r.Close()} {
		if !errors.Is(err, os.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	r.Stats()
}

// When an operation is over the ring holds on to nothing of it: a lock goes with the last reference to the file.
func TestLentFileIsTakenBackBeforeTheResult(t *testing.T) {
	if olderThan(t, 6, 5) {
		t.Skip("before 6.5 the kernel lets go of registered files in its own time")
	}
	r := newRing(t, nil)
	name := t.TempDir() + "/locked"
	for i := range 2000 {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		rc, err := f.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		rc.Control(func(fd uintptr) { rio.SkipUnlessItTells(t, int(fd)) }) // or a worker reads
		rc.Control(func(fd uintptr) { err = syscall.Flock(int(fd), syscall.LOCK_EX|syscall.LOCK_NB) })
		if err != nil {
			t.Fatalf("round %d: the file is still open somewhere: %v", i, err)
		}
		// Not a sync: the kernel's worker keeps the file a little longer than it takes to complete.
		if _, err = r.ReadAt(f, make([]byte, 10), 0, rio.Drain).Wait(); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
}

// IORING_SETUP_COOP_TASKRUN and TASKRUN_FLAG: what another thread has to do must not be waited for in a loop.
func TestTaskrunFlagDoesNotSpin(t *testing.T) {
	r, err := rio.New(&rio.Config{SetupFlags: 1<<8 | 1<<9})
	if err != nil {
		t.Skip(err)
	}
	defer r.Close()
	rd, wr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	defer wr.Close()
	for range 20 {
		read := r.ReadAt(rd, make([]byte, 1), 0)
		wrote := make(chan error, 1)
		go func() {
			_, err := r.WriteAt(wr, []byte{1}, 0).Wait()
			wrote <- err
		}()
		if n, err := read.Wait(); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if err := <-wrote; err != nil {
			t.Fatal(err)
		}
	}
	if s := r.Stats(); s.Enters > 100*s.Started {
		t.Errorf("%d enters for %d operations", s.Enters, s.Started)
	}
}

// Handles made inside a bubble are woken from outside.
func TestHandlesInABubble(t *testing.T) {
	r := newRing(t, nil)
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			l, err := r.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				l.Accept()
				close(done)
			}()
			runtime.Gosched()
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			<-done
		})
	}
}

func TestDoneOfAChainMayBeAskedForBeforeSubmit(t *testing.T) {
	r := newRing(t, nil)
	p, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	defer w.Close()
	chain := r.Chain()
	read := chain.ReadAt(p, make([]byte, 1), 0)
	nop := chain.Nop()
	done, late := read.Done(), nop.Done()
	select {
	case <-done:
		t.Fatal("done before Submit")
	default:
	}
	submit(t, chain)
	w.Write([]byte("x"))
	inTime(t, "Done", func() { <-done; <-late; <-read.Done() })
	ok(t, read)
	ok(t, nop)
	<-done

	refused := r.Chain()
	c := refused.ReadAt(p, make([]byte, 1), -1)
	done = c.Done()
	if refused.Submit() == nil {
		t.Fatal("submitted")
	}
	inTime(t, "Done of what was refused", func() { <-done })
}

type deaf struct{}

func (deaf) Data(*rio.Stream, []byte)  {}
func (deaf) Closed(*rio.Stream, error) {}

// What somebody waits for inside of a bubble may be ended outside.
func TestServeAndABubble(t *testing.T) {
	r := newRing(t, nil)
	l, err := r.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	streams, served := make(chan *rio.Stream, 1), make(chan error, 1)
	go func() {
		served <- l.Serve(t.Context(), &rio.Server{Open: func(c *rio.Stream) rio.Handler {
			streams <- c
			return deaf{}
		}})
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go io.Copy(io.Discard, c)
	s := <-streams
	synctest.Test(t, func(t *testing.T) {
		for range 20 {
			s.Write(make([]byte, 1<<20))
			if err := s.Flush(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	l.Close()
	<-served

	if b, _ := r.Backend(); b == rio.Threads {
		return // its loops' threads are goroutines of the bubble
	}
	if l, err = r.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	closed := make(chan error)
	go func() {
		c, err := net.Dial("tcp", l.Addr().String())
		if err == nil {
			c.Read(make([]byte, 1)) // it is refused: Serve has begun
			c.Close()
		}
		closed <- r.Close()
	}()
	synctest.Test(t, func(t *testing.T) {
		l.Serve(t.Context(), &rio.Server{Open: func(*rio.Stream) rio.Handler { return nil }})
	})
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

const finalizers = "RIO_TEST_FINALIZERS"

// GODEBUG=checkfinalizers=1 ends a program in which something with a finalizer leads to itself, a Pinner above all: it would never go.
func TestNothingLeadsToItself(t *testing.T) {
	if os.Getenv(finalizers) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), finalizers+"=1", "GODEBUG=checkfinalizers=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	r := newRing(t, nil)
	f, err := r.OpenFile(tempFile(t, "abc").Name(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	near, far := connPair(t, r, "tcp")
	bufs, err := r.Buffers(4, 4096)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		ok(t, r.ReadAt(f, make([]byte, 3), 0))
		ok(t, r.Send(near, []byte("x")))
		ok(t, r.Recv(far, make([]byte, 1)))
		runtime.GC()
	}
	runtime.KeepAlive(bufs)
	f.Close()
}

// NewConn says what it doesn't take, and errors of a Conn without a peer have a network.
func TestConnsOfOddSockets(t *testing.T) {
	r := newRing(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := r.NewConn(f); !errors.Is(err, os.ErrInvalid) || !strings.Contains(err.Error(), "NewConn: the socket listens") {
		t.Error("a listening socket:", err)
	}
	if _, err := r.NewConn(tempFile(t, "")); err == nil || !strings.Contains(err.Error(), "NewConn") {
		t.Error("a file:", err)
	}
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	if f, err = u.(*net.UDPConn).File(); err != nil {
		t.Fatal(err)
	}
	c, err := r.NewConn(f)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Write([]byte("to whom?"))
	if e := (*net.OpError)(nil); !errors.As(err, &e) || e.Net != "udp" || e.Op != "write" || !errors.Is(err, syscall.EDESTADDRREQ) {
		t.Errorf("%v", err)
	}
}
