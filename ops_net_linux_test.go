package rio_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-9c58b644/rio"
)

// socket is a new socket, in w's way.
func (w *opWay) socket(t *testing.T, domain, typ int) syscall.Conn {
	t.Helper()
	fd, err := unix.Socket(domain, typ|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "socket")
	t.Cleanup(func() { f.Close() })
	r := w.r
	switch w.on {
	case "std":
		return f
	case "other":
		r = w.other
	}
	c, err := r.NewConn(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// withFD runs f on c's descriptor.
func withFD(t *testing.T, c syscall.Conn, f func(fd int)) {
	t.Helper()
	rc, err := c.SyscallConn()
	if err == nil {
		err = rc.Control(func(fd uintptr) { f(int(fd)) })
	}
	if err != nil {
		t.Fatal(err)
	}
}

// socketName is what the kernel says of c's own end.
func socketName(t *testing.T, c syscall.Conn) (ap netip.AddrPort) {
	t.Helper()
	withFD(t, c, func(fd int) {
		switch sa, err := unix.Getsockname(fd); sa := sa.(type) {
		case *unix.SockaddrInet4:
			ap = netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
		case *unix.SockaddrInet6:
			ap = netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
		default:
			t.Fatal(sa, err)
		}
	})
	return ap
}

func TestConnectConnects(t *testing.T) {
	eachWay(t, func(t *testing.T, w *opWay) {
		for _, c := range []struct {
			name, network string
			domain        int
			mapped        bool
		}{
			{"IPv4", "tcp4", unix.AF_INET, false},
			{"IPv6", "tcp6", unix.AF_INET6, false},
			{"IPv4 on an IPv6 socket", "tcp4", unix.AF_INET6, false},
			{"mapped IPv4 on an IPv4 socket", "tcp4", unix.AF_INET, true},
			{"mapped IPv4 on an IPv6 socket", "tcp4", unix.AF_INET6, true},
		} {
			t.Run(c.name, func(t *testing.T) {
				if c.domain == unix.AF_INET6 {
					loopback(t, "tcp6")
				}
				l := stdListen(t, c.network)
				s := w.socket(t, c.domain, unix.SOCK_STREAM)
				to := l.Addr().(*net.TCPAddr).AddrPort()
				if c.mapped {
					to = netip.AddrPortFrom(netip.AddrFrom16(to.Addr().As16()), to.Port())
				}
				if _, err := w.connect(s, to).Wait(); err != nil {
					t.Fatal(err)
				}
				peer, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer peer.Close()
				if got := peer.RemoteAddr().(*net.TCPAddr).AddrPort(); got != socketName(t, s) {
					t.Errorf("the peer sees %v, the socket is %v", got, socketName(t, s))
				}
				wantErrno(t, "connect", w.connect(s, to), syscall.EISCONN)
				wantInt(t, "write", w.writeAt(s, []byte("hi"), 0), 2)
				buf := make([]byte, 2)
				if _, err := peer.Read(buf); err != nil || string(buf) != "hi" {
					t.Errorf("received %q, %v", buf, err)
				}
				if conn, ok := s.(*rio.Conn); ok {
					wantAddr(t, "the peer's address", conn.RemoteAddr(), peer.LocalAddr())
					wantAddr(t, "the own address", conn.LocalAddr(), peer.RemoteAddr())
				}
			})
		}
	})
}

func TestConnectErrorsAreTheKernels(t *testing.T) {
	eachWay(t, func(t *testing.T, w *opWay) {
		l := stdListen(t, "tcp4")
		to := l.Addr().(*net.TCPAddr).AddrPort()
		l.Close()
		six := netip.AddrPortFrom(netip.IPv6Loopback(), to.Port())

		wantErrno(t, "connect", w.connect(w.socket(t, unix.AF_INET, unix.SOCK_STREAM), to), syscall.ECONNREFUSED)
		s := w.socket(t, unix.AF_INET, unix.SOCK_STREAM)
		for what, c := range map[string]rio.Completion[struct{}]{
			"IPv6 on an IPv4 socket": w.connect(s, six),
			"IPv4 on a Unix socket":  w.connect(w.socket(t, unix.AF_UNIX, unix.SOCK_STREAM), to),
		} {
			_, err := c.Wait()
			if !errors.Is(err, syscall.EAFNOSUPPORT) || !strings.Contains(err.Error(), "connect") {
				t.Errorf("%s: %v; want EAFNOSUPPORT", what, err)
			}
		}
		pr, pw, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer pw.Close()
		if _, err := w.connect(w.file(t, pr), to).Wait(); !errors.Is(err, syscall.ENOTSOCK) || !strings.Contains(err.Error(), "connect") {
			t.Errorf("on a pipe: %v; want ENOTSOCK", err)
		}
	})
}

func TestConnectedSocketsFollowInAChain(t *testing.T) {
	for _, on := range []string{"own", "std", "other"} {
		t.Run(on, func(t *testing.T) {
			w := &opWay{r: newRing(t, nil), other: newRing(t, nil), on: on}
			l := stdListen(t, "tcp4")
			s := w.socket(t, unix.AF_INET, unix.SOCK_STREAM)
			buf := make([]byte, 4)
			chain := w.r.Chain()
			connect := chain.Connect(s, l.Addr().(*net.TCPAddr).AddrPort())
			write := chain.WriteAt(s, []byte("ping"), 0)
			read := chain.ReadAt(s, buf, 0)
			if err := chain.Submit(); err != nil {
				t.Fatal(err)
			}
			peer, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer peer.Close()
			if _, err := connect.Wait(); err != nil {
				t.Fatal(err)
			}
			wantInt(t, "write", write, 4)
			peer.Write([]byte("pong"))
			wantInt(t, "read", read, 4)
			if string(buf) != "pong" {
				t.Errorf("received %q", buf)
			}
		})
	}
}

func TestConnectOfADatagramSocketSetsItsPeer(t *testing.T) {
	eachWay(t, func(t *testing.T, w *opWay) {
		pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer pc.Close()
		s := w.socket(t, unix.AF_INET, unix.SOCK_DGRAM)
		if _, err := w.connect(s, pc.LocalAddr().(*net.UDPAddr).AddrPort()).Wait(); err != nil {
			t.Fatal(err)
		}
		wantInt(t, "write", w.writeAt(s, []byte("hi"), 0), 2)
		buf := make([]byte, 8)
		n, from, err := pc.ReadFrom(buf)
		if err != nil || string(buf[:n]) != "hi" || from.(*net.UDPAddr).AddrPort() != socketName(t, s) {
			t.Errorf("%q from %v, %v", buf[:n], from, err)
		}
	})
}

func TestAcceptedConnectionsCloseOnExec(t *testing.T) {
	eachWay(t, func(t *testing.T, w *opWay) {
		streams(t, func(t *testing.T, network string) {
			l := w.listen(t, network)
			client, err := net.Dial(network, l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			c, err := w.accept(l).Wait()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for what, s := range map[string]any{"connection": c, "listener": l} {
				withFD(t, s.(syscall.Conn), func(fd int) {
					if fl, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || fl&unix.FD_CLOEXEC == 0 {
						t.Errorf("the %s's flags are %#x, %v", what, fl, err)
					}
				})
			}
			if network != "unix" {
				withFD(t, c, func(fd int) { // as package net does
					if v, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY); v == 0 || err != nil {
						t.Errorf("TCP_NODELAY is %d, %v", v, err)
					}
				})
			}
		})
	})
}

func TestSendToNobodyIsEPIPEAndNoSignal(t *testing.T) {
	got := make(chan os.Signal, 100)
	signal.Notify(got, syscall.SIGPIPE)
	defer signal.Stop(got)
	eachWay(t, func(t *testing.T, w *opWay) {
		c, peer := w.pair(t, "unix")
		peer.Close()
		wantErrno(t, "send", w.send(c, []byte("x")), syscall.EPIPE)
		wantErrno(t, "send", w.send(c, make([]byte, 1<<20)), syscall.EPIPE)
		if c, ok := c.(*rio.Conn); ok {
			if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
				t.Errorf("Write: %v; want EPIPE", err)
			}
		}
	})
	// It would be here: the kernel sends it before send returns, to the thread that made the call.
	syscall.Kill(syscall.Getpid(), syscall.SIGPIPE)
	<-got
	select {
	case s := <-got:
		t.Error("got one more", s)
	default:
	}
}

func TestSendAndRecvOnWhatIsNoSocketAreErrors(t *testing.T) {
	r := newRing(t, nil)
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pr.Close()
	defer pw.Close()
	if c, err := r.NewConn(pr); !errors.Is(err, syscall.ENOTSOCK) || c != nil {
		t.Errorf("NewConn of a pipe: %v, %v; want ENOTSOCK", c, err)
	}
	if _, err := pw.Write([]byte("x")); err != nil { // it was not closed
		t.Error(err)
	}
}

func TestConnectToALinkLocalAddressNeedsItsZone(t *testing.T) {
	r := newRing(t, nil)
	w := &opWay{r: r, on: "std"}
	ifs, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range ifs {
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			n, ok := a.(*net.IPNet)
			if !ok || n.IP.To4() != nil || !n.IP.IsLinkLocalUnicast() {
				continue
			}
			// It is this machine's own address: nothing leaves it.
			l, err := net.ListenTCP("tcp6", &net.TCPAddr{IP: n.IP, Zone: i.Name})
			if err != nil {
				continue
			}
			defer l.Close()
			port := l.Addr().(*net.TCPAddr).AddrPort().Port()
			ip, _ := netip.AddrFromSlice(n.IP)
			for _, zone := range []string{i.Name, strconv.Itoa(i.Index)} {
				s := w.socket(t, unix.AF_INET6, unix.SOCK_STREAM)
				if _, err := r.Connect(s, netip.AddrPortFrom(ip.WithZone(zone), port)).Wait(); err != nil {
					t.Fatalf("zone %q: %v", zone, err)
				}
				peer, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				peer.Close()
			}
			bare := w.socket(t, unix.AF_INET6, unix.SOCK_STREAM)
			wantErrno(t, "connect", r.Connect(bare, netip.AddrPortFrom(ip, port)), syscall.EINVAL)
			return
		}
	}
	t.Skip("no link-local address here")
}
