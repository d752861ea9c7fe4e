package faults

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
	"github.com/seed-9c58b644/rio/internal/model"
)

// The soak is everything at once on a few Rings for as long as is asked for: files beside a model of them, connections that come
// and go, chains, contexts and deadlines that end, forgotten Completions, and a collector that hardly rests. At the end the
// books must balance.

var soakFor = flag.Duration("soak", 0, "how long the soak is (default: 20s with -short, otherwise 30s, with -long an hour)")

func TestSoak(t *testing.T) {
	d := *soakFor
	if d == 0 {
		d = time.Duration(rounds(20, 30, 3600)) * time.Second
	}
	for _, c := range []struct{ name, cfg string }{{"the default ring", "default"}, {"a ring of depth 8", "small"}} {
		t.Run(c.name, func(t *testing.T) {
			f := inject(t, 35, fmt.Sprintf("a soak of %v, GOGC=20, %s", d/2, c.name))
			f.limit = d + 90*time.Second
			o := f.run(fmt.Sprintf("soak:%s %v %d", c.cfg, d/2, time.Now().UnixNano()), []string{"GOGC=20"})
			if o.Note != "" {
				f.say("%s", o.Note)
			}
		})
	}
}

// A soak counts what its parts have done.
type soak struct {
	*work
	until time.Time
	seed  uint64
	rings []*rio.Ring // of all; one for each of the models
	parts sync.WaitGroup
	did   sync.Map // part -> *atomic.Int64
}

func (s *soak) over() bool { return time.Now().After(s.until) || s.lost.Load()+s.wrong.Load() > 0 }

// part does something until the end, each time with a random source of its own.
func (s *soak) part(name string, do func(rnd *rand.Rand)) {
	n := &atomic.Int64{}
	s.did.Store(name, n)
	s.parts.Go(func() {
		for i := uint64(0); i == 0 || !s.over(); i++ {
			do(rand.New(rand.NewPCG(s.seed, i<<8|uint64(len(name)))))
			n.Add(1)
		}
	})
}

func init() {
	children["soak"] = func(arg string) (o outcome) {
		var kind, length string
		var seed uint64
		fmt.Sscan(arg, &kind, &length, &seed)
		d, err := time.ParseDuration(length)
		if err != nil {
			return failed(err)
		}
		fmt.Println("soak: seed", seed)
		cfg := &rio.Config{}
		if kind == "small" {
			cfg.Depth = 8
		}
		r, err := rio.New(cfg)
		if err != nil {
			return failed(err)
		}
		dir, err := os.MkdirTemp("", "soak")
		if err != nil {
			return failed(err)
		}
		defer os.RemoveAll(dir)
		s := &soak{work: &work{r: r, dir: dir, n: 4}, until: time.Now().Add(d), seed: seed, rings: []*rio.Ring{r}}
		for range 2 { // the models link: what follows on a shared Ring would be anybody's
			own, err := rio.New(cfg)
			if err != nil {
				return failed(err)
			}
			s.rings = append(s.rings, own)
		}
		goroutine, loops := s.servers()
		for g := range 2 {
			s.part(fmt.Sprint("models ", strings.Repeat("x", g)), func(rnd *rand.Rand) { s.model(g, rnd) })
		}
		s.part("works", func(*rand.Rand) {
			w := onRing(r, 4)
			s.ops.Add(w.Ops)
			s.lost.Add(w.Lost)
			s.wrong.Add(w.Wrong)
			if w.Err != "" {
				s.fail(errors.New(w.Err))
			}
		})
		for g := range 4 {
			s.part(fmt.Sprint("connections ", strings.Repeat("x", g)), func(rnd *rand.Rand) { s.visit(goroutine, rnd) })
			s.part(fmt.Sprint("streams ", strings.Repeat("x", g)), func(rnd *rand.Rand) { s.visit(loops, rnd) })
		}
		s.part("cancels", s.cancels)
		s.part("deadlines", s.deadlines)
		s.part("forgotten", s.forget)
		s.part("files", s.files)
		s.part("collections", func(*rand.Rand) {
			keep := make([][]byte, 500)
			for i := range keep {
				keep[i] = make([]byte, 1+i*7)
			}
			runtime.GC()
			time.Sleep(5 * time.Millisecond)
		})
		s.parts.Wait()
		goroutine.stop()
		loops.stop()
		for _, v := range []*serving{goroutine, loops} {
			if err := v.failed.Load(); err != nil {
				s.lost.Add(1)
				s.fail(*err)
			}
			if n := v.now.Load(); n != 0 {
				s.lost.Add(n)
				s.fail(fmt.Errorf("%d connections are open", n))
			}
		}
		var started, waits, enters uint64
		pinned := 0
		for _, r := range s.rings {
			for end := time.Now().Add(10 * time.Second); r.Stats().InFlight > 0 && time.Now().Before(end); {
				time.Sleep(time.Millisecond) // what was forgotten
			}
			st := r.Stats()
			if st.InFlight != 0 || st.Started != st.Completed {
				s.lost.Add(1)
				s.fail(fmt.Errorf("the books don't balance: %+v", st))
			}
			if err := r.Close(); err != nil {
				s.lost.Add(1)
				s.fail(fmt.Errorf("Close: %w", err))
			}
			started, waits, enters = started+st.Started, waits+st.Waits, enters+st.Enters
			pinned += r.Stats().InFlight
		}
		var did []string
		s.did.Range(func(name, n any) bool {
			did = append(did, fmt.Sprintf("%d %s", n.(*atomic.Int64).Load(), strings.TrimRight(name.(string), " x")))
			return true
		})
		o = outcome{Ops: s.ops.Load(), Lost: s.lost.Load(), Wrong: s.wrong.Load(), Pinned: pinned, Enters: enters}
		o.Note = fmt.Sprintf("%d operations of %d rings, %d waits for a place, %d collections", started, len(s.rings), waits, collections())
		fmt.Println(strings.Join(did, ", "))
		if s.err != nil {
			o.Err = fmt.Sprintf("seed %d: %v", seed, s.err)
		}
		return o
	}
}

func collections() uint32 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.NumGC
}

func (s *soak) servers() (goroutine, loops *serving) {
	for i, p := range []**serving{&goroutine, &loops} {
		l, err := s.r.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		*p = servers[i].serve(s.r, l)
	}
	return goroutine, loops
}

// model has random operations on files compared with slices of bytes.
func (s *soak) model(g int, rnd *rand.Rand) {
	dir := filepath.Join(s.dir, fmt.Sprint("model", g))
	os.Mkdir(dir, 0o700)
	m, err := model.New(rnd.Uint64(), s.rings[1+g], func(name string) (*rio.File, error) {
		return s.rings[1+g].OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	})
	if !s.check("model", err) {
		return
	}
	const n = 500
	s.check("model", m.Run(n))
	s.ops.Add(n)
	s.check("model", m.Close())
}

// visit is a connection that comes, exchanges some messages, and goes in one way or another.
func (s *soak) visit(v *serving, rnd *rand.Rand) {
	var c net.Conn
	var err error
	if own := rnd.IntN(2) == 0; own {
		c, err = s.r.Dial(context.Background(), "tcp", v.l.Addr().String())
	} else {
		c, err = net.Dial("tcp", v.l.Addr().String())
	}
	if !s.check("dial", err) {
		return
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	for round := range rnd.IntN(20) {
		want := message(int(rnd.Uint32()), round)
		_, err := c.Write(want)
		s.check("write", err)
		got := make([]byte, len(want))
		_, err = io.ReadFull(c, got)
		s.check("read", err)
		s.compare("an echo", got, want)
	}
	linger := c.(interface{ SetLinger(int) error })
	switch rnd.IntN(4) {
	case 0: // in the middle of a transfer
		c.Write(make([]byte, 10_000))
		linger.SetLinger(0)
	case 1:
		s.check("CloseWrite", c.(interface{ CloseWrite() error }).CloseWrite())
		n, err := c.Read(make([]byte, 1))
		if n != 0 || err != io.EOF {
			s.lost.Add(1)
			s.fail(fmt.Errorf("behind CloseWrite a Read gives %d, %w", n, err))
		}
	}
}

// cancels has contexts end while a stream arrives. Nothing of it may be missing.
func (s *soak) cancels(rnd *rand.Rand) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if !s.check("listen", err) {
		return
	}
	a, err := net.Dial("tcp", l.Addr().String())
	if !s.check("dial", err) {
		return
	}
	defer a.Close()
	b, err := l.Accept()
	if !s.check("accept", err) {
		return
	}
	defer b.Close()
	l.Close()
	const words = 400
	go func() {
		for i := range words {
			a.Write(binary.LittleEndian.AppendUint64(nil, uint64(i)))
			if i%8 == 0 {
				time.Sleep(50 * time.Microsecond)
			}
		}
	}()
	var got, want []byte
	for i := range words {
		want = binary.LittleEndian.AppendUint64(want, uint64(i))
	}
	for len(got) < len(want) {
		buf := make([]byte, 24)
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rnd.IntN(50))*time.Microsecond)
		n, err := s.r.Recv(b, buf).WaitContext(ctx)
		cancel()
		s.ops.Add(1)
		if n == 0 && errors.Is(err, context.DeadlineExceeded) {
			continue
		}
		if !s.check("recv", err) {
			return
		}
		got = append(got, buf[:n]...)
	}
	s.compare("a stream under cancels", got, want)
}

// deadlines strike while a stream arrives.
func (s *soak) deadlines(rnd *rand.Rand) {
	l, err := s.r.Listen("tcp", "127.0.0.1:0")
	if !s.check("listen", err) {
		return
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if !s.check("dial", err) {
		return
	}
	defer a.Close()
	b, err := l.Accept()
	if !s.check("accept", err) {
		return
	}
	defer b.Close()
	want := tagged("deadlines", 1, rnd.IntN(1000), 20_000)
	go func() {
		for p := want; len(p) > 0; p = p[500:] {
			a.Write(p[:500])
			time.Sleep(30 * time.Microsecond)
		}
	}()
	got := make([]byte, 0, len(want))
	for len(got) < len(want) {
		b.SetReadDeadline(time.Now().Add(time.Duration(rnd.IntN(300)) * time.Microsecond))
		buf := make([]byte, 700)
		n, err := b.Read(buf)
		s.ops.Add(1)
		got = append(got, buf[:n]...)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			s.check("read", err)
			return
		}
	}
	s.compare("a stream under deadlines", got, want)
}

// forget starts what nobody waits for; its buffers are garbage at once.
func (s *soak) forget(rnd *rand.Rand) {
	name := filepath.Join(s.dir, "forgotten")
	h, err := s.r.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if !s.check("open", err) {
		return
	}
	round := rnd.IntN(1000)
	for i := range 64 {
		s.r.WriteAt(h, tagged("forgotten", i, round, 512), int64(i)*512)
		s.r.ReadAt(h, make([]byte, 512), int64(i)*512)
		s.ops.Add(2)
	}
	s.check("close", h.Close()) // waits for them
	got, err := os.ReadFile(name)
	s.check("read", err)
	var want []byte
	for i := range 64 {
		want = append(want, tagged("forgotten", i, round, 512)...)
	}
	s.compare("what was forgotten", got, want)
}

// files are opened, read by several, and closed under them.
func (s *soak) files(rnd *rand.Rand) {
	which := rnd.IntN(16)
	name := filepath.Join(s.dir, fmt.Sprint("tagged", which))
	want := tagged("file", which, 0, 4096)
	if _, err := os.Stat(name); err != nil {
		s.check("create", os.WriteFile(name, want, 0o600))
	}
	h, err := s.r.OpenFile(name, os.O_RDONLY, 0)
	if !s.check("open", err) {
		return
	}
	var cs [4]rio.Completion[int]
	var bufs [4][]byte
	for i := range cs {
		bufs[i] = make([]byte, 4096)
		cs[i] = s.r.ReadAt(h, bufs[i], 0)
	}
	closed := make(chan error, 1)
	go func() { closed <- h.Close() }()
	for i, c := range cs {
		n, err := c.Wait()
		if s.check("read", err) && !bytes.Equal(bufs[i][:n], want[:n]) {
			s.compare("file", bufs[i][:n], want[:n])
		}
	}
	s.check("close", <-closed)
}
