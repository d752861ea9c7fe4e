package rio_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/seed-9c58b644/rio"
)

var (
	_ net.Conn     = (*rio.Conn)(nil)
	_ syscall.Conn = (*rio.Conn)(nil)
	_ net.Listener = (*rio.Listener)(nil)
	_ syscall.Conn = (*rio.Listener)(nil)
)

// connPair is a connection between two Conns of r: one from Dial, one from Listener.Accept.
func connPair(t testing.TB, r *rio.Ring, network string) (client, server *rio.Conn) {
	t.Helper()
	l := listen(t, r, network)
	defer l.Close()
	client, err := r.Dial(context.Background(), network, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	server = nc.(*rio.Conn)
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// begun waits until something new has been started on r; f starts it, in a goroutine of its own.
func begun(t testing.TB, r *rio.Ring, f func() error) <-chan error {
	t.Helper()
	base := r.Stats().Started
	done := make(chan error, 1)
	go func() { done <- f() }()
	comesTrue(t, "it begins", func() bool { return r.Stats().Started > base })
	return done
}

func TestConnsTalk(t *testing.T) {
	streams(t, func(t *testing.T, network string) {
		r := newRing(t, nil)
		a, b := connPair(t, r, network)
		wantTalk(t, a, b)
		want := letters(4 << 20)
		sent := make(chan error, 1)
		go func() {
			n, err := a.Write(want)
			if err == nil && n != len(want) {
				err = io.ErrShortWrite
			}
			sent <- errors.Join(err, a.CloseWrite())
		}()
		got, err := io.ReadAll(b)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("received %d bytes, %v", len(got), err)
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
		if n, err := b.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("after the end: %d, %v", n, err)
		}
		// Half closed: the other direction goes on.
		if _, err := b.Write([]byte("still here")); err != nil {
			t.Error(err)
		}
		b.Close()
		if got, err := io.ReadAll(a); err != nil || string(got) != "still here" {
			t.Errorf("received %q, %v", got, err)
		}
		if _, err := a.Write([]byte("x")); !is(err, syscall.EPIPE) {
			t.Errorf("Write after CloseWrite: %v; want EPIPE", err)
		}
	})
}

func TestConnIsAReader(t *testing.T) {
	r := newRing(t, nil)
	a, b := connPair(t, r, "tcp4")
	want := letters(10000)
	if _, err := a.Write(want); err != nil {
		t.Fatal(err)
	}
	a.Close()
	if err := iotest.TestReader(io.MultiReader(b), want); err != nil {
		t.Error(err)
	}
}

func TestEmptyReadsAndWritesReturnAtOnce(t *testing.T) {
	r := newRing(t, nil)
	a, b := connPair(t, r, "tcp4")
	for range 3 {
		if n, err := a.Read(nil); n != 0 || err != nil {
			t.Error("Read:", n, err)
		}
		if n, err := a.Write(nil); n != 0 || err != nil {
			t.Error("Write:", n, err)
		}
	}
	wantTalk(t, a, b)
}

func TestCloseReadEndsReads(t *testing.T) {
	r := newRing(t, nil)
	a, _ := connPair(t, r, "tcp4")
	read := begun(t, r, func() error {
		_, err := a.Read(make([]byte, 1))
		return err
	})
	if err := a.CloseRead(); err != nil {
		t.Fatal(err)
	}
	if err := <-read; err != io.EOF {
		t.Errorf("%v; want EOF", err)
	}
}

func TestAddressesAreThoseOfPackageNet(t *testing.T) {
	streams(t, func(t *testing.T, network string) {
		r := newRing(t, nil)
		// Their listener, our client.
		sl := stdListen(t, network)
		c, err := r.Dial(context.Background(), network, sl.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		sc, err := sl.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer sc.Close()
		wantAddr(t, "Dial's own address", c.LocalAddr(), sc.RemoteAddr())
		wantAddr(t, "Dial's peer", c.RemoteAddr(), sc.LocalAddr())

		// Our listener, their client.
		l := listen(t, r, network)
		nc, err := net.Dial(network, l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		wantAddr(t, "the listener's address", l.Addr(), nc.RemoteAddr())
		ac, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer ac.Close()
		wantAddr(t, "the accepted one's own address", ac.LocalAddr(), nc.RemoteAddr())
		wantAddr(t, "the accepted one's peer", ac.RemoteAddr(), nc.LocalAddr())
		for _, x := range [][2]net.Addr{{ac.LocalAddr(), nc.RemoteAddr()}, {ac.RemoteAddr(), nc.LocalAddr()}, {c.LocalAddr(), sc.RemoteAddr()}, {l.Addr(), sl.Addr()}} {
			if got, want := fmt.Sprintf("%T", x[0]), fmt.Sprintf("%T", x[1]); got != want {
				t.Errorf("an address is a %s, package net's a %s", got, want)
			}
		}

		// A socket as an os.File.
		f, err := nc.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			t.Fatal(err)
		}
		took, err := r.NewConn(f)
		if err != nil {
			t.Fatal(err)
		}
		defer took.Close()
		wantAddr(t, "NewConn's own address", took.LocalAddr(), nc.LocalAddr())
		wantAddr(t, "NewConn's peer", took.RemoteAddr(), nc.RemoteAddr())
		f.Close() // harmless
		wantTalk(t, took, ac)

		// They stay known.
		local, remote := took.LocalAddr(), took.RemoteAddr()
		took.Close()
		wantAddr(t, "a closed one's own address", took.LocalAddr(), local)
		wantAddr(t, "a closed one's peer", took.RemoteAddr(), remote)
	})
}

func TestANamedUnixClientIsKnown(t *testing.T) {
	r := newRing(t, nil)
	l, err := r.Listen("unix", loopback(t, "unix"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, name := range []string{loopback(t, "unix"), "@rio/test/" + fmt.Sprint(time.Now().UnixNano())} {
		if name[0] == '@' && runtime.GOOS != "linux" {
			continue
		}
		c, err := net.DialUnix("unix", &net.UnixAddr{Name: name, Net: "unix"}, l.Addr().(*net.UnixAddr))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		wantAddr(t, "the peer", s.RemoteAddr(), c.LocalAddr())
		if s.RemoteAddr().String() != name {
			t.Errorf("the peer is %q, not %q", s.RemoteAddr(), name)
		}
	}
}

func TestDialUDP(t *testing.T) {
	for _, network := range []string{"udp4", "udp6"} {
		t.Run(network, func(t *testing.T) {
			r := newRing(t, nil)
			pc := listenPacket(t, network)
			c, err := r.Dial(context.Background(), network, pc.LocalAddr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			wantAddr(t, "the peer", c.RemoteAddr(), pc.LocalAddr())
			buf := make([]byte, 100)
			for _, msg := range []string{"one", "", "three"} {
				if n, err := c.Write([]byte(msg)); n != len(msg) || err != nil {
					t.Fatal(n, err)
				}
				n, from, err := pc.ReadFrom(buf)
				if err != nil || string(buf[:n]) != msg {
					t.Fatalf("%q, %v", buf[:n], err)
				}
				wantAddr(t, "the own address", c.LocalAddr(), from)
				if _, err := pc.WriteTo([]byte(msg), from); err != nil {
					t.Fatal(err)
				}
				if n, err := c.Read(buf); err != nil || string(buf[:n]) != msg { // an empty one is not the end
					t.Fatalf("%q, %v; want %q", buf[:n], err, msg)
				}
			}
			c.SetReadDeadline(time.Now().Add(time.Millisecond))
			if _, err := c.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%v; want os.ErrDeadlineExceeded", err)
			}
		})
	}
}

// Of sequenced packets an empty read is the end, as it is for package net.
func TestUnixPacketsEnd(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("no unixpacket here")
	}
	r := newRing(t, nil)
	sl := stdListen(t, "unixpacket")
	c, err := r.Dial(context.Background(), "unixpacket", sl.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sc, err := sl.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sc.Write([]byte("packet")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	if n, err := c.Read(buf); err != nil || string(buf[:n]) != "packet" {
		t.Fatalf("%q, %v", buf[:n], err)
	}
	f, err := sc.(*net.UnixConn).File()
	if err != nil {
		t.Fatal(err)
	}
	took, err := r.NewConn(f)
	if err != nil {
		t.Fatal(err)
	}
	wantAddr(t, "NewConn's own address", took.LocalAddr(), sc.LocalAddr())
	took.Close()
	sc.Close()
	if n, err := c.Read(buf); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d, %v; want EOF", n, err)
	}
}

func TestDialErrorsArePackageNets(t *testing.T) {
	r := newRing(t, nil)
	l := stdListen(t, "tcp4")
	addr := l.Addr().String()
	l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []struct {
		ctx           context.Context
		network, addr string
	}{
		{context.Background(), "tcp", addr},
		{context.Background(), "nonsense", addr},
		{context.Background(), "tcp", "no port"},
		{context.Background(), "unix", "/there is/no such/socket"},
		{ctx, "tcp", addr},
	} {
		_, want := (&net.Dialer{}).DialContext(c.ctx, c.network, c.addr)
		conn, err := r.Dial(c.ctx, c.network, c.addr)
		if oe := (*net.OpError)(nil); err == nil || err.Error() != want.Error() || !errors.As(err, &oe) || conn != nil {
			t.Errorf("%s %s: %v, %v; net: %v", c.network, c.addr, conn, err, want)
		}
	}
	for _, c := range [][2]string{{"nonsense", "127.0.0.1:0"}, {"tcp", "1.2.3.4.5:0"}, {"udp", "127.0.0.1:0"}, {"unix", "/there is/no such/dir"}} {
		_, want := net.Listen(c[0], c[1])
		if l, err := r.Listen(c[0], c[1]); err == nil || err.Error() != want.Error() || l != nil {
			t.Errorf("Listen %v: %v, %v; net: %v", c, l, err, want)
		}
	}
}

func TestTheUnixSocketsFileIsRemoved(t *testing.T) {
	r := newRing(t, nil)
	name := loopback(t, "unix")
	l, err := r.Listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(name); err != nil || fi.Mode()&os.ModeSocket == 0 {
		t.Fatalf("while listening: %v, %v", fi, err)
	}
	if l.Addr().String() != name || l.Addr().Network() != "unix" {
		t.Errorf("Addr is %v", l.Addr())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Close: %v", err)
	}
	if l, err = r.Listen("unix", name); err != nil { // the name is free
		t.Fatal(err)
	}
	l.Close()
}

func TestCloseWakesWhatWaitsOnAConn(t *testing.T) {
	streams(t, func(t *testing.T, network string) {
		r := newRing(t, nil)
		big := make([]byte, 64<<20) // more than the socket takes
		for range 3 {
			a, b := connPair(t, r, network)
			read := begun(t, r, func() error {
				_, err := a.Read(make([]byte, 1))
				return err
			})
			second := make(chan error, 1)
			go func() { // behind the first one, or after it all
				_, err := a.Read(make([]byte, 1))
				second <- err
			}()
			recv := r.Recv(a, make([]byte, 1))
			write := begun(t, r, func() error {
				_, err := a.Write(big)
				return err
			})
			if err := a.Close(); err != nil {
				t.Fatal(err)
			}
			_, recvErr := recv.Wait()
			for what, err := range map[string]error{"Read": <-read, "Read, the second": <-second, "Write": <-write, "Recv": recvErr} {
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("%s: %v; want net.ErrClosed", what, err)
				}
			}
			_, err := a.Read(make([]byte, 1))
			if oe := (*net.OpError)(nil); !errors.Is(err, net.ErrClosed) || !errors.As(err, &oe) || oe.Op != "read" || oe.Net != network {
				t.Errorf("after Close: %v; want net.ErrClosed in an OpError", err)
			}
			for what, err := range map[string]error{"Close": a.Close(), "CloseWrite": a.CloseWrite(), "CloseRead": a.CloseRead(),
				"SetDeadline": a.SetDeadline(time.Now()), "SetReadDeadline": a.SetReadDeadline(time.Now()), "SetWriteDeadline": a.SetWriteDeadline(time.Now())} {
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("%s after Close: %v; want net.ErrClosed", what, err)
				}
			}
			io.Copy(io.Discard, b) // ends: the peer sees it closed
		}
	})
}

func TestCloseWakesAccept(t *testing.T) {
	streams(t, func(t *testing.T, network string) {
		r := newRing(t, nil)
		for range 10 {
			l, err := r.Listen(network, loopback(t, network))
			if err != nil {
				t.Fatal(err)
			}
			accept := begun(t, r, func() error {
				_, err := l.Accept()
				return err
			})
			second := make(chan error, 1)
			go func() {
				_, err := l.Accept()
				second <- err
			}()
			op := r.Accept(l)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			_, opErr := op.Wait()
			for what, err := range map[string]error{"Accept": <-accept, "Accept, the second": <-second, "Ring.Accept": opErr} {
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("%s: %v; want net.ErrClosed", what, err)
				}
			}
			_, again := l.Accept()
			for what, err := range map[string]error{"Accept": again, "Close": l.Close(), "SetDeadline": l.SetDeadline(time.Now())} {
				if oe := (*net.OpError)(nil); !errors.Is(err, net.ErrClosed) || !errors.As(err, &oe) || oe.Addr != l.Addr() {
					t.Errorf("%s after Close: %v; want net.ErrClosed in an OpError", what, err)
				}
			}
			// The kernel lets go of a file a little after the result of what has waited on it.
			eventually(t, "nobody listens any more", func() bool {
				c, err := net.Dial(network, l.Addr().String())
				if err == nil {
					c.Close()
				}
				return err != nil
			})
		}
	})
}

func TestCloseOfAConnRacesWithWhatBegins(t *testing.T) {
	r := newRing(t, &rio.Config{Depth: 2})
	rounds := 200
	if testing.Short() {
		rounds = 30
	}
	for range rounds {
		a, b := connPair(t, r, local())
		var wg sync.WaitGroup
		for _, op := range []func() error{
			func() error { _, err := a.Read(make([]byte, 1)); return err },
			func() error { return waited(r.Recv(a, make([]byte, 1))) },
			func() error { _, err := a.Write(make([]byte, 1<<20)); return err },
		} {
			wg.Go(func() {
				for {
					if err := op(); errors.Is(err, net.ErrClosed) {
						return
					} else if err != nil {
						t.Errorf("%v; want net.ErrClosed", err)
						return
					}
				}
			})
		}
		b.Write(make([]byte, 50))
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		b.Close()
	}
}

// wantTimeout is what a deadline's error has to be for those who look at it, net/http among them.
func wantTimeout(t *testing.T, what string, err error) {
	t.Helper()
	ne := net.Error(nil)
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
		t.Errorf("%s: %v; want a timeout", what, err)
	}
	if oe := (*net.OpError)(nil); !errors.As(err, &oe) {
		t.Errorf("%s: %#v is no net.OpError", what, err)
	}
}

func TestReadDeadline(t *testing.T) {
	streams(t, func(t *testing.T, network string) {
		r := newRing(t, nil)
		a, b := connPair(t, r, network)
		buf := make([]byte, 100)
		read := func() error {
			_, err := a.Read(buf)
			return err
		}
		a.SetReadDeadline(time.Now().Add(2 * time.Millisecond))
		wantTimeout(t, "in the future", read())
		wantTimeout(t, "once more", read())
		if _, err := a.Write([]byte("x")); err != nil {
			t.Errorf("the other direction: %v", err)
		}
		a.SetReadDeadline(time.Unix(1, 0))
		wantTimeout(t, "in the past", read())
		b.Write([]byte("there"))
		wantTimeout(t, "in the past, something there", read())
		a.SetReadDeadline(time.Time{})
		if n, err := a.Read(buf); err != nil || string(buf[:n]) != "there" {
			t.Errorf("cleared: %q, %v", buf[:n], err)
		}

		pending := begun(t, r, read)
		a.SetReadDeadline(time.Now().Add(-time.Second))
		wantTimeout(t, "set while pending, past", <-pending)
		a.SetReadDeadline(time.Time{})
		pending = begun(t, r, read)
		a.SetReadDeadline(time.Now().Add(time.Millisecond))
		wantTimeout(t, "set while pending", <-pending)

		a.SetReadDeadline(time.Now().Add(time.Hour))
		pending = begun(t, r, read)
		a.SetReadDeadline(time.Now().Add(2 * time.Hour)) // further away
		a.SetReadDeadline(time.Now().Add(time.Millisecond))
		wantTimeout(t, "moved while pending", <-pending)

		a.SetReadDeadline(time.Now().Add(2 * time.Hour))
		pending = begun(t, r, read)
		a.SetReadDeadline(time.Time{})
		b.Write([]byte("x"))
		if err := <-pending; err != nil {
			t.Errorf("cleared while pending: %v", err)
		}
		a.SetDeadline(time.Unix(1, 0))
		wantTimeout(t, "SetDeadline, read", read())
		_, err := a.Write(buf)
		wantTimeout(t, "SetDeadline, write", err)
		a.SetDeadline(time.Time{})
		b.Close()
		if n, err := io.Copy(io.Discard, a); n != 0 || err != nil && !is(err, syscall.ECONNRESET) {
			t.Error(n, err)
		}
	})
}

func TestADeadlineMovedAwayInTimeDoesNotStrike(t *testing.T) {
	r := newRing(t, nil)
	a, b := connPair(t, r, "tcp4")
	for i := range 200 {
		a.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		read := make(chan error, 1)
		go func() {
			_, err := a.Read(make([]byte, 1))
			read <- err
		}()
		a.SetReadDeadline(time.Now().Add(time.Hour))
		if i%2 == 0 {
			runtime.Gosched()
		}
		b.Write([]byte("x"))
		if err := <-read; err != nil {
			t.Fatal(err)
		}
	}
}

func TestWriteDeadline(t *testing.T) {
	streams(t, func(t *testing.T, network string) {
		r := newRing(t, nil)
		a, b := connPair(t, r, network)
		big := letters(64 << 20)
		n, err := 0, error(nil)
		for d := 5 * time.Millisecond; n == 0 && d < time.Minute; d *= 4 { // a busy machine may lose the first ones
			a.SetWriteDeadline(time.Now().Add(d))
			n, err = a.Write(big)
			wantTimeout(t, "in the future", err)
		}
		if n == 0 || n >= len(big) {
			t.Errorf("wrote %d", n)
		}
		m, err := a.Write(big)
		wantTimeout(t, "once more", err)
		if m != 0 {
			t.Errorf("wrote %d after the deadline", m)
		}
		a.SetWriteDeadline(time.Time{})
		pending := make(chan error, 1)
		wrote := 0
		go func() {
			var err error
			wrote, err = a.Write(big[n:])
			pending <- err
		}()
		a.SetWriteDeadline(time.Now().Add(2 * time.Millisecond))
		wantTimeout(t, "set while pending", <-pending)
		n += wrote
		a.Close()
		if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, big[:n]) {
			t.Errorf("Write says it wrote %d, received %d, %v", n, len(got), err)
		}
	})
}

func TestADeadlineWakesAllThatWait(t *testing.T) {
	r := newRing(t, nil)
	a, b := connPair(t, r, "tcp4")
	errs := make(chan error, 8)
	for range 8 {
		go func() {
			_, err := a.Read(make([]byte, 1))
			errs <- err
		}()
	}
	base := r.Stats().Started
	comesTrue(t, "one of them reads", func() bool { return r.Stats().Started >= base })
	a.SetReadDeadline(time.Now().Add(2 * time.Millisecond))
	for range 8 {
		wantTimeout(t, "one of several", <-errs)
	}
	a.SetReadDeadline(time.Time{})
	wantTalk(t, a, b)
}

func TestDeadlinesUnderFireLoseNothing(t *testing.T) {
	r := newRing(t, nil)
	a, b := connPair(t, r, "tcp4")
	want := letters(20000)
	go func() {
		for i := 0; i < len(want); i += 100 {
			b.Write(want[i:][:100])
		}
		b.CloseWrite()
	}()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			switch i % 3 {
			case 0:
				a.SetReadDeadline(time.Now())
			case 1:
				a.SetReadDeadline(time.Now().Add(100 * time.Microsecond))
			case 2:
				a.SetReadDeadline(time.Time{})
				time.Sleep(50 * time.Microsecond)
			}
		}
	})
	var got []byte
	buf := make([]byte, 333)
	for {
		n, err := a.Read(buf)
		got = append(got, buf[:n]...)
		if err == io.EOF {
			break
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		if err != nil && n != 0 {
			t.Fatalf("%d bytes with %v", n, err)
		}
	}
	close(stop)
	wg.Wait()
	if !bytes.Equal(got, want) {
		t.Errorf("received %d bytes of %d, or others", len(got), len(want))
	}
}

func TestDeadlinesOfAListener(t *testing.T) {
	r := newRing(t, nil)
	l, err := r.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accept := func() error {
		c, err := l.Accept()
		if err == nil {
			c.Close()
		}
		return err
	}
	l.SetDeadline(time.Now().Add(2 * time.Millisecond))
	wantTimeout(t, "in the future", accept())
	l.SetDeadline(time.Unix(1, 0))
	wantTimeout(t, "in the past", accept())
	l.SetDeadline(time.Time{})
	pending := begun(t, r, accept)
	l.SetDeadline(time.Now())
	wantTimeout(t, "set while pending", <-pending)
	l.SetDeadline(time.Now().Add(time.Hour))
	pending = begun(t, r, accept)
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := <-pending; err != nil {
		t.Error(err)
	}
}

// A deadline is the Conn's: operations of Ring don't know it.
func TestDeadlinesDontTouchRecv(t *testing.T) {
	r := newRing(t, nil)
	a, b := connPair(t, r, "tcp4")
	a.SetDeadline(time.Unix(1, 0))
	buf := make([]byte, 2)
	recv := r.Recv(a, buf)
	wantInt(t, "send", r.Send(a, []byte("hi")), 2)
	b.Write([]byte("ok"))
	wantInt(t, "recv", recv, 2)
}

func TestConnsOfAClosedRing(t *testing.T) {
	r, err := rio.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	name := loopback(t, "unix")
	l, err := r.Listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	a, b := connPair(t, r, "tcp4")
	read := begun(t, r, func() error {
		_, err := a.Read(make([]byte, 1))
		return err
	})
	accept := begun(t, r, func() error {
		_, err := l.Accept()
		return err
	})
	forgotten := r.Accept(l)
	peer, err := net.Dial("unix", name) // one of the two accepts it
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	_ = forgotten
	if err := <-read; !errors.Is(err, rio.ErrClosed) {
		t.Errorf("Read: %v; want ErrClosed", err)
	}
	if err := <-accept; err != nil && !errors.Is(err, rio.ErrClosed) {
		t.Errorf("Accept: %v; want ErrClosed", err)
	}
	_, readErr := a.Read(make([]byte, 1))
	_, writeErr := a.Write(make([]byte, 1))
	_, acceptErr := l.Accept()
	_, dialErr := r.Dial(context.Background(), "unix", name)
	_, listenErr := r.Listen("tcp", "127.0.0.1:0")
	for what, err := range map[string]error{"Read": readErr, "Write": writeErr, "Accept": acceptErr, "Dial": dialErr, "Listen": listenErr} {
		if !errors.Is(err, rio.ErrClosed) || !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v; want ErrClosed", what, err)
		}
	}
	// On another Ring they are descriptors still.
	r2 := newRing(t, nil)
	wantInt(t, "on another ring", r2.Send(a, []byte("hi")), 2)
	buf := make([]byte, 2)
	wantInt(t, "on another ring", r2.Recv(b, buf), 2)
	if string(buf) != "hi" {
		t.Errorf("received %q", buf)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	wantInt(t, "the peer of a closed one", r2.Recv(b, buf), 0)
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket's file: %v", err)
	}
	if c, err := net.Dial("unix", name); err == nil {
		c.Close()
		t.Error("the listener is open")
	}
}

// A connection that the ring had accepted and nobody had taken is closed with it.
func TestRingCloseClosesWhatNobodyTook(t *testing.T) {
	r, err := rio.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	l := stdListen(t, "tcp4")
	accept := r.Accept(l)
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	<-accept.Done()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%d, %v; want the end", n, err)
	}
	if conn, err := accept.Wait(); !errors.Is(err, rio.ErrClosed) || conn != nil {
		t.Errorf("%v, %v; want ErrClosed", conn, err)
	}
}

func TestForgottenConnsAreClosed(t *testing.T) {
	r := newRing(t, nil)
	l := stdListen(t, "tcp4")
	for _, forget := range []func() net.Conn{
		func() net.Conn { // dialled, used and dropped
			c, err := r.Dial(context.Background(), "tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			peer, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := peer.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			return peer
		},
		func() net.Conn { // accepted for nobody
			r.Accept(l)
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			return c
		},
	} {
		peer := forget()
		defer peer.Close()
		end := make(chan error, 1)
		go func() {
			_, err := peer.Read(make([]byte, 1))
			end <- err
		}()
		comesTrue(t, "the peer sees the end", func() bool {
			for range 4 { // the ring may remember its last operations
				r.Nop().Wait()
			}
			runtime.GC()
			select {
			case err := <-end:
				return err != nil
			default:
				return false
			}
		})
	}
}

func TestNetHTTP(t *testing.T) {
	streams(t, func(t *testing.T, network string) {
		r := newRing(t, nil)
		l, err := r.Listen(network, loopback(t, network))
		if err != nil {
			t.Fatal(err)
		}
		body := letters(300_000)
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			switch req.URL.Path {
			case "/echo":
				got, _ := io.ReadAll(req.Body)
				w.Write(got)
			case "/slow":
				<-req.Context().Done() // the server notices that the client is gone
			default:
				w.Write(body)
			}
		})}
		served := make(chan error, 1)
		go func() { served <- srv.Serve(l) }()
		tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return r.Dial(ctx, network, l.Addr().String())
		}}
		client := &http.Client{Transport: tr}
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				for i := range 10 {
					var resp *http.Response
					var err error
					want := body
					if (g+i)%2 == 0 {
						want = body[:1000*(g+1)]
						resp, err = client.Post("http://server/echo", "text/plain", bytes.NewReader(want))
					} else {
						resp, err = client.Get("http://server/")
					}
					if err != nil {
						t.Error(err)
						return
					}
					got, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if err != nil || !bytes.Equal(got, want) {
						t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
						return
					}
				}
			})
		}
		wg.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, "GET", "http://server/slow", nil)
		if _, err := client.Do(req); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the slow one: %v", err)
		}
		tr.CloseIdleConnections()
		ctx, cancel = context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != http.ErrServerClosed {
			t.Error(err)
		}
	})
}

func TestNetHTTPReadTimeout(t *testing.T) {
	r := newRing(t, nil)
	l, err := r.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var states atomic.Int32
	readErr := make(chan error, 1)
	srv := &http.Server{
		ReadTimeout: time.Second, // from when it has accepted: a slow machine would be late with the request's head
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateClosed {
				states.Add(1)
			}
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			_, err := io.ReadAll(req.Body)
			readErr <- err
		}),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()

	c, err := r.Dial(context.Background(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nonly so much"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-readErr:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the handler's read: %v; want os.ErrDeadlineExceeded", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the handler's read has not ended, or there was no request")
	}
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if resp, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(resp), "HTTP/1.1 200") {
		t.Errorf("%.60q, %v", resp, err)
	}

	idle, err := r.Dial(context.Background(), "tcp", l.Addr().String()) // says nothing at all
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	idle.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadAll(idle); err != nil {
		t.Error(err)
	}
	comesTrue(t, "both are closed", func() bool { return states.Load() == 2 })
	srv.Close()
	<-served
}

func TestSyscallConnOfAConn(t *testing.T) {
	r := newRing(t, nil)
	a, b := connPair(t, r, "tcp4")
	rc, err := a.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := rc.Control(func(fd uintptr) {
		if int(fd) < 0 {
			t.Error(fd)
		}
	}); err != nil {
		t.Error(err)
	}
	calls := 0
	waits := begun(t, r, func() error {
		return rc.Read(func(uintptr) bool { calls++; return calls > 1 })
	})
	b.Write([]byte("x"))
	if err := <-waits; err != nil || calls != 2 {
		t.Errorf("%d calls, %v", calls, err)
	}
	if err := rc.Write(func(uintptr) bool { return true }); err != nil {
		t.Error(err)
	}
	if _, err := a.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
	waits = begun(t, r, func() error { return rc.Read(func(uintptr) bool { return false }) })
	a.Close()
	if err := <-waits; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read: %v; want net.ErrClosed", err)
	}
	if err := rc.Control(func(uintptr) { t.Error("called") }); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Control: %v; want net.ErrClosed", err)
	}
	l, err := r.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	lrc, err := l.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	called := false
	if err := lrc.Control(func(uintptr) { called = true }); err != nil || !called {
		t.Error(err)
	}
	l.Close()
	if err := lrc.Control(func(uintptr) {}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Control: %v; want net.ErrClosed", err)
	}
}

// What a Conn waits for takes no ticket.
func TestIdleConnsLeaveRoomForOperations(t *testing.T) {
	r := newRing(t, &rio.Config{Depth: 1})
	const n = 50
	var conns []*rio.Conn
	var reads []<-chan error
	for range n {
		a, b := connPair(t, r, "tcp4")
		conns = append(conns, b)
		reads = append(reads, begun(t, r, func() error {
			_, err := a.Read(make([]byte, 1))
			return err
		}))
	}
	for range 100 {
		if _, err := r.Nop().Wait(); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range conns {
		c.Write([]byte("x"))
	}
	for _, read := range reads {
		if err := <-read; err != nil {
			t.Fatal(err)
		}
	}
}
