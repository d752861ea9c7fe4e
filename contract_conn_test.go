package rio_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
	"weak"

	"github.com/seed-9c58b644/rio"
)

// What arrives at the very moment of the deadline is either the result or still there for the next Read: bytes that the
// kernel took are never lost to a timeout.
func TestAReadThatTimesOutLosesNothing(t *testing.T) {
	streams(t, func(t *testing.T, network string) {
		r := newRing(t, nil)
		a, b := connPair(t, r, network)
		want := letters(200)
		var got []byte
		read := func() error {
			buf := make([]byte, 10)
			n, err := a.Read(buf)
			got = append(got, buf[:n]...)
			if n > 0 && err != nil {
				t.Errorf("%d bytes and %v", n, err)
			}
			return err
		}
		timeouts := 0
		for i := range want {
			pending, set := begun(t, r, read), make(chan struct{})
			strike := func() {
				a.SetReadDeadline(time.Unix(1, 0))
				close(set)
			}
			if i%2 == 0 {
				go strike()
			}
			if _, err := b.Write(want[i : i+1]); err != nil {
				t.Fatal(err)
			}
			if i%2 != 0 {
				strike()
			}
			err := <-pending
			<-set
			a.SetReadDeadline(time.Time{})
			if errors.Is(err, os.ErrDeadlineExceeded) {
				timeouts++
				a.SetReadDeadline(time.Now().Add(20 * time.Second))
				err = read()
				a.SetReadDeadline(time.Time{})
			}
			if err != nil || !bytes.Equal(got, want[:i+1]) {
				t.Fatalf("%v, read %q of %q", err, got, want[:i+1])
			}
		}
		t.Logf("%d of %d timed out", timeouts, len(want))
	})
}

// What Write says that it has sent is what the peer gets: no more, no less.
func TestAWriteThatTimesOutSaysWhatItSent(t *testing.T) {
	streams(t, func(t *testing.T, network string) {
		r := newRing(t, nil)
		a, b := connPair(t, r, network)
		if err := a.SetWriteBuffer(1 << 14); err != nil {
			t.Fatal(err)
		}
		want := letters(64 << 20)
		received := make(chan []byte, 1)
		go func() {
			got, _ := io.ReadAll(&slowly{b})
			received <- got
		}()
		sent, timeouts, partial := 0, 0, 0
		for i := range 50 {
			a.SetWriteDeadline(time.Now().Add(time.Duration(1+i%5) * time.Millisecond))
			n, err := a.Write(want[sent : sent+1<<20])
			if errors.Is(err, os.ErrDeadlineExceeded) {
				timeouts++
				if n > 0 {
					partial++
				}
				if n == 1<<20 {
					t.Error("a timeout, though everything was sent")
				}
			} else if err != nil || n != 1<<20 {
				t.Fatal(n, err)
			}
			sent += n
		}
		a.Close()
		if got := <-received; !bytes.Equal(got, want[:sent]) {
			t.Errorf("the peer has %d bytes, Write says %d", len(got), sent)
		}
		if partial == 0 && !underRace {
			t.Errorf("%d timeouts, none of them in the middle", timeouts)
		}
	})
}

// slowly reads no more than 100 kB in a millisecond.
type slowly struct{ io.Reader }

func (s *slowly) Read(p []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return s.Reader.Read(p[:min(len(p), 100_000)])
}

// Once Read or Write has returned, however it ended, the kernel has let go of the buffer.
func TestTheBufferIsTheCallersAfterATimeout(t *testing.T) {
	streams(t, func(t *testing.T, network string) {
		r := newRing(t, nil)
		a, b := connPair(t, r, network)
		for range 100 {
			lent := make([]byte, 100)
			pending := begun(t, r, func() error {
				_, err := a.Read(lent)
				return err
			})
			a.SetReadDeadline(time.Unix(1, 0))
			wantTimeout(t, "read", <-pending)
			copy(lent, "mine")
			a.SetReadDeadline(time.Time{})
			wantTalk(t, a, b)
			if string(lent[:4]) != "mine" || !bytes.Equal(lent[4:], make([]byte, 96)) {
				t.Fatalf("the kernel wrote %q after the timeout", lent)
			}
		}
		// A write whose rest could not be sent: what lies in the kernel's buffers is a copy.
		data := bytes.Repeat([]byte("before"), 1<<20)
		a.SetWriteDeadline(time.Now().Add(5 * time.Millisecond))
		n, err := a.Write(data)
		wantTimeout(t, "write", err)
		clear(data)
		a.Close()
		got, err := io.ReadAll(b)
		if err != nil || len(got) != n || !bytes.HasPrefix(bytes.Repeat([]byte("before"), 1<<20), got) {
			t.Errorf("%d bytes sent, %d received, %v", n, len(got), err)
		}
	})
}

// A thousand pending calls are the callers' goroutines, and nobody else's.
func TestPendingCallsHaveNoGoroutines(t *testing.T) {
	if underRace {
		t.Skip("under the race detector each operation has a witness")
	}
	r := newRing(t, nil)
	const n = 200
	base := runtime.NumGoroutine()
	var pending []<-chan error
	var conns []*rio.Conn
	for range n {
		a, b := connPair(t, r, local())
		conns = append(conns, a, b)
		a.SetDeadline(time.Now().Add(time.Hour))
		pending = append(pending, begun(t, r, func() error {
			_, err := a.Read(make([]byte, 1))
			return err
		}))
	}
	// Not exactly: those that other tests have left behind may end meanwhile.
	comesTrue(t, "there are no goroutines but the callers", func() bool { return runtime.NumGoroutine() < base+n+n/4 })
	for _, c := range conns {
		c.Close()
	}
	for _, p := range pending {
		if err := <-p; !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v; want net.ErrClosed", err)
		}
	}
	comesTrue(t, "the goroutines are gone", func() bool { return runtime.NumGoroutine() < base+n/4 })
}

func TestMovingADeadlineMakesNoTimer(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates")
	}
	r := newRing(t, nil)
	a, _ := connPair(t, r, "tcp4")
	a.SetDeadline(time.Now().Add(time.Hour))
	if n := testing.AllocsPerRun(100, func() {
		a.SetDeadline(time.Now().Add(time.Minute))
		a.SetDeadline(time.Time{})
		a.SetReadDeadline(time.Unix(1, 0))
		a.SetWriteDeadline(time.Now().Add(time.Hour))
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// A deadline that is far away keeps nothing of a Conn that was closed.
func TestClosedConnsAreForgottenThoughTheirDeadlineIsToCome(t *testing.T) {
	r := newRing(t, nil)
	var closed []weak.Pointer[rio.Conn]
	l := stdListen(t, "tcp4")
	for range 10 {
		c, err := r.Dial(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(time.Hour))
		closed = append(closed, weak.Make(c))
		c.Close()
	}
	comesTrue(t, "they are collected", func() bool {
		for range 4 { // the ring may remember its last operations
			r.Nop().Wait()
		}
		runtime.GC()
		left := 0
		for _, c := range closed {
			if c.Value() != nil {
				left++
			}
		}
		return left <= 1 // a register may hold the last one
	})
}

// ECANCELED is how the kernel says that a deadline or Close has struck. Nobody else gets to see it.
func TestMethodsNeverSayECANCELED(t *testing.T) {
	r := newRing(t, nil)
	l, err := r.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		a, b := connPair(t, r, "tcp4")
		big := make([]byte, 8<<20)
		var pending []<-chan error
		for _, f := range []func() error{
			func() error {
				if i%2 == 0 {
					return rawRead(a)
				}
				_, err := a.Read(make([]byte, 1))
				return err
			},
			func() error { _, err := a.Write(big); return err },
			func() error { _, err := l.Accept(); return err },
		} {
			pending = append(pending, begun(t, r, f))
		}
		if i%3 == 0 {
			a.SetDeadline(time.Now())
			b.SetDeadline(time.Now())
			l.SetDeadline(time.Now())
		}
		a.Close()
		b.Close()
		if i%3 != 0 {
			l.Close()
		}
		for j, p := range pending {
			err := <-p
			if !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, net.ErrClosed) && err != io.EOF && !isReset(err) {
				t.Errorf("round %d, %d: %v", i, j, err)
			}
		}
		if i%3 != 0 {
			if l, err = r.Listen("tcp4", "127.0.0.1:0"); err != nil {
				t.Fatal(err)
			}
		}
		l.SetDeadline(time.Time{})
	}
	l.Close()
}

// rawRead waits for c by way of its SyscallConn.
func rawRead(c *rio.Conn) error {
	rc, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return rc.Read(func(uintptr) bool { return false })
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// callsFalse waits for what rc waits for, for ever; it returns when that has begun.
func callsFalse(wait func(func(uintptr) bool) error) <-chan error {
	began, ended := make(chan struct{}), make(chan error, 1)
	var once sync.Once
	go func() {
		ended <- wait(func(uintptr) bool {
			once.Do(func() { close(began) })
			return false
		})
	}()
	<-began
	return ended
}

// A RawConn has the deadlines of what it is of, and nobody else has: not even what is begun on the same Conn.
func TestTheDeadlinesOfARawConnAreItsOwn(t *testing.T) {
	streams(t, func(t *testing.T, network string) {
		r := newRing(t, nil)
		a, b := connPair(t, r, network)
		rc, err := a.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		a.SetReadDeadline(time.Now().Add(time.Hour))
		reads := callsFalse(rc.Read)
		a.SetWriteDeadline(time.Now())
		wantTimeout(t, "Write", rc.Write(func(uintptr) bool { return false }))
		a.SetReadDeadline(time.Now().Add(2 * time.Millisecond))
		wantTimeout(t, "moved nearer while it waited", <-reads)
		wantTimeout(t, "and once more", rc.Read(func(uintptr) bool { return true }))

		// What Ring begins has none, whoever comes first.
		got := make([]byte, 1)
		for range 10 {
			a.SetReadDeadline(time.Time{})
			recv := r.Recv(a, got)
			r.SubmitAll()
			for range 100 {
				runtime.Gosched() // on other systems it waits in a Read by now
			}
			a.SetReadDeadline(time.Now().Add(2 * time.Millisecond))
			wantTimeout(t, "beside a Recv", rc.Read(func(uintptr) bool { return false }))
			b.Write([]byte("x"))
			if n, err := recv.Wait(); n != 1 || err != nil || got[0] != 'x' {
				t.Errorf("Recv beside it: %d, %v, %q", n, err, got)
			}
		}
		cancelRecv := func() {
			recv := r.Recv(a, got)
			r.SubmitAll()
			recv.Cancel()
			if n, err := recv.Wait(); !errors.Is(err, syscall.ECANCELED) {
				t.Errorf("a Recv beside it that was cancelled: %d, %v", n, err)
			}
		}
		a.SetReadDeadline(time.Time{})
		reads = callsFalse(rc.Read)
		cancelRecv()
		a.SetReadDeadline(time.Now().Add(2 * time.Millisecond))
		wantTimeout(t, "beside a Recv that was cancelled", <-reads)
		recv := r.Recv(a, got)
		b.Write([]byte("y"))
		if n, err := recv.Wait(); n != 1 || err != nil || got[0] != 'y' {
			t.Errorf("Recv after it: %d, %v, %q", n, err, got)
		}

		a.SetReadDeadline(time.Time{})
		reads = callsFalse(rc.Read)
		cancelRecv()
		a.Close()
		if err := <-reads; !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed: %v; want net.ErrClosed", err)
		}
		l := listen(t, r, network)
		lc, err := l.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		l.SetDeadline(time.Now().Add(2 * time.Millisecond))
		err = lc.Read(func(uintptr) bool { return false })
		if onThreads && errors.Is(err, syscall.EINVAL) {
			return // package net's can't wait
		}
		wantTimeout(t, "a listener's", err)
	})
}

// What waits by way of SyscallConn is woken when package net's would be.
func TestRawConnsObeyMovedDeadlinesAndClose(t *testing.T) {
	streams(t, func(t *testing.T, network string) {
		r := newRing(t, nil)
		a, b := connPair(t, r, network)
		a.SetReadDeadline(time.Now().Add(time.Hour))
		pending := begun(t, r, func() error { return rawRead(a) })
		a.SetWriteDeadline(time.Now()) // another direction
		a.SetReadDeadline(time.Now().Add(2 * time.Millisecond))
		wantTimeout(t, "moved nearer while it waited", <-pending)
		wantTimeout(t, "and once more", rawRead(a))
		a.SetDeadline(time.Time{})
		got := make([]byte, 1)
		pending = begun(t, r, func() error {
			_, err := a.Read(got) // stands in line with the others
			return err
		})
		b.Write([]byte("x"))
		if err := <-pending; err != nil || string(got) != "x" {
			t.Errorf("%q, %v", got, err)
		}
		pending = begun(t, r, func() error { return rawRead(a) })
		a.Close()
		if err := <-pending; !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v; want net.ErrClosed", err)
		}
		l := listen(t, r, network)
		rc, err := l.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		pending = begun(t, r, func() error { return rc.Read(func(uintptr) bool { return false }) })
		l.SetDeadline(time.Now())
		wantTimeout(t, "a listener's", <-pending)
	})
}
