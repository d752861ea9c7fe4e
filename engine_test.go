package rio_test

import (
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
)

// What the tests of the engine share.

// eventually waits for a state that nothing tells about.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); {
		if time.Now().After(end) {
			t.Fatal("it never came about: " + what)
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// tempFile is a new file with that content, closed at the test's end.
func tempFile(t testing.TB, content string) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(scratch(t), "f"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.WriteAt([]byte(content), 0); err != nil {
		t.Fatal(err)
	}
	return f
}

// appendFile is a file that keeps the order in which it is written to.
func appendFile(t testing.TB) *os.File {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(scratch(t), "log"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func content(t testing.TB, f interface{ Name() string }) string {
	t.Helper()
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func tempPipe(t testing.TB) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// tcpPair is a connection over loopback, of package net.
func tcpPair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err = l.Accept()
	if err != nil {
		a.Close()
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// ok waits for c, which has to succeed.
func ok[T any](t testing.TB, c rio.Completion[T]) T {
	t.Helper()
	v, err := c.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// fails waits for c, which has to fail with target.
func fails[T any](t testing.TB, c rio.Completion[T], target error) {
	t.Helper()
	if v, err := c.Wait(); !is(err, target) {
		t.Fatalf("it gave %v, %v, not %v", v, err, target)
	}
}

// pending says that c is not done, though everything was submitted and read.
func pending[T any](t testing.TB, c rio.Completion[T]) {
	t.Helper()
	if v, ok, err := c.TryWait(); ok {
		t.Fatalf("it is done already: %v, %v", v, err)
	}
}

// own is f as a handle of r's.
func own(t testing.TB, r *rio.Ring, f *os.File) *rio.File {
	t.Helper()
	h, err := r.NewFile(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// owners runs f with a way of making descriptors the ring's own, and with one that leaves them alone.
func owners(t *testing.T, f func(t *testing.T, own func(*rio.Ring, *os.File) syscall.Conn)) {
	t.Run("own", func(t *testing.T) {
		f(t, func(r *rio.Ring, f *os.File) syscall.Conn { return own(t, r, f) })
	})
	t.Run("foreign", func(t *testing.T) {
		f(t, func(_ *rio.Ring, f *os.File) syscall.Conn { return f })
	})
}

// shapes runs f on rings of several kinds.
func shapes(t *testing.T, f func(t *testing.T, r *rio.Ring)) {
	for _, s := range []struct {
		name string
		cfg  *rio.Config
	}{
		{"default", nil},
		{"depth=1", &rio.Config{Depth: 1}},
		{"depth=2", &rio.Config{Depth: 2}},
		{"sqpoll", &rio.Config{Depth: 8, SQPoll: true, SQPollIdle: time.Millisecond}},
	} {
		t.Run(s.name, func(t *testing.T) {
			if s.cfg != nil && s.cfg.SQPoll && (simulated || onThreads) {
				t.Skip("there is no kernel thread that polls")
			}
			f(t, newRing(t, s.cfg))
		})
	}
}

// all runs f n times at once, and waits for all of them.
func all(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		go func() { defer wg.Done(); f(i) }()
	}
	wg.Wait()
}
