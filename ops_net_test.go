package rio_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
)

func (w *opWay) accept(l net.Listener) rio.Completion[*rio.Conn] {
	return viaWay(w, func() rio.Completion[*rio.Conn] { return w.r.Accept(l) },
		func(c *rio.Chain) rio.Completion[*rio.Conn] { return c.Accept(l) })
}

func (w *opWay) connect(s syscall.Conn, addr netip.AddrPort) rio.Completion[struct{}] {
	return viaWay(w, func() rio.Completion[struct{}] { return w.r.Connect(s, addr) },
		func(c *rio.Chain) rio.Completion[struct{}] { return c.Connect(s, addr) })
}

func (w *opWay) send(conn net.Conn, p []byte) rio.Completion[int] {
	return viaWay(w, func() rio.Completion[int] { return w.r.Send(conn, p) },
		func(c *rio.Chain) rio.Completion[int] { return c.Send(conn, p) })
}

func (w *opWay) recv(conn net.Conn, p []byte) rio.Completion[int] {
	return viaWay(w, func() rio.Completion[int] { return w.r.Recv(conn, p) },
		func(c *rio.Chain) rio.Completion[int] { return c.Recv(conn, p) })
}

// streams are the networks with streams that this machine has.
func streams(t *testing.T, f func(t *testing.T, network string)) {
	for _, network := range []string{"tcp4", "tcp6", "unix"} {
		t.Run(network, func(t *testing.T) { f(t, network) })
	}
}

// listen is a Listener on that network. It is closed when the test ends.
func listen(t testing.TB, r *rio.Ring, network string) *rio.Listener {
	t.Helper()
	l, err := r.Listen(network, loopback(t, network))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// loopback is where to listen on that network.
func loopback(t testing.TB, network string) string {
	switch network {
	case "unix", "unixpacket", "unixgram":
		if !hasUnix() {
			t.Skip("no unix sockets here")
		}
		dir, err := os.MkdirTemp("", "rio") // a socket's path is short
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		return filepath.Join(dir, "s")
	case "tcp6", "udp6":
		l, err := net.Listen("tcp6", "[::1]:0")
		if err != nil {
			if os.Getenv("RIO_TEST_REQUIRE") != "" {
				t.Fatal(err)
			}
			t.Skip("no IPv6 here: ", err)
		}
		l.Close()
		return "[::1]:0"
	}
	return "127.0.0.1:0"
}

// stdListen listens with package net.
func stdListen(t testing.TB, network string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, loopback(t, network))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// listenPacket listens with package net.
func listenPacket(t testing.TB, network string) net.PacketConn {
	t.Helper()
	pc, err := net.ListenPacket(network, loopback(t, network))
	if err != nil {
		if errors.Is(err, syscall.Errno(10045)) && onWindows { // WSAEOPNOTSUPP of SIO_UDP_CONNRESET
			t.Skip("Wine has no packets for package net: ", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	return pc
}

// listen listens in w's way.
func (w *opWay) listen(t testing.TB, network string) net.Listener {
	t.Helper()
	r := w.r
	switch w.on {
	case "std":
		return stdListen(t, network)
	case "other":
		r = w.other
	}
	return listen(t, r, network)
}

// dial connects in w's way.
func (w *opWay) dial(t testing.TB, a net.Addr) net.Conn {
	t.Helper()
	var c net.Conn
	var err error
	switch w.on {
	case "std":
		c, err = net.Dial(a.Network(), a.String())
	case "other":
		c, err = w.other.Dial(context.Background(), a.Network(), a.String())
	default:
		c, err = w.r.Dial(context.Background(), a.Network(), a.String())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// pair is a connection in w's way, and its other end as package net sees it.
func (w *opWay) pair(t testing.TB, network string) (c, peer net.Conn) {
	t.Helper()
	l := stdListen(t, network)
	c = w.dial(t, l.Addr())
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	return c, peer
}

func wantAddr(t *testing.T, what string, got, want net.Addr) {
	t.Helper()
	if got == nil || got.Network() != want.Network() || got.String() != want.String() {
		t.Errorf("%s is %v; package net says %v (%s)", what, got, want, want.Network())
	}
}

// wantTalk sends something both ways.
func wantTalk(t *testing.T, a, b net.Conn) {
	t.Helper()
	for _, c := range [][2]net.Conn{{a, b}, {b, a}} {
		if _, err := c[0].Write([]byte("over and out")); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 12)
		if _, err := io.ReadFull(c[1], got); err != nil || string(got) != "over and out" {
			t.Fatalf("received %q, %v", got, err)
		}
	}
}

func TestAcceptKnowsThePeer(t *testing.T) {
	eachWay(t, func(t *testing.T, w *opWay) {
		streams(t, func(t *testing.T, network string) {
			l := w.listen(t, network)
			for _, early := range []bool{true, false} {
				var comp rio.Completion[*rio.Conn]
				if early {
					comp = w.accept(l)
				}
				client, err := net.Dial(network, l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer client.Close()
				if !early {
					comp = w.accept(l)
				}
				c, err := comp.Wait()
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				wantAddr(t, "the peer's address", c.RemoteAddr(), client.LocalAddr())
				wantAddr(t, "the own address", c.LocalAddr(), client.RemoteAddr())
				wantTalk(t, c, client)
			}
		})
	})
}

func TestAcceptOnAClosedListenerIsAnError(t *testing.T) {
	eachWay(t, func(t *testing.T, w *opWay) {
		l := w.listen(t, "tcp4")
		l.Close()
		c, err := w.accept(l).Wait()
		if !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), "accept") || c != nil {
			t.Errorf("%v, %v; want net.ErrClosed", c, err)
		}
	})
}

// quietListener has no descriptor.
type quietListener struct{}

func (quietListener) Accept() (net.Conn, error) { return nil, io.EOF }
func (quietListener) Close() error              { return nil }
func (quietListener) Addr() net.Addr            { return nil }

func TestWhatHasNoDescriptorIsRefused(t *testing.T) {
	eachWay(t, func(t *testing.T, w *opWay) {
		inner, peer := w.pair(t, "tcp4")
		secure := tls.Client(inner, &tls.Config{InsecureSkipVerify: true})
		pipe, end := net.Pipe()
		defer pipe.Close()
		defer end.Close()
		buf := make([]byte, 4)
		_, accept := w.accept(quietListener{}).Wait()
		_, tlsAccept := w.accept(tls.NewListener(w.listen(t, "tcp4"), &tls.Config{})).Wait()
		_, send := w.send(secure, buf).Wait()
		_, recv := w.recv(secure, buf).Wait()
		_, pipeSend := w.send(pipe, buf).Wait()
		_, pipeRecv := w.recv(pipe, buf).Wait()
		for _, c := range []struct {
			op, what string
			err      error
		}{
			{"accept", "rio_test.quietListener", accept}, {"accept", "*tls.listener", tlsAccept},
			{"send", "*tls.Conn", send}, {"recv", "*tls.Conn", recv},
			{"send", "*net.pipe", pipeSend}, {"recv", "*net.pipe", pipeRecv},
		} {
			if c.err == nil || !strings.Contains(c.err.Error(), c.op) || !strings.Contains(c.err.Error(), c.what) ||
				!strings.Contains(c.err.Error(), "descriptor") {
				t.Errorf("%s on %s: %v", c.op, c.what, c.err)
			}
		}
		wantTalk(t, inner, peer) // nothing went past the encryption
	})
}

func TestSendReachesThePeer(t *testing.T) {
	eachWay(t, func(t *testing.T, w *opWay) {
		streams(t, func(t *testing.T, network string) {
			c, peer := w.pair(t, network)
			wantInt(t, "send", w.send(c, []byte("hello")), 5)
			wantInt(t, "nothing", w.send(c, nil), 0)
			wantInt(t, "send", w.send(c, []byte(", world")), 7)
			got := make([]byte, 12)
			if _, err := io.ReadFull(peer, got); err != nil || string(got) != "hello, world" {
				t.Fatalf("received %q, %v", got, err)
			}
		})
	})
}

func TestRecvFillsTheBuffer(t *testing.T) {
	eachWay(t, func(t *testing.T, w *opWay) {
		streams(t, func(t *testing.T, network string) {
			c, peer := w.pair(t, network)
			buf := []byte("########")
			wantInt(t, "empty buffer, nothing there", w.recv(c, nil), 0)
			wantInt(t, "empty buffer", w.recv(c, buf[:0]), 0)
			early := w.recv(c, buf[:5])
			if _, err := peer.Write([]byte("hello, world")); err != nil {
				t.Fatal(err)
			}
			wantInt(t, "recv", early, 5)
			if string(buf) != "hello###" {
				t.Fatalf("received %q", buf)
			}
			wantInt(t, "empty buffer, something there", w.recv(c, nil), 0)
			wantInt(t, "the rest", w.recv(c, buf[1:8]), 7)
			if string(buf) != "h, world" {
				t.Fatalf("received %q", buf)
			}
			early = w.recv(c, buf)
			peer.Close()
			wantInt(t, "the end", early, 0)
			wantInt(t, "after the end", w.recv(c, buf), 0)
			wantInt(t, "after the end", w.recv(c, nil), 0)
		})
	})
}

func TestReadAtAndWriteAtOnSocketsIgnoreTheOffset(t *testing.T) {
	eachWay(t, func(t *testing.T, w *opWay) {
		streams(t, func(t *testing.T, network string) {
			nc, peer := w.pair(t, network)
			c := nc.(syscall.Conn)
			buf := make([]byte, 8)
			read := w.readAt(c, buf, 999)
			wantInt(t, "write", w.writeAt(c, []byte("ping"), 1<<40), 4)
			got := make([]byte, 4)
			if _, err := io.ReadFull(peer, got); err != nil || string(got) != "ping" {
				t.Fatalf("received %q, %v", got, err)
			}
			peer.Write([]byte("pong"))
			wantInt(t, "read", read, 4)
			wantInt(t, "empty", w.readAt(c, nil, 5), 0)
			wantInt(t, "writev", w.writevAt(c, [][]byte{[]byte("pi"), []byte("ng")}, 3), 4)
			if _, err := io.ReadFull(peer, got); err != nil || string(got) != "ping" {
				t.Fatalf("received %q, %v", got, err)
			}
			peer.Close()
			wantInt(t, "end", w.readvAt(c, [][]byte{buf}, 3), 0)
		})
	})
}

// A short Send or Recv with Link, or in a Chain, would break what hangs on it: it is complete when all of p is.
func TestLinkedSendAndRecvAreComplete(t *testing.T) {
	for _, on := range []string{"own", "std", "other"} {
		t.Run(on, func(t *testing.T) {
			w := &opWay{r: newRing(t, nil), other: newRing(t, nil), on: on}
			c, peer := w.pair(t, "tcp4")
			want := letters(8 << 20) // more than the socket's buffers take
			echoed := make(chan error, 1)
			go func() {
				got := make([]byte, len(want))
				_, err := io.ReadFull(peer, got)
				if err == nil && !bytes.Equal(got, want) {
					err = errors.New("received something else")
				}
				for part := got; err == nil && len(part) > 0; {
					n := min(len(part), 100_000)
					_, err = peer.Write(part[:n])
					part = part[n:]
				}
				echoed <- err
			}()
			got := make([]byte, len(want))
			send := w.r.Send(c, want, rio.Link)
			after := w.r.Nop()
			wantInt(t, "send", send, len(want))
			recv := w.r.Recv(c, got[:len(got)/2], rio.Link)
			behind := w.r.Nop()
			wantInt(t, "recv", recv, len(got)/2)
			for _, c := range []rio.Completion[struct{}]{after, behind} {
				if _, err := c.Wait(); err != nil {
					t.Error("behind it:", err)
				}
			}
			chain := w.r.Chain()
			one := chain.Recv(c, got[len(got)/2:][:1<<20])
			two := chain.Recv(c, got[len(got)/2:][1<<20:])
			chain.Nop() // the last one may be short: nothing hangs on it
			if err := chain.Submit(); err != nil {
				t.Fatal(err)
			}
			wantInt(t, "recv", one, 1<<20)
			wantInt(t, "recv", two, 3<<20)
			if err := <-echoed; err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Error("received something else")
			}
		})
	}
}

func TestSendAndRecvOfDatagrams(t *testing.T) {
	eachWay(t, func(t *testing.T, w *opWay) {
		for _, network := range []string{"udp4", "udp6"} {
			pc := listenPacket(t, network)
			c := w.dial(t, pc.LocalAddr())
			wantInt(t, "send", w.send(c, []byte("datagram")), 8)
			wantInt(t, "an empty one", w.send(c, nil), 0)
			buf := make([]byte, 32)
			n, from, err := pc.ReadFrom(buf)
			if err != nil || string(buf[:n]) != "datagram" || from.String() != c.LocalAddr().String() {
				t.Fatalf("%q from %v, %v", buf[:n], from, err)
			}
			if n, _, err := pc.ReadFrom(buf); n != 0 || err != nil {
				t.Fatalf("%q, %v; want an empty datagram", buf[:n], err)
			}
			if _, err := pc.WriteTo([]byte("answer, cut off"), from); err != nil {
				t.Fatal(err)
			}
			wantInt(t, "recv", w.recv(c, buf[:6]), 6)
			if string(buf[:6]) != "answer" {
				t.Fatalf("received %q", buf[:6])
			}
			pc.WriteTo(nil, from)
			wantInt(t, "an empty one", w.recv(c, buf), 0)
		}
	})
}

func TestSendAndRecvOnAClosedConnectionAreErrors(t *testing.T) {
	eachWay(t, func(t *testing.T, w *opWay) {
		c, _ := w.pair(t, "tcp4")
		c.Close()
		_, send := w.send(c, []byte("x")).Wait()
		_, recv := w.recv(c, make([]byte, 1)).Wait()
		_, none := w.recv(c, nil).Wait()
		_, connect := w.connect(c.(syscall.Conn), netip.MustParseAddrPort("127.0.0.1:9")).Wait()
		for _, e := range []struct {
			op  string
			err error
		}{{"send", send}, {"recv", recv}, {"recv", none}, {"connect", connect}} {
			if !errors.Is(e.err, net.ErrClosed) || !strings.Contains(e.err.Error(), e.op) {
				t.Errorf("%s: %v; want net.ErrClosed", e.op, e.err)
			}
		}
	})
}

// What the ring does with somebody's connection leaves him his deadlines.
func TestOperationsLeaveDeadlinesAlone(t *testing.T) {
	r := newRing(t, nil)
	a, b := tcpPair(t)
	for range 2 {
		a.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if n, err := r.Send(a, []byte("x")).Wait(); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		rescue := time.AfterFunc(10*time.Second, func() { b.Write([]byte("x")) })
		if n, err := a.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%d, %v; want its deadline", n, err)
		}
		rescue.Stop()
	}
}
