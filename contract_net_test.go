package rio_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
)

// What package net does is what a Ring's connections and listeners have to do: here both go through the same steps, and
// whatever can be seen of them has to be the same.

// conn is what *net.TCPConn and *rio.Conn have in common.
type conn interface {
	net.Conn
	syscall.Conn
	CloseRead() error
	CloseWrite() error
	SetReadBuffer(int) error
	SetWriteBuffer(int) error
}

// tcpConn is what there is for TCP besides.
type tcpConn interface {
	conn
	SetNoDelay(bool) error
	SetKeepAlive(bool) error
	SetKeepAlivePeriod(time.Duration) error
	SetKeepAliveConfig(net.KeepAliveConfig) error
	SetLinger(int) error
}

var (
	_ tcpConn = (*rio.Conn)(nil)
	_ tcpConn = (*net.TCPConn)(nil)
	_ conn    = (*net.UnixConn)(nil)
)

// A maker listens and dials, on the ring or not.
type maker struct {
	listen func(network, address string) (net.Listener, error)
	dial   func(network, address string) (net.Conn, error)
}

var packageNet = maker{net.Listen, net.Dial}

func onRingNet(r *rio.Ring) maker {
	return maker{
		func(network, address string) (net.Listener, error) { return r.Listen(network, address) },
		func(network, address string) (net.Conn, error) {
			return r.Dial(context.Background(), network, address)
		},
	}
}

// ends are both ends of a connection, and what was listened on.
type ends struct {
	l              net.Listener
	client, server conn
}

func (m maker) connect(t *testing.T, network string) ends {
	t.Helper()
	l, err := m.listen(network, loopback(t, network))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c, err := m.dial(network, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return ends{l, c.(conn), s.(conn)}
}

// said is what a program can see of an error, and of a number before it, without the addresses, which differ.
func (e ends) said(n int, err error) string {
	if err == nil || err == io.EOF {
		return fmt.Sprint(n, " ", err)
	}
	text := fmt.Sprintf("%d %v", n, err)
	for _, a := range []struct {
		net.Addr
		name string
	}{{e.client.LocalAddr(), "CLIENT"}, {e.server.LocalAddr(), "SERVER"}} {
		if a.Addr != nil && a.String() != "" {
			text = strings.ReplaceAll(text, a.String(), a.name)
		}
	}
	// It was another system call.
	text = strings.NewReplacer(": send: ", ": write: ", ": wsasend: ", ": write: ", ": wsarecv: ", ": read: ", ": recv: ", ": read: ", ": accept: ", ": accept4: ").Replace(text)
	if oe := (*net.OpError)(nil); errors.As(err, &oe) {
		text += fmt.Sprintf(" | %s %s source:%v addr:%v timeout:%v temporary:%v", oe.Op, oe.Net, oe.Source != nil, oe.Addr != nil, oe.Timeout(), oe.Temporary())
	}
	for _, known := range []error{os.ErrDeadlineExceeded, net.ErrClosed, syscall.ECANCELED, syscall.EPIPE, syscall.ECONNRESET, syscall.EOPNOTSUPP} {
		if errors.Is(err, known) {
			text += fmt.Sprintf(" is:%v", known)
		}
	}
	return text
}

// sameAsPackageNet runs the steps on package net and on a ring, over each network, and compares what they have seen.
func sameAsPackageNet(t *testing.T, steps func(t *testing.T, e ends, see func(what string, n int, err error))) {
	streams(t, func(t *testing.T, network string) {
		run := func(m maker) (seen []string) {
			e := m.connect(t, network)
			steps(t, e, func(what string, n int, err error) { seen = append(seen, what+": "+e.said(n, err)) })
			return seen
		}
		want, got := run(packageNet), run(onRingNet(newRing(t, nil)))
		if len(got) != len(want) || len(got) == 0 {
			t.Fatalf("%d steps, package net %d", len(got), len(want))
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("ring: %s\n net: %s", got[i], want[i])
			}
		}
	})
}

func TestErrorsOfAConnAreThoseOfPackageNet(t *testing.T) {
	sameAsPackageNet(t, func(t *testing.T, e ends, see func(string, int, error)) {
		buf := make([]byte, 10)
		e.client.SetDeadline(time.Unix(1, 0))
		n, err := e.client.Read(buf)
		see("read, past deadline", n, err)
		n, err = e.client.Write(buf)
		see("write, past deadline", n, err)
		if !onWindows { // package net's asks the system there
			n, err = e.client.Read(nil)
			see("empty read, past deadline", n, err)
		}
		n, err = e.client.Write(nil)
		see("empty write, past deadline", n, err)
		see("clear", 0, e.client.SetDeadline(time.Time{}))
		see("read buffer", 0, e.client.SetReadBuffer(10000))
		see("write buffer", 0, e.client.SetWriteBuffer(10000))
		n, err = e.client.Write([]byte("hi"))
		see("write", n, err)
		n, err = e.server.Read(buf)
		see("read "+string(buf[:n]), n, err)
		if !onWindows { // package net's waits there until something comes
			n, err = e.server.Read(nil)
			see("empty read", n, err)
		}
		see("close write", 0, e.client.CloseWrite())
		n, err = e.client.Write([]byte("x"))
		see("write after it", n, err)
		n, err = e.server.Read(buf)
		see("its peer reads", n, err)
		see("close read", 0, e.client.CloseRead())
		n, err = e.client.Read(buf)
		see("read after it", n, err)
		see("close", 0, e.client.Close())
		see("close again", 0, e.client.Close())
		n, err = e.client.Read(buf)
		see("read, closed", n, err)
		n, err = e.client.Write(buf)
		see("write, closed", n, err)
		n, err = e.client.Read(nil)
		see("empty read, closed", n, err)
		n, err = e.client.Write(nil)
		see("empty write, closed", n, err)
		see("read buffer, closed", 0, e.client.SetReadBuffer(4096))
		see("write buffer, closed", 0, e.client.SetWriteBuffer(4096))
		see("close read, closed", 0, e.client.CloseRead())
		see("close write, closed", 0, e.client.CloseWrite())
		see("deadline, closed", 0, e.client.SetDeadline(time.Now()))
		see("read deadline, closed", 0, e.client.SetReadDeadline(time.Now()))
		see("write deadline, closed", 0, e.client.SetWriteDeadline(time.Now()))
		see("close the other", 0, e.server.Close())
		n, err = e.server.Read(buf)
		see("read the other, closed", n, err)
	})
}

func TestErrorsOfARawConnAreThoseOfPackageNet(t *testing.T) {
	sameAsPackageNet(t, func(t *testing.T, e ends, see func(string, int, error)) {
		rc, err := e.client.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		calls := 0
		never, once := func(uintptr) bool { calls++; return false }, func(uintptr) bool { calls++; return true }
		try := func(what string, do func(func(uintptr) bool) error, f func(uintptr) bool) {
			calls = 0
			err := do(f)
			see(what, calls, err)
		}
		e.client.SetReadDeadline(time.Unix(1, 0))
		try("read, past deadline", rc.Read, once)
		try("write, past deadline for reading", rc.Write, once)
		e.client.SetDeadline(time.Time{})
		e.client.SetWriteDeadline(time.Unix(1, 0))
		try("write, past deadline", rc.Write, once)
		try("read, past deadline for writing", rc.Read, once)
		e.client.SetDeadline(time.Time{})
		try("read until the deadline", rc.Read, func(fd uintptr) bool {
			if calls == 0 { // not before: a slow machine would be late for the first call
				e.client.SetDeadline(time.Now().Add(2 * time.Millisecond))
			}
			return never(fd)
		})
		e.client.SetDeadline(time.Time{})
		try("read after it", rc.Read, once)
		for e.client.SetWriteDeadline(time.Now().Add(20 * time.Millisecond)); err == nil; {
			_, err = e.client.Write(make([]byte, 1<<20)) // nobody reads
		}
		e.client.SetWriteDeadline(time.Now().Add(2 * time.Millisecond))
		err = rc.Write(func(uintptr) bool { return false })
		see("write until the deadline", 0, err)
		see("control", 0, rc.Control(func(uintptr) {}))
		see("close", 0, e.client.Close())
		try("read, closed", rc.Read, once)
		try("write, closed", rc.Write, once)
		see("control, closed", 0, rc.Control(func(uintptr) { t.Error("called") }))
	})
}

func TestErrorsOfAListenerAreThoseOfPackageNet(t *testing.T) {
	sameAsPackageNet(t, func(t *testing.T, e ends, see func(string, int, error)) {
		l := e.l.(interface {
			net.Listener
			SetDeadline(time.Time) error
		})
		accept := func() error {
			c, err := l.Accept()
			if (c == nil) != (err != nil) {
				t.Errorf("Accept: %v, %v", c, err)
			}
			return err
		}
		see("deadline", 0, l.SetDeadline(time.Unix(1, 0)))
		see("accept, past deadline", 0, accept())
		see("clear", 0, l.SetDeadline(time.Time{}))
		see("close", 0, l.Close())
		see("close again", 0, l.Close())
		see("accept, closed", 0, accept())
		if err := l.SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) { // package net's has no address
			t.Errorf("deadline, closed: %v", err)
		}
	})
}

func TestAResetIsSeenAsWithPackageNet(t *testing.T) {
	sameAsPackageNet(t, func(t *testing.T, e ends, see func(string, int, error)) {
		c, ok := e.client.(tcpConn)
		if !ok || e.client.LocalAddr().Network() != "tcp" {
			see("there is no reset on a unix socket", 0, nil)
			return
		}
		see("linger", 0, c.SetLinger(0))
		see("close", 0, c.Close())
		see("linger, closed", 0, c.SetLinger(0))
		n, err := e.server.Read(make([]byte, 1))
		see("read", n, err)
	})
}

func TestAddressesOutliveAConn(t *testing.T) {
	sameAsPackageNet(t, func(t *testing.T, e ends, see func(string, int, error)) {
		for name, c := range map[string]conn{"client": e.client, "server": e.server} {
			want := fmt.Sprintf("%T %v %T %v", c.LocalAddr(), c.LocalAddr(), c.RemoteAddr(), c.RemoteAddr())
			c.Close()
			if got := fmt.Sprintf("%T %v %T %v", c.LocalAddr(), c.LocalAddr(), c.RemoteAddr(), c.RemoteAddr()); got != want {
				t.Errorf("%s after Close: %s, before: %s", name, got, want)
			}
		}
		see("done", 0, nil)
	})
}

// An accepted connection that was closed before anybody asked for its addresses knows them still.
func TestAddressesOfAClosedConnThatNobodyAskedFor(t *testing.T) {
	r := newRing(t, nil)
	a, b := connPair(t, r, "tcp4")
	b.Close()
	if b.LocalAddr() == nil || b.RemoteAddr() == nil || b.LocalAddr().String() != a.RemoteAddr().String() {
		t.Errorf("%v, %v; the peer says %v, %v", b.LocalAddr(), b.RemoteAddr(), a.RemoteAddr(), a.LocalAddr())
	}
}
