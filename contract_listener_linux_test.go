package rio_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// option is a socket option of c, as the kernel has it.
func option(t *testing.T, c syscall.Conn, level, name int) int {
	t.Helper()
	rc, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	v := -1
	if err := rc.Control(func(fd uintptr) { v, err = unix.GetsockoptInt(int(fd), level, name) }); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// tuning is what package net tunes on a TCP connection.
func tuning(t *testing.T, c syscall.Conn) string {
	t.Helper()
	return fmt.Sprintf("nodelay %v, keepalive %v after %v s, every %v s, %v times",
		option(t, c, unix.IPPROTO_TCP, unix.TCP_NODELAY) != 0, option(t, c, unix.SOL_SOCKET, unix.SO_KEEPALIVE) != 0,
		option(t, c, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE), option(t, c, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL),
		option(t, c, unix.IPPROTO_TCP, unix.TCP_KEEPCNT))
}

func TestConnectionsAreTunedAsByPackageNet(t *testing.T) {
	for _, network := range []string{"tcp4", "tcp6"} {
		t.Run(network, func(t *testing.T) {
			r := newRing(t, nil)
			std, own := packageNet.connect(t, network), onRingNet(r).connect(t, network)
			for what, tune := range map[string]func(tcpConn) error{
				"as made":         func(tcpConn) error { return nil },
				"delay":           func(c tcpConn) error { return c.SetNoDelay(false) },
				"no delay":        func(c tcpConn) error { return c.SetNoDelay(true) },
				"no keep-alive":   func(c tcpConn) error { return c.SetKeepAlive(false) },
				"keep-alive":      func(c tcpConn) error { return c.SetKeepAlive(true) },
				"period":          func(c tcpConn) error { return c.SetKeepAlivePeriod(2500 * time.Millisecond) },
				"default period":  func(c tcpConn) error { return c.SetKeepAlivePeriod(0) },
				"no period":       func(c tcpConn) error { return c.SetKeepAlivePeriod(-time.Second) },
				"endless period":  func(c tcpConn) error { return c.SetKeepAlivePeriod(math.MaxInt64) },
				"default config":  func(c tcpConn) error { return c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true}) },
				"disabled config": func(c tcpConn) error { return c.SetKeepAliveConfig(net.KeepAliveConfig{Idle: time.Hour}) },
				"config of its own": func(c tcpConn) error {
					return c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 7 * time.Second, Interval: 1, Count: 3})
				},
				"config as it is": func(c tcpConn) error {
					return c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: -1, Interval: -1, Count: -1})
				},
				"config too large": func(c tcpConn) error {
					return c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Hour, Interval: time.Hour, Count: 1000})
				},
			} {
				for side, pair := range map[string][2]conn{"client": {std.client, own.client}, "server": {std.server, own.server}} {
					want, got := tune(pair[0].(tcpConn)), tune(pair[1].(tcpConn))
					if own.said(0, got) != strings.ReplaceAll(own.said(0, got), std.said(0, want), own.said(0, got)) || (want == nil) != (got == nil) {
						t.Errorf("%s, %s: %v; package net: %v", what, side, got, want)
					}
					if want, got := tuning(t, pair[0]), tuning(t, pair[1]); got != want {
						t.Errorf("%s, %s: %s; package net: %s", what, side, got, want)
					}
				}
			}
		})
	}
}

func TestOptionsOfTCPAreErrorsElsewhere(t *testing.T) {
	r := newRing(t, nil)
	a, _ := connPair(t, r, "unix")
	for what, err := range map[string]error{"no delay": a.SetNoDelay(true), "period": a.SetKeepAlivePeriod(time.Second)} {
		if !errors.Is(err, syscall.EOPNOTSUPP) && !errors.Is(err, syscall.ENOPROTOOPT) || !errors.As(err, new(*net.OpError)) {
			t.Errorf("%s on a unix socket: %v", what, err)
		}
	}
}

// Of a number of more than 32 bits the kernel would see the lower half: a linger of 0 drops what is unsent.
func TestOptionsTooLargeForTheKernelAreNotCutInHalf(t *testing.T) {
	c := onRingNet(newRing(t, nil)).connect(t, "tcp4").client.(tcpConn)
	if err := c.SetLinger(math.MaxInt/2 + 1); err != nil {
		t.Fatal(err)
	}
	var linger *unix.Linger
	control(t, c, func(fd int) { linger, _ = unix.GetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER) })
	if linger == nil || linger.Onoff == 0 || linger.Linger == 0 {
		t.Errorf("linger: %+v", linger)
	}
	before := tuning(t, c)
	for what, err := range map[string]error{
		"period": c.SetKeepAlivePeriod(1<<32*time.Second + 5*time.Second),
		"count":  c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: -1, Interval: -1, Count: math.MaxInt/2 + 6}),
	} {
		if !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got := tuning(t, c); got != before {
		t.Errorf("%s; before: %s", got, before)
	}
}

func TestBuffersOfASocketAreSet(t *testing.T) {
	std, own := packageNet.connect(t, "tcp4"), onRingNet(newRing(t, nil)).connect(t, "tcp4")
	for _, c := range []conn{std.client, own.client} {
		if err := errors.Join(c.SetReadBuffer(20000), c.SetWriteBuffer(30000)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []int{unix.SO_RCVBUF, unix.SO_SNDBUF} {
		if got, want := option(t, own.client, unix.SOL_SOCKET, name), option(t, std.client, unix.SOL_SOCKET, name); got != want {
			t.Errorf("option %d: %d; package net: %d", name, got, want)
		}
	}
}

func TestDescriptorsAreClosedOnExec(t *testing.T) {
	streams(t, func(t *testing.T, network string) {
		e := onRingNet(newRing(t, nil)).connect(t, network)
		for what, c := range map[string]any{"listener": e.l, "dialled": e.client, "accepted": e.server} {
			rc, err := c.(syscall.Conn).SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			flags := -1
			rc.Control(func(fd uintptr) { flags, err = unix.FcntlInt(fd, unix.F_GETFD, 0) })
			if err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("%s: flags %x, %v; want FD_CLOEXEC", what, flags, err)
			}
		}
	})
}

// Each connection is accepted once, by one of those who accept, whatever deadlines strike meanwhile.
func TestDeadlinesOfAListenerLoseNoConnection(t *testing.T) {
	streams(t, func(t *testing.T, network string) {
		r := newRing(t, nil)
		l := listen(t, r, network)
		const n = 100
		var mu sync.Mutex
		seen, timeouts := map[string]int{}, 0
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					c, err := l.Accept()
					if errors.Is(err, os.ErrDeadlineExceeded) {
						mu.Lock()
						timeouts++
						mu.Unlock()
						l.SetDeadline(time.Now().Add(300 * time.Microsecond))
						continue
					}
					if err != nil {
						if !errors.Is(err, net.ErrClosed) {
							t.Error(err)
						}
						return
					}
					id, err := io.ReadAll(c)
					c.Close()
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					seen[string(id)]++
					mu.Unlock()
				}
			})
		}
		l.SetDeadline(time.Now())
		for i := range n {
			c, err := net.Dial(network, l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(c, i)
			c.(conn).CloseWrite()
			c.SetReadDeadline(time.Now().Add(20 * time.Second))
			if _, err := io.ReadAll(c); err != nil {
				t.Errorf("connection %d: %v", i, err)
			}
			c.Close()
		}
		l.Close()
		wg.Wait()
		for i := range n {
			if seen[fmt.Sprint(i)] != 1 {
				t.Errorf("connection %d was accepted %d times", i, seen[fmt.Sprint(i)])
			}
		}
		t.Logf("%d timeouts", timeouts)
	})
}

// A connection that arrives while the listener is closed is either somebody's, or its peer hears that it is nobody's.
func TestCloseOfAListenerLeaksNoConnection(t *testing.T) {
	streams(t, func(t *testing.T, network string) {
		r := newRing(t, nil)
		before := len(openFDs())
		accepted, refused := 0, 0
		for i := range 100 {
			l, err := r.Listen(network, loopback(t, network))
			if err != nil {
				t.Fatal(err)
			}
			address := l.Addr().String()
			accepts := begun(t, r, func() error {
				for {
					c, err := l.Accept()
					if err != nil {
						return err
					}
					accepted++
					c.Close()
				}
			})
			connected, end := make(chan error, 1), make(chan error, 1)
			go func() {
				// Rarely the kernel forgets a connection of a listener that is closed, and tells its peer only when that asks;
				// with package net too.
				d := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second}}
				c, err := d.Dial(network, address)
				connected <- err
				if err == nil {
					c.SetReadDeadline(time.Now().Add(20 * time.Second))
					_, err = c.Read(make([]byte, 1))
					c.Close()
				}
				end <- err
			}()
			if i%2 == 0 {
				<-connected
			}
			l.Close()
			if err := <-accepts; !errors.Is(err, net.ErrClosed) {
				t.Fatalf("Accept: %v", err)
			}
			if err := <-end; errors.Is(err, os.ErrDeadlineExceeded) || err == nil {
				t.Fatalf("the peer: %v; want the end", err)
			} else if err != io.EOF {
				refused++
			}
		}
		// With one P the Ring may have got one of its own meanwhile (netpoll.go).
		comesTrue(t, "all descriptors are closed", func() bool { return len(openFDs()) <= before+1 })
		if accepted == 0 && !onThreads || accepted+refused < 50 { // on threads, with one P, Close is always first
			t.Errorf("%d accepted, %d refused", accepted, refused)
		}
	})
}

// TestOutOfDescriptors runs itself with few descriptors: an http.Server on a Listener comes through that.
func TestOutOfDescriptors(t *testing.T) {
	if os.Getenv("RIO_TEST_EMFILE") != "" {
		outOfDescriptors(t)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestOutOfDescriptors$", "-test.v")
	cmd.Env = append(os.Environ(), "RIO_TEST_EMFILE=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestOutOfDescriptors") {
		t.Errorf("%v\n%s", err, out)
	}
}

func outOfDescriptors(t *testing.T) {
	r := newRing(t, nil)
	l, err := r.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var clients []net.Conn
	for range 3 {
		c, err := r.Dial(context.Background(), "tcp4", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients = append(clients, c)
	}
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	few := old
	few.Cur = 0
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	_, err = l.Accept()
	ne, ok := err.(net.Error)
	retry, _ := err.(interface{ Temporary() bool }) // how http.Server sees it
	if !ok || !errors.Is(err, syscall.EMFILE) || ne.Timeout() || !retry.Temporary() {
		t.Errorf("Accept: %v; want a temporary net.Error that is EMFILE", err)
	}
	log := &said{more: make(chan struct{}, 100)}
	srv := &http.Server{ErrorLog: log.logger(), Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		io.WriteString(w, "still here")
	})}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	<-log.more // it has met EMFILE, and tries again
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	for _, c := range clients {
		io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
		got, err := io.ReadAll(c)
		if err != nil || !strings.HasSuffix(string(got), "still here") {
			t.Errorf("%q, %v", got, err)
		}
	}
	if !strings.Contains(log.text(), "too many open files; retrying") {
		t.Errorf("the server says %q", log.text())
	}
	srv.Close()
	<-served
}
