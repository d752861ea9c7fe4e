package faults

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-9c58b644/rio"
)

func TestResetsInTheMiddle(t *testing.T) {
	f := inject(t, 29, "the peer resets (SO_LINGER 0) in the middle of a transfer")
	r := f.ring(nil)
	for i := range rounds(50, 300, 3000) {
		c, peer := ringPair(f, r)
		want := tagged("reset", i, 0, 8192)
		go func() {
			io.CopyN(io.Discard, peer, 100)
			peer.Write(want[:1000])
			peer.SetLinger(0)
			peer.Close()
		}()
		recv := make(chan error, 1)
		go func() {
			var got []byte
			buf := make([]byte, 512)
			for {
				n, err := c.Read(buf)
				got = append(got, buf[:n]...)
				if err != nil {
					f.same("before the reset", got, want[:len(got)])
					recv <- err
					return
				}
			}
		}()
		var err error
		for err == nil {
			_, err = c.Write(want)
			f.ops.Add(1)
		}
		if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			f.lost.Add(1)
			t.Errorf("Write says %v", err)
		}
		if err := <-recv; !errors.Is(err, syscall.ECONNRESET) && err != io.EOF && !errors.Is(err, syscall.EPIPE) {
			f.lost.Add(1)
			t.Errorf("Read says %v", err)
		}
		// SIGPIPE would have ended the process.
		if _, err := r.Send(c, want).Wait(); !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("Send says %v", err)
		}
		f.ops.Add(2)
		c.Close()
	}
}

func TestHalvesAreClosedBothWays(t *testing.T) {
	f := inject(t, 29, "half-closed peers, both ways")
	r := f.ring(nil)
	for i := range rounds(50, 300, 3000) {
		c, peer := ringPair(f, r)
		want := tagged("half", i, 0, 5000)
		peer.Write(want)
		peer.CloseWrite()
		got, err := io.ReadAll(c)
		if err != nil {
			t.Error(err)
		}
		f.same("from a peer that has ended", got, want)
		if n, err := c.Write(want); n != len(want) || err != nil {
			t.Errorf("Write to a peer that has ended gives %d, %v", n, err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Error(err)
		}
		got, err = io.ReadAll(peer)
		if err != nil {
			t.Error(err)
		}
		f.same("to a peer that has ended", got, want)
		if _, err := c.Write(want); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("Write after CloseWrite says %v", err)
		}
		if n := ok(f, r.Recv(c, make([]byte, 1))); n != 0 {
			t.Error("Recv after the end gives", n)
		}
		f.ops.Add(5)
		c.Close()
		peer.Close()
	}
}

func TestAPeerThatDoesNotRead(t *testing.T) {
	f := inject(t, 29, "the peer stops reading; a write deadline")
	r := f.ring(nil)
	for i := range rounds(5, 20, 200) {
		c, peer := ringPair(f, r)
		c.SetWriteBuffer(16 << 10)
		peer.SetReadBuffer(16 << 10)
		want := tagged("zero", i, 0, 16<<20)
		c.SetWriteDeadline(time.Now().Add(30 * time.Millisecond))
		n, err := c.Write(want)
		if !errors.Is(err, os.ErrDeadlineExceeded) || n == len(want) {
			t.Fatalf("Write gives %d, %v", n, err)
		}
		// The peer wakes up; what has been sent is what Write says, and the connection goes on behind that.
		c.SetWriteDeadline(time.Time{})
		rest := make(chan error)
		go func() {
			_, err := c.Write(want[n : n+100000])
			c.CloseWrite()
			rest <- err
		}()
		got, err := io.ReadAll(peer)
		if err != nil {
			t.Error(err)
		}
		f.same("the stream", got, want[:n+100000])
		if err := <-rest; err != nil {
			t.Error(err)
		}
		f.ops.Add(3)
	}
}

func TestAServerWithSlowClients(t *testing.T) {
	f := inject(t, 29, "slowloris against net/http on a ring; others are served")
	r := f.ring(nil)
	l := listen(f, r)
	srv := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { io.WriteString(w, "served "+q.URL.Path) }),
		ReadHeaderTimeout: 200 * time.Millisecond,
	}
	served := make(chan error)
	go func() { served <- srv.Serve(l) }()
	var slow []net.Conn
	for range 100 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
		slow = append(slow, c)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	for i := range rounds(100, 500, 5000) {
		res, err := client.Get(fmt.Sprintf("http://%s/%d", l.Addr(), i))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		f.same("an answer", b, fmt.Appendf(nil, "served /%d", i))
		f.ops.Add(1)
	}
	for _, c := range slow {
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
			f.lost.Add(1)
			t.Error("a slow client was never sent away")
		}
		f.ops.Add(1)
	}
	client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := <-served; err != http.ErrServerClosed {
		t.Error(err)
	}
}

func TestAListenerThatIsClosedUnderConnections(t *testing.T) {
	f := inject(t, 29, "a listener is closed under connections being made")
	r := f.ring(nil)
	for range rounds(30, 200, 2000) {
		l := listen(f, r)
		var accepted []net.Conn
		done := make(chan error)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					done <- err
					return
				}
				accepted = append(accepted, c)
			}
		}()
		var wg sync.WaitGroup
		for range 8 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				d := net.Dialer{Timeout: 5 * time.Second}
				if c, err := d.Dial("tcp", l.Addr().String()); err == nil {
					c.Close()
				}
			}()
		}
		runtime.Gosched()
		l.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			f.lost.Add(1)
			t.Error("Accept says", err)
		}
		wg.Wait()
		for _, c := range accepted { // they outlive their listener
			if _, err := c.Read(make([]byte, 1)); err != io.EOF && !errors.Is(err, syscall.ECONNRESET) {
				t.Error("Read says", err)
			}
			c.Close()
			f.ops.Add(1)
		}
		f.ops.Add(1)
	}
}

// A summer sums up what a Stream receives, and answers with the sum at the end.
type summer struct {
	sum   uint32
	n     int
	total *atomic.Int64
}

func (s *summer) Data(c *rio.Stream, p []byte) {
	s.sum = crc32.Update(s.sum, crc32.IEEETable, p)
	s.n += len(p)
	s.total.Add(1)
}
func (s *summer) End(c *rio.Stream) {
	fmt.Fprintf(c, "%d %08x", s.n, s.sum)
	c.Close()
}
func (s *summer) Closed(*rio.Stream, error) {}

func TestMoreToReceiveThanThereAreBuffers(t *testing.T) {
	f := inject(t, 30, "64 MiB arrive at once for 2 MiB of provided buffers")
	r := f.ring(nil)
	l := listen(f, r)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error)
	go func() {
		served <- l.Serve(ctx, &rio.Server{Loops: 1, Open: func(*rio.Stream) rio.Handler { return &summer{total: &f.ops} }})
	}()
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			b := tagged("flood", i, 0, 1<<20)
			if _, err := c.Write(b); err != nil {
				t.Error(err)
			}
			c.(*net.TCPConn).CloseWrite()
			got, err := io.ReadAll(c)
			if err != nil {
				t.Error(err)
			}
			f.same("a sum", got, fmt.Appendf(nil, "%d %08x", len(b), crc32.ChecksumIEEE(b)))
		}()
	}
	f.within(2*time.Minute, "the flood", wg.Wait)
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestReceivedIsLeftWhileDataComes(t *testing.T) {
	f := inject(t, 30, "a loop over Received is left while data comes, again and again")
	r := f.ring(nil)
	c, peer := ringPair(f, r)
	want := tagged("left", 1, 0, 4<<20)
	go func() {
		peer.Write(want)
		peer.CloseWrite()
	}()
	got := make([]byte, 0, len(want))
	for ended := false; !ended; {
		ended = true
		pieces := 0
		ctx, cancel := context.WithCancel(context.Background())
		for p, err := range c.Received(ctx) {
			if err != nil {
				if !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				ended = false
				break
			}
			f.ops.Add(1)
			got = append(got, p...)
			if pieces++; pieces == 3 {
				ended = false
				break
			}
			if pieces == 2 && len(got)%3 == 0 {
				cancel()
			}
		}
		cancel()
	}
	f.same("the stream", got, want)
}

// Below are faults of the network itself. They happen in a network namespace that the child was born into, which has nothing but
// a loopback interface of its own.

func netns(f *fault, scenario string, programs ...string) {
	f.t.Helper()
	root(f.t, append(programs, "ip")...)
	cmd := spawn("net:" + scenario)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	if err := exec.Command("ip", "-V").Run(); err != nil {
		f.t.Skip(err)
	}
	o := f.finish(cmd)
	if strings.HasPrefix(o.Note, "skip") {
		f.t.Skip(o.Note)
	}
	if o.Note != "" {
		f.t.Error(o.Note)
	}
}

func TestPacketsAreLost(t *testing.T) {
	f := inject(t, 29, "every fifth packet is lost")
	netns(f, "loss", "nft")
}

func TestAFirewallThatResets(t *testing.T) {
	f := inject(t, 29, "a firewall resets the connection")
	netns(f, "reject", "nft")
}

func TestALinkThatGoesDown(t *testing.T) {
	f := inject(t, 29, "the link goes down, and comes back")
	netns(f, "down")
}

func TestSocketsThatAreKilled(t *testing.T) {
	f := inject(t, 29, "ss -K kills the socket under a recv, a read and a send")
	netns(f, "kill", "ss")
}

func init() {
	children["net"] = func(scenario string) (o outcome) {
		sh := func(c string) bool {
			out, err := exec.Command("sh", "-c", "PATH=$PATH:/sbin:/usr/sbin; "+c).CombinedOutput()
			if err != nil {
				o.Note = fmt.Sprintf("skip: %s: %v %s", c, err, out)
			}
			return err == nil
		}
		if !sh("ip link set lo up") {
			return o
		}
		r, err := rio.New(nil)
		if err != nil {
			return failed(err)
		}
		defer func() {
			r.Close()
			o.Pinned = r.Stats().InFlight
		}()
		l, err := r.Listen("tcp", "127.0.0.1:4242")
		if err != nil {
			return failed(err)
		}
		defer l.Close()
		// Every fifth and not one in five: of those, enough may be lost in a row for TCP to wait minutes.
		if scenario == "loss" && !sh("nft add table ip t && nft 'add chain ip t in { type filter hook input priority 0 ; }' && nft add rule ip t in numgen inc mod 5 '<' 1 drop") {
			return o
		}
		accept := r.Accept(l)
		c, err := r.Dial(context.Background(), "tcp", l.Addr().String())
		if err != nil {
			o.Note = err.Error()
			return o
		}
		defer c.Close()
		s, err := accept.Wait()
		if err != nil {
			o.Note = err.Error()
			return o
		}
		defer s.Close()
		expect := func(what string, err error, targets ...error) {
			o.Ops++
			for _, target := range targets {
				if errors.Is(err, target) {
					return
				}
			}
			o.Lost++
			o.Err = fmt.Sprintf("%s says %v", what, err)
		}
		switch scenario {
		case "loss":
			want := tagged("loss", 1, 1, 300_000)
			go func() {
				s.Write(want)
				s.CloseWrite()
			}()
			got, err := io.ReadAll(c)
			expect("ReadAll", err, nil)
			if string(got) != string(want) {
				o.Wrong++
			}
		case "reject":
			if !sh("nft add table ip t && nft 'add chain ip t in { type filter hook input priority 0 ; }' && nft add rule ip t in tcp dport 4242 reject with tcp reset") {
				return o
			}
			recv := r.Recv(c, make([]byte, 8))
			_, err := c.Write([]byte("hello"))
			expect("Write", err, nil)
			_, err = recv.Wait()
			expect("Recv", err, syscall.ECONNRESET)
			_, err = r.Send(c, []byte("hello")).Wait()
			expect("Send", err, syscall.EPIPE, syscall.ECONNRESET)
		case "down":
			recv := r.Recv(s, make([]byte, 5))
			if !sh("ip link set lo down") {
				return o
			}
			sent := r.Send(c, []byte("hello"))
			_, err := sent.Wait() // into the socket's buffer
			expect("Send", err, nil)
			if _, done, err := recv.TryWait(); done {
				expect("a Recv over a link that is down", err, errors.New("pending"))
			}
			if !sh("ip link set lo up") {
				return o
			}
			n, err := recv.Wait()
			expect("Recv", err, nil)
			if n == 0 {
				o.Lost++
			}
		case "kill":
			recv := r.Recv(c, make([]byte, 8))
			read := make(chan error)
			go func() {
				_, err := s.Read(make([]byte, 8))
				read <- err
			}()
			r.SubmitAll()
			if !sh("ss -K state established '( dport = 4242 or sport = 4242 )'") {
				return o
			}
			select {
			case err := <-read:
				expect("Read", err, syscall.ECONNABORTED, syscall.ECONNRESET, io.EOF)
			case <-time.After(5 * time.Second):
				o.Note = "skip: this kernel kills no sockets"
				s.Close()
				<-read
				c.Close()
				recv.Wait()
				return o
			}
			_, err := recv.Wait()
			expect("Recv", err, syscall.ECONNABORTED, syscall.ECONNRESET, nil)
			_, err = r.Send(c, []byte("x")).Wait()
			expect("Send", err, syscall.EPIPE, syscall.ECONNRESET, syscall.ECONNABORTED)
		}
		return o
	}
}
