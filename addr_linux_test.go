package rio_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
)

// resets has c's peer hear of a reset, which is there when it returns.
func resets(t *testing.T, c net.Conn, peer syscall.Conn) {
	t.Helper()
	if err := c.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	c.Close()
	raw, err := peer.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	comesTrue(t, "the peer is gone", func() (gone bool) {
		raw.Control(func(fd uintptr) {
			_, err := syscall.Getpeername(int(fd))
			gone = err == syscall.ENOTCONN
		})
		return gone
	})
}

// Whatever becomes of a connection, both ends' names stay.
func TestConnsKnowTheirAddressesAfterTheEnd(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, c *rio.Conn, peer *net.TCPConn){
		"reset": func(t *testing.T, c *rio.Conn, peer *net.TCPConn) { resets(t, peer, c) },
		"closed on both sides": func(t *testing.T, c *rio.Conn, peer *net.TCPConn) {
			peer.CloseWrite()
			if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Fatal(n, err)
			}
			c.CloseWrite()
			if _, err := peer.Read(make([]byte, 1)); err == nil {
				t.Fatal("no end")
			}
			peer.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRing(t, nil)
			accepted := func() (c *rio.Conn, peer *net.TCPConn) {
				l, err := r.Listen("tcp4", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				nc, err := net.Dial("tcp4", l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				a, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				return a.(*rio.Conn), nc.(*net.TCPConn)
			}
			taken := func() (*rio.Conn, *net.TCPConn) {
				a, b := tcpPair(t)
				f, err := b.(*net.TCPConn).File()
				if err != nil {
					t.Fatal(err)
				}
				c, err := r.NewConn(f)
				if err != nil {
					t.Fatal(err)
				}
				b.Close()
				return c, a.(*net.TCPConn)
			}
			for how, open := range map[string]func() (*rio.Conn, *net.TCPConn){"accepted": accepted, "NewConn": taken} {
				c, peer := open()
				local, remote := peer.RemoteAddr().String(), peer.LocalAddr().String()
				end(t, c, peer)
				for range 2 {
					if l, r := c.LocalAddr(), c.RemoteAddr(); l == nil || r == nil || l.String() != local || r.String() != remote {
						t.Errorf("%s: %v, %v; want %v, %v", how, l, r, local, remote)
					}
					c.Close()
				}
			}
		})
	}
}

func TestUDPConnWithoutAPeerKnowsItsAddressAfterClose(t *testing.T) {
	r := newRing(t, nil)
	u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	f, err := u.File()
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.NewConn(f)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if a := c.LocalAddr(); a == nil || a.String() != u.LocalAddr().String() {
		t.Errorf("%v; want %v", a, u.LocalAddr())
	}
}

// A peer that resets takes nobody's name along: a Handler may rely on it.
func TestServeKnowsWhoHasReset(t *testing.T) {
	inBothModes(t, func(t *testing.T) {
		type end struct {
			addr net.Addr
			err  error
		}
		opened, ends := make(chan *rio.Stream, 1), make(chan end, 1)
		v := serve(t, handler{
			data:   func(c *rio.Stream, _ []byte) { opened <- c },
			closed: func(c *rio.Stream, err error) { ends <- end{c.RemoteAddr(), err} },
		}, rio.Server{})
		c := v.dial(t)
		want := c.LocalAddr().String()
		fmt.Fprint(c, "x")
		s := <-opened
		c.SetLinger(0)
		c.Close()
		e := <-ends
		oe, ok := e.err.(*net.OpError)
		if e.addr == nil || e.addr.String() != want || !ok || oe.Addr == nil || oe.Addr.String() != want {
			t.Errorf("%v, %v; want %s", e.addr, e.err, want)
		}
		if a := s.RemoteAddr(); a == nil || a.String() != want {
			t.Errorf("afterwards %v; want %s", a, want)
		}
	})
}

// A deadline keeps nobody from being collected, not even one that was removed.
func TestForgottenWithADeadlineTheyAreClosed(t *testing.T) {
	r := newRing(t, nil)
	forget := func() (peer net.Conn, path string) {
		path = loopback(t, "unix")
		l, err := r.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		l.SetDeadline(time.Now().Add(time.Hour))
		l.SetDeadline(time.Time{})
		if peer, err = net.Dial("unix", path); err != nil {
			t.Fatal(err)
		}
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(time.Hour))
		return peer, path
	}
	peer, path := forget()
	defer peer.Close()
	end := make(chan error, 1)
	go func() {
		_, err := peer.Read(make([]byte, 1))
		end <- err
	}()
	collect := func() {
		for range 4 { // the ring may remember its last operations
			r.Nop().Wait()
		}
		runtime.GC()
	}
	comesTrue(t, "the Conn is closed", func() bool {
		collect()
		return len(end) > 0
	})
	comesTrue(t, "the Listener is closed", func() bool {
		collect()
		c, err := net.Dial("unix", path)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
}

// Who forgets a Listener leaves its path, which may be another's by now.
func TestForgottenListenersLeaveTheirPath(t *testing.T) {
	r := newRing(t, nil)
	path := loopback(t, "unix")
	collected := make(chan struct{})
	func() {
		l, err := r.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		runtime.AddCleanup(l, func(c chan struct{}) { close(c) }, collected)
	}()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	l, err := r.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	comesTrue(t, "it is collected", func() bool {
		for range 4 {
			r.Nop().Wait()
		}
		runtime.GC()
		select {
		case <-collected:
			return true
		default:
			return false
		}
	})
	if c, err := net.Dial("unix", path); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
}

// A Listen that fails for want of descriptors leaves nothing that would be in the way of the next.
func TestListenThatFailsLeavesNoPath(t *testing.T) {
	r := newRing(t, nil)
	path := loopback(t, "unix")
	l, err := r.Listen("unix", path) // the poller has its descriptors
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	next := f.Fd()
	f.Close()
	few := old
	few.Cur = uint64(next) + 1 // for the socket, not for a duplicate
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	_, err = r.Listen("unix", path)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	var oe *net.OpError
	if !is(err, syscall.EMFILE) || !errors.As(err, &oe) || oe.Op != "listen" {
		t.Errorf("%v; want a net.OpError that is EMFILE", err)
	}
	if l, err = r.Listen("unix", path); err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		t.Error(err)
	}
}

// The descriptor that SyscallConn gives never blocks, as package net's don't, whatever it was before NewConn.
func TestSyscallConnOfABlockingSocketObeysTheDeadline(t *testing.T) {
	r := newRing(t, nil)
	p, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	peer := os.NewFile(uintptr(p[1]), "peer")
	defer peer.Close()
	c, err := r.NewConn(os.NewFile(uintptr(p[0]), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	ended := make(chan error, 1)
	receive := func() {
		ended <- raw.Read(func(fd uintptr) bool {
			_, _, _, _, err := syscall.Recvmsg(int(fd), make([]byte, 1), nil, 0)
			return err != syscall.EAGAIN
		})
	}
	go receive()
	select {
	case err := <-ended:
		if !is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		peer.Write([]byte("x"))
		t.Fatal("it waits in the kernel")
	}
	c.SetReadDeadline(time.Time{})
	go receive()
	peer.Write([]byte("x"))
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestErrorsOfAStreamNameItsNetworkAndItsPeer(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		errs := make(chan error, 1)
		v := serveOn(t, network, handler{data: func(c *rio.Stream, p []byte) {
			c.Close()
			_, err := c.Write(p)
			errs <- err
		}}, rio.Server{})
		c, err := net.Dial(network, v.l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "x")
		var oe *net.OpError
		if err := <-errs; !errors.As(err, &oe) || oe.Net != network || oe.Addr == nil || oe.Addr.Network() != network {
			t.Errorf("%v; want it to name %s", err, network)
		}
	}
}

// A datagram socket may be connected again, and its peer is another one then.
func TestTheAddressOfASecondPeer(t *testing.T) {
	r := newRing(t, nil)
	var peers [2]*net.UDPConn
	for i := range peers {
		var err error
		if peers[i], err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
			t.Fatal(err)
		}
		defer peers[i].Close()
	}
	c, err := r.Dial(t.Context(), "udp4", peers[0].LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i, p := range []*net.UDPConn{peers[0], peers[1], peers[0]} {
		if i > 0 {
			if _, err := r.Connect(c, p.LocalAddr().(*net.UDPAddr).AddrPort()).Wait(); err != nil {
				t.Fatal(err)
			}
		}
		if got := c.RemoteAddr(); got == nil || got.String() != p.LocalAddr().String() {
			t.Errorf("connect %d: the peer is %v, not %v", i, got, p.LocalAddr())
		}
	}
	c.Close()
	if got := c.RemoteAddr(); got == nil || got.String() != peers[0].LocalAddr().String() {
		t.Error("when it is closed:", got)
	}
}
