package rio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// multishots makes a Ring whose kernel has multishot requests, and whose loops wait for them, or skips t.
func multishots(t *testing.T) *Ring {
	t.Helper()
	r := openRing(t, &Config{Profile: io.Discard})
	l, c, _ := listening(t, r, "tcp4")
	defer l.Close()
	defer c.Close()
	if r.provide(); r.lacks(kindReceives) || r.lacks(kindAccepts) {
		t.Skip("this kernel, or whatever stands in for it, has no multishot requests")
	}
	return r
}

// listening is a Listener, and a connection that was accepted from it, with its peer, which is package net's.
func listening(t *testing.T, r *Ring, network string) (l *Listener, c *Conn, peer *net.TCPConn) {
	t.Helper()
	l, err := r.Listen(network, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nc, err := net.Dial(network, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); nc.Close(); accepted.Close() })
	return l, accepted.(*Conn), nc.(*net.TCPConn)
}

// waiting is how much lies in an inbox.
func (d *half) waiting() (shots, bytes int, armed bool) {
	in := d.inbox.Load()
	if in == nil {
		return 0, 0, false
	}
	in.lane.cq.mu.Lock()
	defer in.lane.cqUnlock()
	for _, s := range in.shots[in.head:] {
		bytes += len(s.p)
	}
	return len(in.shots) - in.head, bytes, in.armed
}

// arrives waits until the inbox has so many shots.
func (d *half) arrives(t *testing.T, r *Ring, n int) {
	t.Helper()
	until(t, fmt.Sprint(n, " are there"), func() bool {
		r.reap()
		shots, _, _ := d.waiting()
		return shots >= n
	})
}

// leave runs a loop on c that is left in its third turn, with what of peer's the kernel has taken by then.
func leave(t *testing.T, r *Ring, c *Conn, peer *net.TCPConn, shots int, send func()) {
	t.Helper()
	turn := 0
	peer.Write([]byte("1"))
	for p, err := range c.Received(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if turn++; string(p) != fmt.Sprint(turn) {
			t.Fatalf("turn %d: %q", turn, p)
		}
		if turn == 3 {
			send()
			c.rd.arrives(t, r, shots)
			break
		}
		fmt.Fprint(peer, turn+1)
	}
	if left, _, armed := c.rd.waiting(); shots > 0 && (armed || r.inFlight() != 0 || left == 0) {
		t.Errorf("%d shots, armed: %v, %d in flight", left, armed, r.inFlight())
	}
	returned(t, r)
}

// returned fails t unless the kernel has all of its buffers.
func returned(t *testing.T, r *Ring) {
	t.Helper()
	r.cq.mu.Lock()
	defer r.cqUnlock()
	if r.provided.lent != 0 {
		t.Errorf("%d buffers are lent", r.provided.lent)
	}
}

func TestWhatALoopHasLeftIsTheNextOnes(t *testing.T) {
	r := multishots(t)
	for what, rest := range map[string]func(c *Conn) ([]byte, error){
		"Read": func(c *Conn) ([]byte, error) { return io.ReadAll(c) },
		"Read of single bytes": func(c *Conn) (got []byte, err error) {
			for b := make([]byte, 1); err == nil; {
				var n int
				n, err = c.Read(b)
				got = append(got, b[:n]...)
			}
			if err == io.EOF {
				err = nil
			}
			return got, err
		},
		"Received": func(c *Conn) (got []byte, err error) {
			for p, err := range c.Received(context.Background()) {
				if err != nil {
					return nil, err
				}
				got = append(got, p...)
			}
			return got, nil
		},
		"Ring.Recv": func(c *Conn) (got []byte, err error) {
			for b := make([]byte, 3); ; {
				n, err := r.Recv(c, b).Wait()
				if n == 0 || err != nil {
					return got, err
				}
				got = append(got, b[:n]...)
			}
		},
		"in turn": func(c *Conn) (got []byte, err error) {
			b := make([]byte, 2)
			n, err := c.Read(b)
			if err != nil {
				return nil, err
			}
			got = append(got, b[:n]...)
			if n, err = r.Recv(c, b[:1]).Wait(); err != nil {
				return nil, err
			}
			got = append(got, b[:n]...)
			for p, err := range c.Received(context.Background()) {
				if err != nil {
					return nil, err
				}
				got = append(got, p...)
			}
			return got, nil
		},
	} {
		t.Run(what, func(t *testing.T) {
			_, c, peer := listening(t, r, "tcp4")
			leave(t, r, c, peer, 3, func() {
				peer.Write([]byte("abcdef"))
				c.rd.arrives(t, r, 1)
				peer.Write([]byte("ghi"))
				peer.CloseWrite() // its end is the third shot
			})
			if got, err := rest(c); string(got) != "abcdefghi" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
			if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("at the end: %d, %v", n, err)
			}
		})
	}
}

func TestAResetThatALoopHasLeftIsToldOnce(t *testing.T) {
	r := multishots(t)
	_, c, peer := listening(t, r, "tcp4")
	leave(t, r, c, peer, 2, func() {
		peer.Write([]byte("last words"))
		c.rd.arrives(t, r, 1)
		peer.SetLinger(0)
		peer.Close()
	})
	buf := make([]byte, 100)
	if n, err := c.Read(buf); string(buf[:n]) != "last words" || err != nil {
		t.Errorf("%q, %v", buf[:n], err)
	}
	if n, err := c.Read(buf); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%d, %v; want a reset, not the end", n, err)
	}
}

func TestADeadlineAndCloseStandBeforeWhatWasLeft(t *testing.T) {
	r := multishots(t)
	_, c, peer := listening(t, r, "tcp4")
	leave(t, r, c, peer, 1, func() { peer.Write([]byte("rest")) })
	c.SetReadDeadline(time.Unix(1, 0))
	buf := make([]byte, 100)
	if n, err := c.Read(buf); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d, %v", n, err)
	}
	c.SetReadDeadline(time.Time{})
	if n, err := c.Read(buf[:1]); n != 1 || err != nil || buf[0] != 'r' {
		t.Errorf("%q, %v", buf[:n], err)
	}
	c.Close()
	if n, err := c.Read(buf); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("%q, %v", buf[:n], err)
	}
	if shots, _, _ := c.rd.waiting(); shots != 0 {
		t.Errorf("a closed Conn keeps %d", shots)
	}
}

// A Read that waits beside a loop has what that leaves.
func TestAPendingReadGetsWhatALoopLeaves(t *testing.T) {
	r := multishots(t)
	for range 50 {
		_, c, peer := listening(t, r, "tcp4")
		got := make(chan error, 1)
		leave(t, r, c, peer, 0, func() {
			go func() {
				_, err := io.ReadFull(c, make([]byte, 4))
				got <- err
			}()
			until(t, "the Read waits", func() bool {
				c.rd.mu.Lock()
				defer c.rd.mu.Unlock()
				return c.rd.op != nil
			})
			if n := r.inFlight(); n != 1 {
				t.Errorf("%d in flight; want the loop's request alone, lest the Read get ahead of it", n)
			}
			go peer.Write([]byte("rest"))
		})
		if err := <-got; err != nil {
			t.Fatal(err)
		}
	}
}

// What asks the kernel itself ends the loop's request first, which begins again in the loop's next turn.
func TestNothingGetsAheadOfALoop(t *testing.T) {
	r := multishots(t)
	for what, recv := range map[string]func(c *Conn, b []byte) func() (int, error){
		"Ring.Recv":   func(c *Conn, b []byte) func() (int, error) { return r.Recv(c, b).Wait },
		"Ring.ReadAt": func(c *Conn, b []byte) func() (int, error) { return r.ReadAt(c, b, 0).Wait },
		"Chain.Recv": func(c *Conn, b []byte) func() (int, error) {
			chain := r.Chain()
			recv := chain.Recv(c, b)
			if err := chain.Submit(); err != nil {
				t.Fatal(err)
			}
			return recv.Wait
		},
	} {
		t.Run(what, func(t *testing.T) {
			_, c, peer := listening(t, r, "tcp4")
			b := make([]byte, 1)
			turn := 0
			peer.Write([]byte("1"))
			for p, err := range c.Received(t.Context()) {
				if turn++; err != nil || len(p) != 1 {
					t.Fatalf("%q, %v", p, err)
				}
				if _, _, armed := c.rd.waiting(); armed != (turn > 1) {
					t.Errorf("turn %d, armed: %v", turn, armed)
				}
				if turn == 4 {
					break
				}
				wait := recv(c, b)
				if _, _, armed := c.rd.waiting(); armed {
					t.Error("two ask the kernel at once")
				}
				peer.Write([]byte("x"))
				if n, err := wait(); n != 1 || err != nil || b[0] != 'x' {
					t.Fatalf("%d, %v, %q", n, err, b)
				}
				peer.Write([]byte("2"))
			}
		})
	}
}

func TestConnectionsThatALoopHasLeftAreTheNextOnes(t *testing.T) {
	r := multishots(t)
	const n = 8
	for what, next := range map[string]func(l *Listener) (*Conn, error){
		"Accept": func(l *Listener) (*Conn, error) {
			c, err := l.Accept()
			if err != nil {
				return nil, err
			}
			return c.(*Conn), nil
		},
		"Ring.Accept": func(l *Listener) (*Conn, error) { return r.Accept(l).Wait() },
		"Conns": func(l *Listener) (*Conn, error) {
			for c, err := range l.Conns(context.Background()) {
				return c, err
			}
			return nil, io.EOF
		},
	} {
		t.Run(what, func(t *testing.T) {
			l, peers := abandoned(t, r, n)
			seen := map[string]bool{}
			for range peers {
				c, err := next(l)
				if err != nil {
					t.Fatal(err)
				}
				seen[c.RemoteAddr().String()] = true
				c.Close()
			}
			for _, p := range peers {
				if !seen[p.LocalAddr().String()] {
					t.Errorf("nobody has got %v", p.LocalAddr())
				}
			}
		})
	}
}

// greeter is a Handler that greets, and then closes.
type greeter struct{ closed chan struct{} }

func (greeter) Data(*Stream, []byte)    {}
func (g greeter) Closed(*Stream, error) { g.closed <- struct{}{} }

func TestServeGetsWhatALoopHasLeft(t *testing.T) {
	r := multishots(t)
	l, peers := abandoned(t, r, 8)
	ctx, cancel := context.WithCancel(t.Context())
	g := greeter{make(chan struct{}, 8)}
	served := make(chan error)
	go func() {
		served <- l.Serve(ctx, &Server{Loops: 2, Open: func(c *Stream) Handler {
			fmt.Fprint(c, c.RemoteAddr())
			c.Close()
			return g
		}})
	}()
	for _, p := range peers {
		p.SetReadDeadline(time.Now().Add(20 * time.Second))
		if got, err := io.ReadAll(p); err != nil || string(got) != p.LocalAddr().String() {
			t.Errorf("%v: %q, %v", p.LocalAddr(), got, err)
		}
		<-g.closed
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// abandoned is a Listener whose loop was left with n connections accepted, and their peers.
func abandoned(t *testing.T, r *Ring, n int) (l *Listener, peers []net.Conn) {
	t.Helper()
	l, c, _ := listening(t, r, "tcp4")
	c.Close()
	dial := func() net.Conn {
		p, err := net.Dial("tcp4", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		return p
	}
	dial()
	turn := 0
	for c, err := range l.Conns(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		if turn++; turn == 3 {
			for range n {
				peers = append(peers, dial())
			}
			l.in.arrives(t, r, n)
			break
		}
		dial()
	}
	if shots, _, armed := l.in.waiting(); armed || r.inFlight() != 0 || shots != n {
		t.Errorf("%d shots, armed: %v, %d in flight", shots, armed, r.inFlight())
	}
	return l, peers
}

// closed fails t unless all of peers hear that nobody is there.
func closed(t *testing.T, peers []net.Conn) {
	t.Helper()
	for _, p := range peers {
		p.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := p.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v: %v; want the end", p.LocalAddr(), err)
		}
	}
}

func TestConnectionsThatNobodyTookAreClosed(t *testing.T) {
	r := multishots(t)
	l, peers := abandoned(t, r, 5)
	l.Close()
	closed(t, peers)
	other, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	l, peers = abandoned(t, other, 5)
	if err := other.Close(); err != nil {
		t.Error(err)
	}
	closed(t, peers)
	if c, err := l.Accept(); !errors.Is(err, ErrClosed) {
		t.Errorf("%v, %v; want ErrClosed", c, err)
	}
	l.Close()
}

// An inbox keeps neither its Conn nor its Listener alive.
func TestForgottenOnesThatHadALoopAreClosed(t *testing.T) {
	r := multishots(t)
	var peers []net.Conn
	func() {
		l, err := r.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		dial := func() net.Conn {
			p, err := net.Dial("tcp4", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { p.Close() })
			peers = append(peers, p)
			return p
		}
		dial()
		for c, err := range l.Conns(t.Context()) { // and that one is forgotten, too
			if err != nil {
				t.Fatal(err)
			}
			if len(peers) < 4 {
				dial()
				continue
			}
			peers[3].Write([]byte("1"))
			for p, err := range c.Received(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				peers[3].Write([]byte("some more"))
				if len(p) > 1 {
					peers[3].Write([]byte("and a rest"))
					c.rd.arrives(t, r, 1)
					break
				}
			}
			dial()
			l.in.arrives(t, r, 1)
			break
		}
	}()
	for i, p := range peers {
		until(t, fmt.Sprint(i, " is closed"), func() bool {
			runtime.GC()
			for range 4 { // the ring may remember its last operations
				r.Nop().Wait()
			}
			p.SetReadDeadline(time.Now().Add(time.Millisecond))
			_, err := p.Read(make([]byte, 1))
			return !errors.Is(err, os.ErrDeadlineExceeded)
		})
	}
}

// A peer that has said something and reset the connection is not lost, though nobody knows any more who it was.
func TestResetConnectionsHaveAnAddress(t *testing.T) {
	r := multishots(t)
	l, peers := abandoned(t, r, 1)
	defer l.Close()
	peers[0].Write([]byte("hello"))
	peers[0].(*net.TCPConn).SetLinger(0)
	peers[0].Close()
	in := l.in.inbox.Load()
	until(t, "the reset is there", func() bool {
		var sa uring.Sockaddr
		return uring.Peername(in.shots[in.head].conn.fd, &sa) != nil
	})
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if a, ok := c.RemoteAddr().(*net.TCPAddr); !ok || a == nil {
		t.Errorf("the peer is %v", c.RemoteAddr())
	}
}

// Where the kernel has no multishot requests loops do without, and find out by themselves.
func TestLoopsDoWithoutMultishot(t *testing.T) {
	r := multishots(t)
	r.provided.noAccepts.Store(true)
	r.provided.noReceives.Store(true)
	l, c, peer := listening(t, r, "tcp4")
	peer.Write([]byte("1"))
	turn := 0
	for p, err := range c.Received(t.Context()) {
		if turn++; string(p) != fmt.Sprint(turn) || err != nil {
			t.Fatalf("turn %d: %q, %v", turn, p, err)
		}
		if _, _, armed := c.rd.waiting(); armed {
			t.Error("a request is armed")
		}
		if turn == 5 {
			peer.CloseWrite()
		} else {
			fmt.Fprint(peer, turn+1)
		}
	}
	if turn != 5 {
		t.Errorf("%d turns", turn)
	}
	peer2, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer2.Close()
	for c, err := range l.Conns(t.Context()) {
		if err != nil || c.RemoteAddr().String() != peer2.LocalAddr().String() {
			t.Errorf("%v", err)
		}
		c.Close()
		break
	}
}

func TestAPeerThatHasGoneHasAnAddressOfItsFamily(t *testing.T) {
	for domain, want := range map[int]string{unix.AF_INET: "tcp 0.0.0.0:0", unix.AF_INET6: "tcp [::]:0", unix.AF_UNIX: "unix @"} {
		fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0) // without a peer, too
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if a := (&loop{}).peer(int32(fd)); a.Network()+" "+a.String() != want {
			t.Errorf("%v, not %q", a, want)
		}
	}
}

// Who sees that the Ring closes leaves what an inbox has alone: he must be refused by then, or he receives what comes behind it.
func TestNothingIsBegunOnceCloseIsSeen(t *testing.T) {
	for what, end := range map[string]func(r *Ring){"Close": func(r *Ring) { r.Close() }, "broken": func(r *Ring) { r.fail(syscall.EIO) }} {
		r := openRing(t, nil)
		r.waits.mu.Lock() // it is held up there, with much to end
		over := make(chan struct{})
		go func() {
			defer close(over)
			end(r)
		}()
		until(t, what+" is seen", r.closing.Load)
		if err := r.usable("test"); err == nil {
			t.Error(what, "refuses nothing yet")
		}
		r.waits.mu.Unlock()
		<-over
	}
}
