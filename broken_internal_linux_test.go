package rio

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// breakable returns a Ring and a function that breaks it: from then on the kernel refuses every enter, because the
// ring's descriptor is no ring any more. The kernel goes on with what it has, for the queues are still mapped.
func breakable(t *testing.T, cfg *Config) (r *Ring, breakIt func()) {
	t.Helper()
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var fds []int
	for l := range r.lanes() {
		fds = append(fds, int(reflect.ValueOf(l.k).Elem().FieldByName("fd").Int()))
	}
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		// If the kernel has something of it, Close lets the descriptor be.
		for _, fd := range fds {
			if name, _ := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd)); name == "/dev/null" {
				syscall.Close(fd)
			}
		}
	})
	return r, func() {
		for _, fd := range fds {
			if err := syscall.Dup3(int(null.Fd()), fd, syscall.O_CLOEXEC); err != nil {
				t.Error(err)
			}
		}
		null.Close()
	}
}

// refusal is what enter says about a descriptor that is no ring.
const refusal = syscall.EOPNOTSUPP

// within fails the test if f takes for ever.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		buf := make([]byte, 1<<20)
		t.Fatalf("%s hangs\n%s", what, buf[:runtime.Stack(buf, true)])
	}
}

func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for range 10000 {
		if f() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("never: ", what)
}

func pipeOn(t *testing.T, r *Ring) (*File, *os.File) {
	t.Helper()
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pw.Close() })
	f, err := r.NewFile(pr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, pw
}

func TestBrokenRingTellsEveryWaiterOnce(t *testing.T) {
	r, breakIt := breakable(t, nil)
	f, _ := pipeOn(t, r)
	l, err := r.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	conn, err := r.Accept(l).Wait()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	foreign, fw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	defer fw.Close()
	buf := func() []byte { return make([]byte, 8) }

	waited := map[string]Completion[int]{
		"Wait":        r.ReadAt(f, buf(), 0),
		"WaitContext": r.ReadAt(f, buf(), 0),
		"Done":        r.ReadAt(f, buf(), 0),
		"TryWait":     r.ReadAt(f, buf(), 0),
		"a Recv":      r.Recv(conn, buf()),
		"foreign":     r.ReadAt(foreign, buf(), 0),
		"linked":      r.ReadAt(f, buf(), 0, Link),
	}
	waited["behind a Link"] = r.ReadAt(f, buf(), 0)
	waited["linked, foreign"] = r.ReadAt(foreign, buf(), 0, Link)
	waited["behind a foreign Link"] = r.ReadAt(foreign, buf(), 0)
	waited["drained"] = r.ReadAt(f, buf(), 0, Drain)
	chain := r.Chain()
	waited["in a chain"] = chain.ReadAt(f, buf(), 0)
	sync1 := chain.Fdatasync(f)
	waited["behind a sync in a chain"] = chain.ReadAt(f, buf(), 0)
	if err := chain.Submit(); err != nil {
		t.Fatal(err)
	}
	accept := r.Accept(l)
	forgotten := r.ReadAt(f, buf(), 0)
	_ = forgotten

	type result struct {
		name string
		err  error
	}
	results := make(chan result, 100)
	var waiters int
	wait := func(name string, f func() error) {
		waiters++
		go func() { results <- result{name, f()} }()
	}
	for name, c := range waited {
		switch name {
		case "WaitContext":
			wait(name, func() error { _, err := c.WaitContext(context.Background()); return err })
		case "Done":
			wait(name, func() error { <-c.Done(); _, err := c.Wait(); return err })
		case "TryWait":
			wait(name, func() error {
				for {
					if _, ok, err := c.TryWait(); ok {
						return err
					}
					time.Sleep(time.Millisecond)
				}
			})
		default:
			wait(name, func() error { _, err := c.Wait(); return err })
		}
	}
	wait("a sync in a chain", func() error { _, err := sync1.Wait(); return err })
	wait("Accept", func() error { _, err := accept.Wait(); return err })
	wait("Conn.Read", func() error { _, err := conn.Read(buf()); return err })
	wait("Listener.Accept", func() error { _, err := l.Accept(); return err })
	wait("File.Read", func() error { _, err := f.Read(buf()); return err })
	until(t, "all but Done and TryWait are parked", func() bool {
		var polled Stats // Conn.Read, if there are several Ps
		r.waits.count(&polled)
		return int(r.parked.Load())+int(polled.Started-polled.Completed) >= waiters-2
	})

	breakIt()
	nop := r.Nop() // reaches the queue, but not the kernel
	wait("a NOP in the queue", func() error { _, err := nop.Wait(); return err })
	within(t, "a waiter", func() {
		for range waiters {
			if got := <-results; !errors.Is(got.err, refusal) {
				t.Errorf("%s: %v", got.name, got.err)
			}
		}
	})
	for name, c := range waited {
		if _, err := c.Wait(); err != ErrWaited {
			t.Errorf("%s, for the second time: %v", name, err)
		}
		if _, ok, err := c.TryWait(); !ok || err != ErrWaited {
			t.Errorf("%s, for the third time: %v, %v", name, ok, err)
		}
		if err := c.Cancel(); err != nil {
			t.Errorf("%s: Cancel says %v", name, err)
		}
		select {
		case <-c.Done():
		default:
			t.Errorf("%s: Done is not closed", name)
		}
	}
	checkBroken(t, r, f, conn, l)
	within(t, "File.Close", func() {
		if err := f.Close(); err != nil {
			t.Error("File.Close:", err)
		}
	})
	within(t, "Conn.Close", func() {
		if err := conn.Close(); err != nil {
			t.Error("Conn.Close:", err)
		}
	})
	within(t, "Ring.Close", func() {
		if err := r.Close(); !errors.Is(err, refusal) {
			t.Error("Ring.Close with operations that the kernel has:", err)
		}
		if err := r.Close(); !errors.Is(err, refusal) {
			t.Error("Ring.Close again:", err)
		}
	})
	within(t, "Listener.Close", func() {
		if err := l.Close(); err != nil {
			t.Error("Listener.Close:", err)
		}
	})
}

// checkBroken checks that nothing can be started on r any more.
func checkBroken(t *testing.T, r *Ring, f *File, conn *Conn, l *Listener) {
	t.Helper()
	buf := make([]byte, 8)
	within(t, "starting something on a broken ring", func() {
		for name, start := range map[string]func() error{
			"Nop":       func() error { _, err := r.Nop().Wait(); return err },
			"ReadAt":    func() error { _, err := r.ReadAt(f, buf, 0).Wait(); return err },
			"Link":      func() error { _, err := r.ReadAt(f, buf, 0, Link).Wait(); return err },
			"Drain":     func() error { _, err := r.Nop(Drain).Wait(); return err },
			"Send":      func() error { _, err := r.Send(conn, buf).Wait(); return err },
			"Accept":    func() error { _, err := r.Accept(l).Wait(); return err },
			"SubmitAll": r.SubmitAll,
			"Chain": func() error {
				c := r.Chain()
				c.Nop()
				c.ReadAt(f, buf, 0)
				return c.Submit()
			},
			"foreign Chain": func() error {
				c := r.Chain()
				c.ReadAt(os.Stdin, buf, 0)
				return c.Submit()
			},
			"foreign":         func() error { _, err := r.ReadAt(os.Stdin, buf, 0).Wait(); return err },
			"foreign Fsync":   func() error { _, err := r.Fsync(os.Stdin).Wait(); return err },
			"Connect":         func() error { _, err := r.Connect(conn, netip.MustParseAddrPort("127.0.0.1:1")).Wait(); return err },
			"Conn.Write":      func() error { _, err := conn.Write(buf); return err },
			"Conn.Read":       func() error { _, err := conn.Read(buf); return err },
			"Listener.Accept": func() error { _, err := l.Accept(); return err },
			"File.Read":       func() error { _, err := f.Read(buf); return err },
			"File.Sync":       func() error { return f.Sync() },
			"OpenFile":        func() error { _, err := r.OpenFile("/dev/null", os.O_RDONLY, 0); return err },
			"Listen":          func() error { _, err := r.Listen("tcp", "127.0.0.1:0"); return err },
			"Dial":            func() error { _, err := r.Dial(context.Background(), "tcp", l.Addr().String()); return err },
			"NewFile":         func() error { _, err := r.NewFile(os.Stdin); return err },
		} {
			if err := start(); !errors.Is(err, refusal) {
				t.Errorf("%s on a broken ring: %v", name, err)
			}
		}
	})
}

// What the kernel has of a broken ring it may still write to: the buffer stays where it is until the CQE, which nobody
// hears of any more, and then is let go.
func TestLateCompletionOfABrokenRingIsReadQuietly(t *testing.T) {
	r, breakIt := breakable(t, nil)
	f, w := pipeOn(t, r)
	buf := make([]byte, 4)
	read := r.ReadAt(f, buf, 0)
	if err := r.SubmitAll(); err != nil {
		t.Fatal(err)
	}
	breakIt()
	if _, err := r.Nop().Wait(); !errors.Is(err, refusal) {
		t.Error("Nop:", err)
	}
	if _, err := read.Wait(); !errors.Is(err, refusal) {
		t.Error("ReadAt:", err)
	}
	if _, err := w.WriteString("late"); err != nil {
		t.Fatal(err)
	}
	// The NOP never reached the kernel, and stays.
	until(t, "the read's CQE is read", func() bool { return r.inFlight() == 1 })
	if string(buf) != "late" {
		t.Errorf("the kernel has written %q", buf)
	}
	if _, err := read.Wait(); err != ErrWaited {
		t.Error("the read, once more:", err)
	}
	within(t, "Ring.Close", func() {
		if err := r.Close(); !errors.Is(err, refusal) {
			t.Error("Ring.Close:", err)
		}
	})
}

// Nobody may be left in line for a place.
func TestBrokenRingLetsThoseGoWhoWaitForAPlace(t *testing.T) {
	r, breakIt := breakable(t, &Config{Depth: 1, CQDepth: 2})
	f, _ := pipeOn(t, r)
	first, second := r.ReadAt(f, make([]byte, 1), 0), r.ReadAt(f, make([]byte, 1), 0)
	errs := make(chan error)
	for range 3 {
		go func() {
			_, err := r.ReadAt(f, make([]byte, 1), 0).Wait()
			errs <- err
		}()
	}
	until(t, "three wait for a place", func() bool { return r.tickets.waiting.Load() == 3 })
	breakIt()
	first.Cancel()
	within(t, "a waiter", func() {
		for range 3 {
			if err := <-errs; !errors.Is(err, refusal) {
				t.Error("in line for a place:", err)
			}
		}
		for _, c := range []Completion[int]{first, second} {
			if _, err := c.Wait(); !errors.Is(err, refusal) {
				t.Error("in flight:", err)
			}
		}
	})
	within(t, "Ring.Close", func() { r.Close() })
}

// What was reported as failed before it reached the kernel must not happen later.
func TestBrokenRingDoesNotWrite(t *testing.T) {
	r, breakIt := breakable(t, nil)
	name := filepath.Join(t.TempDir(), "f")
	f, err := r.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	breakIt()
	writes := []Completion[int]{
		r.WriteAt(f, []byte("a"), 0), r.WriteAt(f, []byte("b"), 1, Link), r.WriteAt(f, []byte("c"), 2),
		r.WriteAt(f, []byte("d"), 3, Drain), r.WriteAt(foreign, []byte("e"), 4),
	}
	within(t, "a write on a broken ring", func() {
		for i, w := range writes {
			if n, err := w.Wait(); n != 0 || !errors.Is(err, refusal) {
				t.Errorf("write %d: %d, %v", i, n, err)
			}
		}
		if err := f.Close(); err != nil {
			t.Error("File.Close:", err)
		}
		if err := r.Close(); !errors.Is(err, refusal) {
			t.Error("Ring.Close:", err)
		}
	})
	if b, err := os.ReadFile(name); len(b) != 0 || err != nil {
		t.Errorf("the file has %q, %v", b, err)
	}
}

// An idle ring whose descriptor has gone has nothing to lose.
func TestBrokenRingWithNothingInFlightCloses(t *testing.T) {
	r, breakIt := breakable(t, nil)
	if _, err := r.Nop().Wait(); err != nil {
		t.Fatal(err)
	}
	breakIt()
	within(t, "Ring.Close", func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}

// The memory of what the kernel has of a broken ring stays for good: a collector that takes the ring finds pinned
// buffers, and ends the process.
func TestBrokenRingIsNotCollected(t *testing.T) {
	t.Run("wreck", func(t *testing.T) { // its end forgets the ring
		r, breakIt := breakable(t, nil)
		f, _ := pipeOn(t, r)
		read := r.ReadAt(f, make([]byte, 100), 0)
		breakIt()
		within(t, "a broken ring", func() {
			if _, err := read.Wait(); err == nil {
				t.Error("a read from an empty pipe has ended without an error")
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
			if err := r.Close(); err == nil {
				t.Error("Close has no error to report")
			}
		})
	})
	for range 5 {
		runtime.GC()
		time.Sleep(time.Millisecond) // finalizers have a goroutine of their own
	}
}

func TestRingBreaksUnderLoad(t *testing.T) {
	rounds := 5
	if testing.Short() {
		rounds = 1
	}
	for range rounds {
		r, breakIt := breakable(t, &Config{Depth: 4})
		f, pw := pipeOn(t, r)
		name := filepath.Join(t.TempDir(), "f")
		file, err := r.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt([]byte("content"), 0); err != nil {
			t.Fatal(err)
		}
		foreign, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		var begun sync.WaitGroup
		load := func(op func() error) {
			begun.Add(1)
			all.Go(func() {
				for i := 0; ; i++ {
					if i == 10 {
						begun.Done()
					}
					if err := op(); err != nil {
						if !errors.Is(err, refusal) {
							t.Error(err)
						}
						if i < 10 {
							begun.Done()
						}
						return
					}
				}
			})
		}
		for range 2 {
			buf := make([]byte, 16)
			load(func() error { _, err := r.Nop().Wait(); return err })
			load(func() error { _, err := r.WriteAt(file, []byte("0123456789abcdef"), 0).Wait(); return err })
			load(func() error { _, err := r.ReadAt(foreign, make([]byte, 4), 0).Wait(); return err })
			load(func() error { _, err := r.Fdatasync(foreign).Wait(); return err })
			load(func() error { _, err := file.ReadAt(make([]byte, 1), 0); return err })
			load(func() error {
				c := r.Chain()
				c.Nop()
				n := c.Nop()
				if err := c.Submit(); err != nil {
					return err
				}
				_, err := n.Wait()
				return err
			})
			load(func() error { r.Nop(); _, err := r.Nop(Drain).Wait(); return err })
			load(func() error {
				if _, err := pw.Write([]byte("x")); err != nil {
					return err
				}
				_, err := f.Read(buf)
				return err
			})
		}
		begun.Wait()
		breakIt()
		within(t, "an operation", all.Wait)
		foreign.Close()
		within(t, "Close", func() {
			f.Close()
			file.Close()
			r.Close()
		})
	}
}

// What an accept brings late nobody will take: it is closed.
func TestLateConnectionOfABrokenRingIsClosed(t *testing.T) {
	r, breakIt := breakable(t, nil)
	l, err := r.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accept := r.Accept(l)
	if err := r.SubmitAll(); err != nil {
		t.Fatal(err)
	}
	breakIt()
	if _, err := r.Nop().Wait(); !errors.Is(err, refusal) {
		t.Error("Nop:", err)
	}
	if c, err := accept.Wait(); c != nil || !errors.Is(err, refusal) {
		t.Error("Accept:", c, err)
	}
	isClosedAtOnce(t, l)
}

// isClosedAtOnce asserts that a connection to l finds nobody who keeps it.
func isClosedAtOnce(t *testing.T, l *Listener) {
	t.Helper()
	peer, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	peer.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := peer.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Error("the peer reads", n, err)
	}
}

// A kernel that takes nothing, and doesn't say why, breaks the ring: what it has not taken has not happened.
func TestPatienceWithAKernelThatTakesNothingEndsInAnError(t *testing.T) {
	r := openRing(t, nil)
	old := patience{since: time.Now().Add(-2 * time.Minute)}
	if old.endure(&r.lane, 0) {
		t.Error("it has no end")
	}
	if err := r.broken(); !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
	if _, err := r.Nop().Wait(); !errors.Is(err, syscall.EIO) {
		t.Error("Nop:", err)
	}
	fresh := patience{}
	if fresh.endure(&r.lane, syscall.EAGAIN) {
		t.Error("it goes on, though somebody else's patience is over")
	}
}
