package faults

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
)

// The load of many connections. The clients are a child, for the descriptors are not enough for both ends.

const manyConns = 10_000

// A serving is a server under load: how a Ring's Listener is served, and what became of the connections.
type serving struct {
	l                 *rio.Listener
	now, all, refused atomic.Int64 // connections open, ever, and refused for lack of descriptors
	failed            atomic.Pointer[error]
	stop              func() // returns when all of it is over
}

// eachInAGoroutine serves with Accept and a goroutine for each connection.
func eachInAGoroutine(_ *rio.Ring, l *rio.Listener) *serving {
	s := &serving{l: l}
	var over sync.WaitGroup
	over.Go(func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if errors.Is(err, syscall.EMFILE) { // as http.Server does
				s.refused.Add(1)
				time.Sleep(time.Millisecond)
				continue
			}
			if err != nil {
				s.failed.Store(&err)
				return
			}
			s.now.Add(1)
			s.all.Add(1)
			over.Go(func() {
				defer s.now.Add(-1)
				defer c.Close()
				buf := make([]byte, 2048)
				for {
					n, err := c.Read(buf)
					if err == nil {
						_, err = c.Write(buf[:n])
					}
					if err == nil {
						continue
					}
					if err != io.EOF && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
						s.failed.Store(&err)
					}
					return
				}
			})
		}
	})
	s.stop = sync.OnceFunc(func() {
		if err := l.Close(); err != nil {
			s.failed.Store(&err)
		}
		over.Wait()
	})
	return s
}

// An echo is a Handler that sends back what comes.
type echo struct{ s *serving }

func (e echo) Data(c *rio.Stream, p []byte)  { c.Write(p) }
func (e echo) Closed(_ *rio.Stream, _ error) { e.s.now.Add(-1) }

// onLoops serves with Listener.Serve.
func onLoops(_ *rio.Ring, l *rio.Listener) *serving {
	s := &serving{l: l}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- l.Serve(ctx, &rio.Server{Open: func(*rio.Stream) rio.Handler {
			s.now.Add(1)
			s.all.Add(1)
			return echo{s}
		}})
	}()
	s.stop = sync.OnceFunc(func() {
		cancel()
		err := <-served
		if err == nil {
			err = l.Close()
		}
		if err != nil {
			s.failed.Store(&err)
		}
	})
	return s
}

var servers = []struct {
	name  string
	serve func(*rio.Ring, *rio.Listener) *serving
}{{"a goroutine each", eachInAGoroutine}, {"Serve", onLoops}}

func TestTenThousandConnections(t *testing.T) {
	for i, c := range []struct{ client string }{{"ring"}, {"net"}} {
		t.Run(servers[i].name, func(t *testing.T) {
			f := inject(t, 29, fmt.Sprintf("%d connections, %s; clients: %s", manyConns, servers[i].name, c.client))
			var limit syscall.Rlimit
			if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); limit.Cur < manyConns+200 {
				t.Skipf("RLIMIT_NOFILE is %d", limit.Cur)
			}
			// What the runtime keeps of goroutines that were is not the connections'.
			var were sync.WaitGroup
			end := make(chan bool)
			for range manyConns {
				were.Go(func() { <-end })
			}
			close(end)
			were.Wait()
			before := memory()
			r := f.ring(nil)
			l := listen(f, r)
			s := servers[i].serve(r, l)
			defer s.stop()
			cmd := spawn(fmt.Sprintf("clients:%s %s %d", c.client, l.Addr(), manyConns))
			// The client says when all are connected, and goes on when it is told so.
			said, err := os.CreateTemp(t.TempDir(), "")
			if err != nil {
				t.Fatal(err)
			}
			defer said.Close()
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			cmd.Env = append(cmd.Env, "RIO_FAULTS_SAY="+said.Name())
			var connected, base uint64
			o := f.finish(cmd, func(*os.Process) {
				f.eventually("all are connected", func() bool {
					b, _ := os.ReadFile(said.Name())
					return strings.Contains(string(b), "connected\n") && s.now.Load() == manyConns
				})
				base, connected = before, memory()
				io.WriteString(in, "go\n")
			})
			if o.Note != "" {
				f.lost.Add(1)
				t.Error(o.Note)
			}
			f.eventually("all connections are over", func() bool { return s.now.Load() == 0 })
			if n := s.all.Load(); n != manyConns {
				f.lost.Add(manyConns - n)
				t.Errorf("%d connections were served", n)
			}
			s.stop()
			if err := s.failed.Load(); err != nil {
				f.lost.Add(1)
				t.Error(*err)
			}
			if n := r.Stats().InFlight; n != 0 {
				t.Errorf("%d operations are in flight", n)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			after := memory()
			f.say("%d bytes a connection that has said nothing yet; %+d KiB at the end", int64(connected-base)/manyConns, (int64(after)-int64(base))>>10)
			if after > base+16<<20 {
				t.Errorf("%d MiB of memory are left over", (after-base)>>20)
			}
		})
	}
}

// memory is what heap and stacks take, garbage collected.
func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

func init() {
	// clients connects many times, says so, waits for a word, and then has each connection echo bytes of its own: all at
	// once, and then a hundred of them many times while the others are idle.
	children["clients"] = func(arg string) (o outcome) {
		var kind, address string
		var n int
		fmt.Sscan(arg, &kind, &address, &n)
		dial := func() (net.Conn, error) { return net.Dial("tcp", address) }
		if kind == "ring" {
			r, err := rio.New(nil)
			if err != nil {
				return failed(err)
			}
			defer func() {
				r.Close()
				o.Pinned = r.Stats().InFlight
			}()
			dial = func() (net.Conn, error) { return r.Dial(context.Background(), "tcp", address) }
		}
		var mu sync.Mutex
		fail := func(err error) {
			mu.Lock()
			defer mu.Unlock()
			if o.Lost++; len(o.Err) < 1000 {
				o.Err += err.Error() + "; "
			}
		}
		conns := make([]net.Conn, n)
		var wg sync.WaitGroup
		for g := range 64 {
			wg.Go(func() {
				for i := g; i < n; i += 64 {
					c, err := dial()
					if err != nil {
						fail(err)
						return
					}
					conns[i] = c
				}
			})
		}
		wg.Wait()
		if o.Lost > 0 {
			for _, c := range conns {
				if c != nil {
					c.Close()
				}
			}
			return o
		}
		if err := os.WriteFile(os.Getenv("RIO_FAULTS_SAY"), []byte("connected\n"), 0o600); err != nil {
			fail(err)
		}
		bufio.NewReader(os.Stdin).ReadString('\n')
		var ops, wrong atomic.Int64
		exchange := func(i, round int) bool {
			want := message(i, round)
			go conns[i].Write(want) // more than fits is read meanwhile
			got := make([]byte, len(want))
			conns[i].SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := io.ReadFull(conns[i], got); err != nil {
				fail(fmt.Errorf("connection %d, round %d: %w", i, round, err))
				return false
			}
			wrong.Add(int64(differ(got, want)))
			ops.Add(1)
			return true
		}
		for i := range conns {
			wg.Go(func() {
				for round := range 3 {
					if !exchange(i, round) {
						return
					}
				}
			})
		}
		wg.Wait()
		for g := range 100 {
			wg.Go(func() {
				for round := range 50 {
					if !exchange(g*(n/100), 3+round) {
						return
					}
				}
			})
		}
		wg.Wait()
		for _, c := range conns {
			if err := c.Close(); err != nil {
				fail(err)
			}
		}
		o.Ops, o.Wrong = ops.Load(), wrong.Load()
		if want := int64(3*n + 100*50); o.Ops != want && o.Lost == 0 {
			o.Note = fmt.Sprintf("%d exchanges, not %d", o.Ops, want)
		}
		return o
	}
}

// message is what connection i sends in a round: bytes that no other has.
func message(i, round int) []byte {
	b := make([]byte, 16+(i*31+round*977)%1200)
	for at := 0; at < len(b); at += 8 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], (uint64(i)<<24|uint64(round)<<12|uint64(at))*0x9e3779b97f4a7c15)
		copy(b[at:], word[:])
	}
	return b
}

// A storm of connections hits a server that has descriptors for a few: those in line wait, nobody is lost, and when the storm
// is over all is as before.
func TestAStormOfConnectionsWithoutDescriptors(t *testing.T) {
	for i, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			f := inject(t, 29, "300 connect, and there are 50 descriptors: "+s.name)
			name := t.TempDir() + "/address"
			cmd := spawn(fmt.Sprintf("stormed:%d %s", i, name))
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			o := f.finish(cmd, func(p *os.Process) {
				defer in.Close()
				stop := context.AfterFunc(t.Context(), func() { p.Kill() })
				defer stop()
				var address string
				f.eventually("it listens", func() bool {
					b, _ := os.ReadFile(name)
					address = strings.TrimSpace(string(b))
					return strings.HasSuffix(string(b), "\n")
				})
				for round := range rounds(3, 10, 100) {
					storm(f, address, round)
				}
			})
			if o.Note != "" {
				t.Error(o.Note)
			}
		})
	}
}

func storm(f *fault, address string, round int) {
	const many = 300
	var answered atomic.Int64
	release := make(chan bool)
	var wg sync.WaitGroup
	for i := range many {
		wg.Go(func() {
			c, err := net.Dial("tcp", address)
			if err != nil {
				f.lost.Add(1)
				f.t.Error(err)
				return
			}
			defer c.Close()
			want := message(i, round)
			got := make([]byte, len(want))
			c.SetDeadline(time.Now().Add(time.Minute))
			if _, err = c.Write(want); err == nil {
				_, err = io.ReadFull(c, got)
			}
			if err != nil {
				f.lost.Add(1)
				f.t.Errorf("client %d of round %d: %v", i, round, err)
				return
			}
			f.same("an echo", got, want)
			answered.Add(1)
			f.ops.Add(1)
			<-release
			if i%3 == 0 {
				c.(*net.TCPConn).SetLinger(0)
			}
		})
	}
	for end := time.Now().Add(20 * time.Second); answered.Load() < 30 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if n := answered.Load(); n < 30 || n > 50 {
		f.t.Errorf("round %d: %d clients are served at once", round, n)
	}
	close(release)
	wg.Wait()
	if n := answered.Load(); n != many {
		f.t.Errorf("round %d: %d clients were served in the end", round, n)
	}
}

func init() {
	children["stormed"] = func(arg string) (o outcome) {
		var which int
		var name string
		fmt.Sscan(arg, &which, &name)
		r, err := rio.New(nil)
		if err != nil {
			return failed(err)
		}
		defer func() {
			r.Close()
			o.Pinned = r.Stats().InFlight
		}()
		l, err := r.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return failed(err)
		}
		highest := highestDescriptor()
		var holes []*os.File // below it, there shall be none
		for {
			h, err := os.Open("/dev/null")
			if err != nil || int(h.Fd()) > highest {
				h.Close()
				break
			}
			holes = append(holes, h)
		}
		var was syscall.Rlimit
		syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was)
		syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(highest + 51), Max: was.Max})
		// The kernel asks for the limit when an accept begins, so not before now.
		s := servers[which].serve(r, l)
		c, err := net.Dial("tcp", l.Addr().String())
		if err == nil {
			_, err = c.Write([]byte("x"))
		}
		if err == nil {
			_, err = c.Read(make([]byte, 1))
		}
		if err != nil {
			return failed(err)
		}
		c.Close()
		for s.now.Load() > 0 {
			time.Sleep(time.Millisecond)
		}
		if err := os.WriteFile(name+".new", []byte(l.Addr().String()+"\n"), 0o600); err != nil { // there are descriptors yet
			return failed(err)
		}
		os.Rename(name+".new", name)
		io.Copy(io.Discard, os.Stdin)
		for end := time.Now().Add(20 * time.Second); s.now.Load() > 0 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		if n := s.now.Load(); n > 0 {
			o.Note += fmt.Sprintf("%d connections are still open; ", n)
		}
		if which == 0 && s.refused.Load() == 0 {
			o.Note += "Accept never said EMFILE: nothing was injected; "
		}
		s.stop()
		if err := s.failed.Load(); err != nil {
			o.Lost++
			o.Err = (*err).Error()
		}
		if n := r.Stats().InFlight; n != 0 {
			o.Note += fmt.Sprintf("%d operations are in flight; ", n)
		}
		for _, h := range holes {
			h.Close()
		}
		return o
	}
}

// Many peers stop reading; those who write to them wait, or have deadlines, and everybody else goes on.
func TestManyPeersThatDoNotRead(t *testing.T) {
	f := inject(t, 29, "50 peers stop reading; 20 others go on")
	r := f.ring(&rio.Config{Depth: 16})
	const slow, quick, size = 50, 20, 2 << 20 // more than all buffers
	type result struct {
		n   int
		err error
	}
	var peers [slow]*net.TCPConn
	var results [slow]chan result
	var conns [slow]*rio.Conn
	var writing sync.WaitGroup
	for i := range slow {
		c, peer := ringPair(f, r)
		conns[i], peers[i], results[i] = c, peer, make(chan result, 1)
		c.SetWriteBuffer(64 << 10)
		peer.SetReadBuffer(256 << 10) // a few segments of loopback: with less they are dropped, and sent again ever later
		if i%2 == 0 {
			c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		}
		writing.Go(func() {
			n, err := c.Write(tagged("slow", i, 0, size))
			if i%2 == 0 {
				c.SetWriteDeadline(time.Time{})
			}
			c.CloseWrite()
			results[i] <- result{n, err}
		})
	}
	var others sync.WaitGroup
	for i := range quick {
		c, peer := ringPair(f, r)
		others.Go(func() {
			go io.Copy(struct{ io.Writer }{peer}, peer) // not by way of a pipe, which package net would keep
			for round := range rounds(50, 200, 2000) {
				want := message(i, round)
				got := make([]byte, len(want))
				if _, err := c.Write(want); err != nil {
					f.lost.Add(1)
					t.Error(err)
				}
				if _, err := io.ReadFull(c, got); err != nil {
					f.lost.Add(1)
					t.Error(err)
				}
				f.same("an echo", got, want)
				f.ops.Add(2)
			}
			c.Close()
		})
	}
	f.within(time.Minute, "somebody beside the slow", others.Wait)
	for i := 1; i < slow; i += 2 {
		if len(results[i]) > 0 {
			t.Errorf("a Write to a peer that reads nothing has ended: %+v", <-results[i])
		}
	}
	for i := range slow {
		var got []byte
		var err error
		f.within(time.Minute, "a peer that reads again", func() { got, err = io.ReadAll(peers[i]) })
		if err != nil {
			t.Error(err)
		}
		res := <-results[i]
		f.ops.Add(1)
		if i%2 == 0 && (!errors.Is(res.err, os.ErrDeadlineExceeded) || res.n == size) || i%2 == 1 && (res.err != nil || res.n != size) {
			f.lost.Add(1)
			t.Errorf("Write to slow peer %d gives %d, %v", i, res.n, res.err)
		}
		f.same("what a slow peer reads", got, tagged("slow", i, 0, size)[:res.n])
		conns[i].Close()
	}
	writing.Wait()
}
