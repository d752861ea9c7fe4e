package rio_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
)

// sanity is a ring on which something goes wrong, and what shows that it goes on working.
type sanity struct {
	r    *rio.Ring
	file *rio.File
	want []byte
}

func newSanity(t *testing.T) *sanity {
	s := &sanity{r: newRing(t, &rio.Config{Depth: 4}), want: letters(500)}
	s.file = openOn(t, s.r, fileOf(t, s.want), os.O_RDWR)
	return s
}

// check does a NOP and a real read, and wants nothing left in flight.
func (s *sanity) check(t *testing.T, after string) {
	t.Helper()
	if _, err := s.r.Nop().Wait(); err != nil {
		t.Fatalf("after %s: nop: %v", after, err)
	}
	b := make([]byte, 100)
	if n, err := s.r.ReadAt(s.file, b, 50).Wait(); n != 100 || err != nil || string(b) != string(s.want[50:150]) {
		t.Fatalf("after %s: read: %d, %v", after, n, err)
	}
	if st := s.r.Stats(); st.InFlight != 0 || st.Started != st.Completed {
		t.Fatalf("after %s: %+v", after, st)
	}
}

// A mistake is something that a caller should not do. Its error has those words, and is that to errors.Is, if not nil.
type mistake struct {
	name string
	do   func() error
	is   error
	says []string
}

// check makes the mistake: it may neither panic nor hang.
func (m mistake) check(t *testing.T) {
	t.Helper()
	var panicked any
	done := make(chan error, 1)
	go func() {
		var err error
		defer func() {
			panicked = recover()
			done <- err
		}()
		err = m.do()
	}()
	var err error
	select {
	case err = <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s hangs", m.name)
	}
	switch {
	case panicked != nil:
		t.Errorf("%s panics: %v", m.name, panicked)
	case err == nil:
		t.Errorf("%s: no error", m.name)
	case m.is != nil && !errors.Is(err, m.is):
		t.Errorf("%s: %v; want %v", m.name, err, m.is)
	default:
		for _, w := range m.says {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not say %q", m.name, err, w)
			}
		}
	}
}

// waited is the error that c resolves with.
func waited[T any](c rio.Completion[T]) error {
	_, err := c.Wait()
	return err
}

// A starter starts each operation, as Ring or Chain do, and waits for it.
type starter struct {
	name       string
	nop        func() error
	readAt     func(syscall.Conn, []byte, int64) error
	writeAt    func(syscall.Conn, []byte, int64) error
	readvAt    func(syscall.Conn, [][]byte, int64) error
	writevAt   func(syscall.Conn, [][]byte, int64) error
	fsync      func(syscall.Conn) error
	fdatasync  func(syscall.Conn) error
	syncRange  func(f syscall.Conn, off, n int64) error
	fallocate  func(f syscall.Conn, mode uint32, off, n int64) error
	accept     func(net.Listener) error
	connect    func(syscall.Conn, netip.AddrPort) error
	send, recv func(net.Conn, []byte) error
}

// onRing starts on r.
func onRing(name string, r *rio.Ring, o ...rio.Ordering) starter {
	// A failed operation with Link takes the next one with it: a NOP.
	unlinked := func(err error) error {
		if len(o) > 0 {
			r.Nop().Wait()
		}
		return err
	}
	return starter{
		name,
		func() error { return unlinked(waited(r.Nop(o...))) },
		func(f syscall.Conn, p []byte, off int64) error { return unlinked(waited(r.ReadAt(f, p, off, o...))) },
		func(f syscall.Conn, p []byte, off int64) error { return unlinked(waited(r.WriteAt(f, p, off, o...))) },
		func(f syscall.Conn, b [][]byte, off int64) error { return unlinked(waited(r.ReadvAt(f, b, off, o...))) },
		func(f syscall.Conn, b [][]byte, off int64) error {
			return unlinked(waited(r.WritevAt(f, b, off, o...)))
		},
		func(f syscall.Conn) error { return unlinked(waited(r.Fsync(f, o...))) },
		func(f syscall.Conn) error { return unlinked(waited(r.Fdatasync(f, o...))) },
		func(f syscall.Conn, off, n int64) error { return unlinked(waited(r.SyncFileRange(f, off, n, o...))) },
		func(f syscall.Conn, m uint32, off, n int64) error {
			return unlinked(waited(r.Fallocate(f, m, off, n, o...)))
		},
		func(l net.Listener) error { return unlinked(waited(r.Accept(l, o...))) },
		func(c syscall.Conn, a netip.AddrPort) error { return unlinked(waited(r.Connect(c, a, o...))) },
		func(c net.Conn, p []byte) error { return unlinked(waited(r.Send(c, p, o...))) },
		func(c net.Conn, p []byte) error { return unlinked(waited(r.Recv(c, p, o...))) },
	}
}

// onChain starts on chains that newChain makes.
func onChain(name string, newChain func() *rio.Chain) starter {
	submit := func(f func(*rio.Chain) func() error) error {
		c := newChain()
		wait := f(c)
		c.Submit() // its error is what the Completion resolves with
		return wait()
	}
	ints := func(f func(*rio.Chain) rio.Completion[int]) error {
		return submit(func(c *rio.Chain) func() error {
			comp := f(c)
			return func() error { return waited(comp) }
		})
	}
	nones := func(f func(*rio.Chain) rio.Completion[struct{}]) error {
		return submit(func(c *rio.Chain) func() error {
			comp := f(c)
			return func() error { return waited(comp) }
		})
	}
	type num = rio.Completion[int]
	type none = rio.Completion[struct{}]
	return starter{
		name,
		func() error { return nones(func(c *rio.Chain) none { return c.Nop() }) },
		func(f syscall.Conn, p []byte, off int64) error {
			return ints(func(c *rio.Chain) num { return c.ReadAt(f, p, off) })
		},
		func(f syscall.Conn, p []byte, off int64) error {
			return ints(func(c *rio.Chain) num { return c.WriteAt(f, p, off) })
		},
		func(f syscall.Conn, b [][]byte, off int64) error {
			return ints(func(c *rio.Chain) num { return c.ReadvAt(f, b, off) })
		},
		func(f syscall.Conn, b [][]byte, off int64) error {
			return ints(func(c *rio.Chain) num { return c.WritevAt(f, b, off) })
		},
		func(f syscall.Conn) error { return nones(func(c *rio.Chain) none { return c.Fsync(f) }) },
		func(f syscall.Conn) error { return nones(func(c *rio.Chain) none { return c.Fdatasync(f) }) },
		func(f syscall.Conn, off, n int64) error {
			return nones(func(c *rio.Chain) none { return c.SyncFileRange(f, off, n) })
		},
		func(f syscall.Conn, m uint32, off, n int64) error {
			return nones(func(c *rio.Chain) none { return c.Fallocate(f, m, off, n) })
		},
		func(l net.Listener) error {
			return submit(func(c *rio.Chain) func() error {
				comp := c.Accept(l)
				return func() error { return waited(comp) }
			})
		},
		func(s syscall.Conn, a netip.AddrPort) error {
			return nones(func(c *rio.Chain) none { return c.Connect(s, a) })
		},
		func(s net.Conn, p []byte) error { return ints(func(c *rio.Chain) num { return c.Send(s, p) }) },
		func(s net.Conn, p []byte) error { return ints(func(c *rio.Chain) num { return c.Recv(s, p) }) },
	}
}

// starters are r, with each Ordering, and Chains of one operation.
func starters(r *rio.Ring) []starter {
	return []starter{onRing("plain", r), onRing("linked", r, rio.Link), onRing("drained", r, rio.Drain),
		onRing("linked and drained", r, rio.Link, rio.Drain), onChain("chain", r.Chain)}
}

var nowhere = netip.MustParseAddrPort("127.0.0.1:9")

// onFile are all operations that take a file, on f.
func (s *starter) onFile(f syscall.Conn) map[string]func() error {
	b := make([]byte, 8)
	return map[string]func() error{
		"pread":           func() error { return s.readAt(f, b, 0) },
		"pwrite":          func() error { return s.writeAt(f, b, 0) },
		"preadv":          func() error { return s.readvAt(f, [][]byte{b}, 0) },
		"pwritev":         func() error { return s.writevAt(f, [][]byte{b}, 0) },
		"fsync":           func() error { return s.fsync(f) },
		"fdatasync":       func() error { return s.fdatasync(f) },
		"sync_file_range": func() error { return s.syncRange(f, 0, 8) },
		"fallocate":       func() error { return s.fallocate(f, 0, 0, 8) },
		"connect":         func() error { return s.connect(f, nowhere) },
	}
}

// onConn are all operations that take a connection, on c.
func (s *starter) onConn(c net.Conn) map[string]func() error {
	return map[string]func() error{
		"send":       func() error { return s.send(c, []byte("x")) },
		"send empty": func() error { return s.send(c, nil) },
		"recv":       func() error { return s.recv(c, make([]byte, 1)) },
		"recv empty": func() error { return s.recv(c, nil) },
	}
}

// call is the system call in an operation's name.
func callOf(op string) string { return strings.Fields(op)[0] }

type noRawConn struct{}

func (noRawConn) SyscallConn() (syscall.RawConn, error) { return nil, nil }

func TestNilAndZeroFilesAreErrors(t *testing.T) {
	s := newSanity(t)
	files := map[string]syscall.Conn{
		"nil interface":    nil,
		"nil os.File":      (*os.File)(nil),
		"nil rio.File":     (*rio.File)(nil),
		"nil rio.Conn":     (*rio.Conn)(nil),
		"nil rio.Listener": (*rio.Listener)(nil),
		"nil net.TCPConn":  (*net.TCPConn)(nil),
		"nil net.UnixConn": (*net.UnixConn)(nil),
		"zero rio.File":    &rio.File{},
		"zero rio.Conn":    &rio.Conn{},
		"zero Listener":    &rio.Listener{},
		"zero net.TCPConn": &net.TCPConn{},
		"zero os.File":     &os.File{},
		"no RawConn":       noRawConn{},
		"nil in a struct":  struct{ *os.File }{},
		"nil File inside":  struct{ *rio.File }{},
	}
	for _, st := range starters(s.r) {
		for kind, f := range files {
			for op, do := range st.onFile(f) {
				mistake{st.name + " " + op + " on " + kind, do, nil, []string{op}}.check(t)
			}
			s.check(t, st.name+" on "+kind)
		}
	}
}

func TestNilAndZeroSocketsAreErrors(t *testing.T) {
	s := newSanity(t)
	conns := map[string]net.Conn{
		"nil interface": nil, "nil Conn": (*rio.Conn)(nil), "nil net.TCPConn": (*net.TCPConn)(nil),
		"zero Conn": &rio.Conn{}, "zero net.TCPConn": &net.TCPConn{}, "nil in a struct": struct{ net.Conn }{},
		"nil Conn inside": struct{ *rio.Conn }{},
	}
	listeners := map[string]net.Listener{
		"nil interface": nil, "nil Listener": (*rio.Listener)(nil), "nil net.TCPListener": (*net.TCPListener)(nil),
		"zero Listener": &rio.Listener{}, "zero net.TCPListener": &net.TCPListener{}, "nil net.UnixListener": (*net.UnixListener)(nil),
		"nil in a struct": struct{ net.Listener }{},
	}
	for _, st := range starters(s.r) {
		for kind, c := range conns {
			for op, do := range st.onConn(c) {
				mistake{st.name + " " + op + " on " + kind, do, nil, []string{callOf(op)}}.check(t)
			}
		}
		for kind, l := range listeners {
			mistake{st.name + " accept on " + kind, func() error { return st.accept(l) }, nil, []string{"accept"}}.check(t)
		}
		s.check(t, st.name)
	}
}

func TestClosedFilesAndSocketsAreErrors(t *testing.T) {
	s := newSanity(t)
	name := fileOf(t, nil)
	of, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	of.Close()
	rf := openOn(t, s.r, name, os.O_RDWR)
	rf.Close()
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	pr.Close()
	pw.Close()
	l := stdListen(t, "tcp4")
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	rc, err := s.r.Dial(context.Background(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	rc.Close()
	rl, err := s.r.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rl.Close()
	l.Close()
	for _, st := range starters(s.r) {
		for kind, f := range map[string]syscall.Conn{"os.File": of, "File": rf, "pipe": pr, "TCPConn": nc.(*net.TCPConn), "Conn": rc} {
			for op, do := range st.onFile(f) {
				mistake{st.name + " " + op + " on a closed " + kind, do, os.ErrClosed, []string{op}}.check(t)
			}
		}
		for kind, c := range map[string]net.Conn{"TCPConn": nc, "Conn": rc} {
			for op, do := range st.onConn(c) {
				mistake{st.name + " " + op + " on a closed " + kind, do, net.ErrClosed, []string{callOf(op)}}.check(t)
			}
		}
		for kind, l := range map[string]net.Listener{"TCPListener": l, "Listener": rl} {
			mistake{st.name + " accept on a closed " + kind, func() error { return st.accept(l) }, net.ErrClosed, []string{"accept"}}.check(t)
		}
		s.check(t, st.name)
	}
}

func TestBadNumbersAreErrors(t *testing.T) {
	s := newSanity(t)
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pr.Close()
	defer pw.Close()
	many := make([][]byte, 1025)
	for i := range many {
		many[i] = make([]byte, 1)
	}
	one := make([]byte, 4)
	for _, st := range starters(s.r) {
		for kind, f := range map[string]syscall.Conn{"File": s.file, "pipe": pr} {
			for _, off := range []int64{-1, -4096, math.MinInt64} {
				at := fmt.Sprint(off)
				for _, m := range []mistake{
					{"read", func() error { return st.readAt(f, one, off) }, syscall.EINVAL, []string{"pread", "offset", at}},
					{"write", func() error { return st.writeAt(f, one, off) }, syscall.EINVAL, []string{"pwrite", "offset", at}},
					{"empty read", func() error { return st.readAt(f, nil, off) }, syscall.EINVAL, []string{"pread", "offset", at}},
					{"readv", func() error { return st.readvAt(f, [][]byte{one}, off) }, syscall.EINVAL, []string{"preadv", "offset", at}},
					{"writev of nothing", func() error { return st.writevAt(f, nil, off) }, syscall.EINVAL, []string{"pwritev", "offset", at}},
					{"range", func() error { return st.syncRange(f, off, 0) }, syscall.EINVAL, []string{"sync_file_range", "offset", at}},
					{"length of a range", func() error { return st.syncRange(f, 0, off) }, syscall.EINVAL, []string{"sync_file_range", "length", at}},
					{"fallocate", func() error { return st.fallocate(f, 0, off, 1) }, syscall.EINVAL, []string{"fallocate", "offset", at}},
					{"length of fallocate", func() error { return st.fallocate(f, 0, 0, off) }, syscall.EINVAL, []string{"fallocate", "length", at}},
				} {
					m.name = st.name + " " + m.name + " on a " + kind + " at " + at
					m.check(t)
				}
			}
		}
		for _, m := range []mistake{
			{"1025 buffers to read into", func() error { return st.readvAt(s.file, many, 0) }, syscall.EINVAL, []string{"preadv", "1025", "1024"}},
			{"1025 buffers to write", func() error { return st.writevAt(s.file, many, 0) }, syscall.EINVAL, []string{"pwritev", "1025", "1024"}},
			{"fallocate of nothing", func() error { return st.fallocate(s.file, 0, 0, 0) }, syscall.EINVAL, []string{"fallocate"}},
			{"fallocate behind the largest file", func() error { return st.fallocate(s.file, 0, 1<<62, 1<<62-1) }, nil, []string{"fallocate"}}, // EFBIG, or ENOSPC of tmpfs
			{"write behind the largest file", func() error { return st.writeAt(s.file, one, math.MaxInt64-1) }, nil, []string{"pwrite"}},
		} {
			m.name = st.name + " " + m.name
			m.check(t)
		}
		s.check(t, st.name)
	}
	wantContent(t, s.file.Name(), s.want)
}

func TestUnknownOrderingsAreErrors(t *testing.T) {
	s := newSanity(t)
	l := stdListen(t, "tcp4")
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, bad := range [][]rio.Ordering{{4}, {255}, {rio.Link, 8}, {rio.Drain | 64}, {rio.None, rio.Link, rio.Drain, 128}} {
		st := onRing(fmt.Sprint(bad), s.r, bad...)
		ops := st.onFile(s.file)
		for op, do := range st.onConn(c) {
			ops[op] = do
		}
		ops["nop"] = st.nop
		ops["accept"] = func() error { return st.accept(l) }
		for op, do := range ops {
			mistake{op + " " + st.name, do, syscall.EINVAL, []string{callOf(op), "Ordering"}}.check(t)
		}
		s.check(t, st.name)
	}
	wantContent(t, s.file.Name(), s.want)
}

// An operation with Link that could not even be started has failed too: what comes next is cancelled.
func TestLinkHoldsForWhatCouldNotBeStarted(t *testing.T) {
	s := newSanity(t)
	closed := openOn(t, s.r, s.file.Name(), os.O_RDWR)
	closed.Close()
	for name, bad := range map[string]func(o ...rio.Ordering) error{
		"a negative offset":  func(o ...rio.Ordering) error { return waited(s.r.WriteAt(s.file, []byte("!"), -1, o...)) },
		"a nil file":         func(o ...rio.Ordering) error { return waited(s.r.Fsync(nil, o...)) },
		"a closed file":      func(o ...rio.Ordering) error { return waited(s.r.WriteAt(closed, []byte("!"), 0, o...)) },
		"no descriptor":      func(o ...rio.Ordering) error { return waited(s.r.Accept(quietListener{}, o...)) },
		"no address":         func(o ...rio.Ordering) error { return waited(s.r.Connect(s.file, netip.AddrPort{}, o...)) },
		"a file for connect": func(o ...rio.Ordering) error { return waited(s.r.Connect(s.file, nowhere, o...)) },
	} {
		mistake{name, func() error { return bad(rio.Link) }, nil, nil}.check(t)
		if err := waited(s.r.WriteAt(s.file, []byte("!"), 0)); !errors.Is(err, syscall.ECANCELED) {
			t.Errorf("behind %s: %v; want ECANCELED", name, err)
		}
		wantContent(t, s.file.Name(), s.want)

		first := s.r.Nop(rio.Link)
		mistake{name, func() error { return bad(rio.Link) }, nil, nil}.check(t)
		last := s.r.WriteAt(s.file, []byte("!"), 0)
		if err := waited(last); !errors.Is(err, syscall.ECANCELED) {
			t.Errorf("behind a link to %s: %v; want ECANCELED", name, err)
		}
		if err := waited(first); err != nil {
			t.Errorf("before %s: %v", name, err)
		}
		wantContent(t, s.file.Name(), s.want)

		first = s.r.Nop(rio.Link)
		mistake{name, func() error { return bad() }, nil, nil}.check(t)
		if err := waited(s.r.ReadAt(s.file, make([]byte, 1), 0)); err != nil {
			t.Errorf("after the end of a link, with %s: %v", name, err)
		}
		if err := waited(first); err != nil {
			t.Errorf("before %s: %v", name, err)
		}
		s.r.Nop().Wait()
		s.check(t, name)
	}
}

func TestBadAddressesAreErrors(t *testing.T) {
	s := newSanity(t)
	l := stdListen(t, "tcp4")
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	u, err := net.Dial("unix", stdListen(t, "unix").Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	tcp, unix := c.(syscall.Conn), u.(syscall.Conn)
	for _, st := range starters(s.r) {
		to := func(c syscall.Conn, addr string) func() error {
			return func() error { return st.connect(c, netip.MustParseAddrPort(addr)) }
		}
		for _, m := range []mistake{
			{"no address", func() error { return st.connect(tcp, netip.AddrPort{}) }, os.ErrInvalid, []string{"connect", "valid"}},
			{"a port only", func() error { return st.connect(tcp, netip.AddrPortFrom(netip.Addr{}, 80)) }, os.ErrInvalid, []string{"connect", "valid"}},
			{"an unknown zone", to(tcp, "[fe80::1%no-such-if]:80"), nil, []string{"connect", "no-such-if"}},
			{"a zone out of range", to(tcp, "[fe80::1%4294967296]:80"), nil, []string{"connect", "4294967296"}},
			{"IPv6 on an IPv4 socket", to(tcp, "[::1]:80"), syscall.EAFNOSUPPORT, []string{"connect", "[::1]:80"}},
			{"IPv4 on a Unix socket", to(unix, "127.0.0.1:80"), syscall.EAFNOSUPPORT, []string{"connect", "127.0.0.1:80"}},
			{"a file", to(s.file, "127.0.0.1:80"), syscall.ENOTSOCK, []string{"connect"}},
			{"a connected one", to(peer.(syscall.Conn), l.Addr().String()), syscall.EISCONN, []string{"connect"}},
		} {
			m.name = st.name + " " + m.name
			m.check(t)
		}
		s.check(t, st.name)
	}
}

func TestAcceptOnWhatDoesNotListenIsAnError(t *testing.T) {
	s := newSanity(t)
	c, _ := tcpPair(t)
	deaf := struct { // a listener that isn't one
		net.Listener
		syscall.Conn
	}{stdListen(t, "tcp4"), c.(syscall.Conn)}
	for _, st := range starters(s.r) {
		mistake{st.name, func() error { return st.accept(deaf) }, syscall.EINVAL, []string{"accept"}}.check(t)
		s.check(t, st.name)
	}
}

func TestNilRingsAndChainsAreErrors(t *testing.T) {
	s := newSanity(t)
	var r *rio.Ring
	l := stdListen(t, "tcp4")
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, st := range []struct {
		starter
		is   error
		says string // "": the operation
	}{
		{onRing("a nil Ring", r), os.ErrInvalid, ""},
		{onRing("a nil Ring, linked", r, rio.Link), os.ErrInvalid, ""},
		{onChain("a nil Chain", func() *rio.Chain { return nil }), os.ErrInvalid, ""},
		{onChain("a zero Chain", func() *rio.Chain { return &rio.Chain{} }), os.ErrInvalid, "Submit"},
		{onChain("a Chain of a nil Ring", r.Chain), os.ErrInvalid, "Submit"},
	} {
		ops := st.onFile(s.file)
		ops["connect"] = func() error { return st.connect(c.(syscall.Conn), nowhere) }
		for op, do := range st.onConn(c) {
			ops[op] = do
		}
		ops["nop"] = st.nop
		ops["accept"] = func() error { return st.accept(l) }
		for op, do := range ops {
			says := st.says
			if says == "" {
				says = callOf(op)
			}
			mistake{op + " on " + st.name, do, st.is, []string{says, "nil"}}.check(t)
		}
	}
	for op, do := range map[string]func() error{
		"Close": r.Close, "SubmitAll": r.SubmitAll,
		"open":    func() error { _, err := r.OpenFile("x", 0, 0); return err },
		"NewFile": func() error { _, err := r.NewFile(os.Stdin); return err },
		"NewConn": func() error { _, err := r.NewConn(os.Stdin); return err },
		"listen":  func() error { _, err := r.Listen("tcp", "127.0.0.1:0"); return err },
		"dial":    func() error { _, err := r.Dial(context.Background(), "tcp", nowhere.String()); return err },
		"Submit":  (*rio.Chain)(nil).Submit,
	} {
		mistake{op + " of nil", do, os.ErrInvalid, []string{op, "nil"}}.check(t)
	}
	if st := r.Stats(); st != (rio.Stats{}) {
		t.Errorf("a nil Ring's Stats are %+v", st)
	}
	s.check(t, "nil rings")
}

func TestChainsAreSubmittedOnceAndNeitherEmptyNorTooLong(t *testing.T) {
	s := newSanity(t) // 4 entries
	mistake{"an empty chain", s.r.Chain().Submit, syscall.EINVAL, []string{"Submit", "empty"}}.check(t)
	s.check(t, "an empty chain")

	of, err := os.OpenFile(s.file.Name(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer of.Close()
	for _, f := range []syscall.Conn{s.file, of} {
		long := s.r.Chain()
		var comps []rio.Completion[int]
		for range 5 {
			comps = append(comps, long.WriteAt(f, []byte("!"), 0))
		}
		mistake{"a long chain", long.Submit, syscall.EINVAL, []string{"Submit", "5", "4"}}.check(t)
		for _, c := range comps {
			mistake{"an operation of it", func() error { return waited(c) }, syscall.EINVAL, []string{"Submit"}}.check(t)
			mistake{"once more", func() error { return waited(c) }, rio.ErrWaited, nil}.check(t)
		}
		s.check(t, "a long chain")
	}

	twice := s.r.Chain()
	nop := twice.Nop()
	if err := twice.Submit(); err != nil {
		t.Fatal(err)
	}
	mistake{"a second Submit", twice.Submit, os.ErrInvalid, []string{"Submit", "submitted"}}.check(t)
	late := twice.Nop()
	mistake{"an operation after Submit", func() error { return waited(late) }, os.ErrInvalid, []string{"nop", "submitted"}}.check(t)
	if err := waited(nop); err != nil {
		t.Error(err)
	}
	s.check(t, "a chain submitted twice")

	// One bad operation, and nothing of it starts.
	for op, add := range map[string]func(c *rio.Chain){
		"pread":   func(c *rio.Chain) { c.ReadAt(s.file, make([]byte, 1), -1) },
		"pwrite":  func(c *rio.Chain) { c.WriteAt((*os.File)(nil), make([]byte, 1), 0) },
		"send":    func(c *rio.Chain) { c.Send(nil, nil) },
		"connect": func(c *rio.Chain) { c.Connect(s.file, netip.AddrPort{}) },
		"accept":  func(c *rio.Chain) { c.Accept(quietListener{}) },
	} {
		for _, f := range []syscall.Conn{s.file, of} {
			before := s.r.Stats().Started
			c := s.r.Chain()
			first := c.WriteAt(f, []byte("!!!!"), 0)
			add(c)
			last := c.Nop()
			mistake{"a chain with a bad " + op, c.Submit, nil, []string{"Submit", op, "2"}}.check(t)
			mistake{"the operation before it", func() error { return waited(first) }, nil, []string{op}}.check(t)
			mistake{"the operation behind it", func() error { return waited(last) }, nil, []string{op}}.check(t)
			if n := s.r.Stats().Started; n != before {
				t.Errorf("%d operations of a refused chain were started", n-before)
			}
			s.check(t, "a chain with a bad "+op)
		}
	}
	wantContent(t, s.file.Name(), s.want)
}

func TestCompletionsOfNothingAreErrors(t *testing.T) {
	s := newSanity(t)
	var zero rio.Completion[int]
	var zeroConn rio.Completion[*rio.Conn]
	unsubmitted := s.r.Chain().ReadAt(s.file, make([]byte, 1), 0)
	bg := context.Background()
	for _, m := range []mistake{
		{"Wait of the zero Completion", func() error { return waited(zero) }, os.ErrInvalid, []string{"zero"}},
		{"Wait of a zero Completion", func() error { return waited(zeroConn) }, os.ErrInvalid, []string{"zero"}},
		{"WaitContext of it", func() error { _, err := zero.WaitContext(bg); return err }, os.ErrInvalid, []string{"zero"}},
		{"TryWait of it", func() error { _, _, err := zero.TryWait(); return err }, os.ErrInvalid, []string{"zero"}},
		{"Done of it", func() error { <-zero.Done(); return zero.Cancel() }, os.ErrInvalid, []string{"zero"}},
		{"Wait before Submit", func() error { return waited(unsubmitted) }, nil, []string{"Submit"}},
		{"WaitContext before Submit", func() error { _, err := unsubmitted.WaitContext(bg); return err }, nil, []string{"Submit"}},
		{"Cancel before Submit", unsubmitted.Cancel, nil, []string{"Submit"}},
	} {
		m.check(t)
	}
	if _, ok, _ := zero.TryWait(); !ok {
		t.Error("a loop around TryWait of the zero Completion never ends")
	}
	s.check(t, "completions of nothing")

	var none context.Context
	read := s.r.ReadAt(s.file, make([]byte, 7), 0)
	mistake{"a nil context", func() error { _, err := read.WaitContext(none); return err }, os.ErrInvalid, []string{"context"}}.check(t)
	wantInt(t, "it is not used up", read, 7)
	mistake{"Dial with a nil context", func() error { _, err := s.r.Dial(none, "tcp", nowhere.String()); return err }, os.ErrInvalid, []string{"dial", "context"}}.check(t)
	s.check(t, "nil contexts")
}

func TestBadConfigsAreErrors(t *testing.T) {
	minus, many := -1, 1<<20
	for _, c := range []struct {
		cfg  rio.Config
		says []string
	}{
		{rio.Config{Depth: -1}, []string{"Depth", "-1", "32768"}},
		{rio.Config{Depth: 1 << 20}, []string{"Depth", "1048576", "32768"}},
		{rio.Config{Depth: 32769}, []string{"Depth", "32769"}},
		{rio.Config{Depth: math.MinInt}, []string{"Depth"}},
		{rio.Config{Depth: math.MaxInt}, []string{"Depth"}},
		{rio.Config{CQDepth: -1}, []string{"CQDepth", "-1"}},
		{rio.Config{CQDepth: 65537}, []string{"CQDepth", "65537"}},
		{rio.Config{Depth: 64, CQDepth: 32}, []string{"CQDepth", "32"}},
		{rio.Config{SQPollIdle: time.Second}, []string{"SQPoll"}},
		{rio.Config{SQPollCPU: new(int)}, []string{"SQPoll"}},
		{rio.Config{SQPoll: true, SQPollIdle: -1}, []string{"SQPollIdle"}},
		{rio.Config{SQPoll: true, SQPollIdle: time.Microsecond}, []string{"SQPollIdle"}},
		{rio.Config{SQPoll: true, SQPollCPU: &minus}, []string{"SQPollCPU", "-1"}},
		{rio.Config{SQPoll: true, SQPollCPU: &many}, []string{"SQPollCPU", "1048576"}},
		{rio.Config{SetupFlags: 1 << 31}, nil},
		{rio.Config{SetupFlags: 1 << 13}, []string{"DEFER_TASKRUN"}},
	} {
		mistake{fmt.Sprintf("%+v", c.cfg), func() error {
			r, err := rio.New(&c.cfg)
			if r != nil {
				r.Close()
			}
			return err
		}, syscall.EINVAL, c.says}.check(t)
	}
}

func TestHandlesOfNothingAreErrors(t *testing.T) {
	s := newSanity(t)
	b := make([]byte, 1)
	all := map[string]func() error{
		"NewFile of nil": func() error { _, err := s.r.NewFile(nil); return err },
		"NewConn of nil": func() error { _, err := s.r.NewConn(nil); return err },
	}
	for kind, c := range map[string]*rio.Conn{"nil Conn: ": nil, "zero Conn: ": {}} {
		all[kind+"read"] = func() error { _, err := c.Read(b); return err }
		all[kind+"write"] = func() error { _, err := c.Write(b); return err }
		all[kind+"close"] = c.Close
		all[kind+"CloseRead"] = c.CloseRead
		all[kind+"CloseWrite"] = c.CloseWrite
		all[kind+"deadline"] = func() error { return c.SetDeadline(time.Time{}) }
		all[kind+"read deadline"] = func() error { return c.SetReadDeadline(time.Time{}) }
		all[kind+"write deadline"] = func() error { return c.SetWriteDeadline(time.Time{}) }
		all[kind+"addresses"] = func() error { c.LocalAddr(); c.RemoteAddr(); return c.Close() }
		all[kind+"SyscallConn"] = func() error { _, err := c.SyscallConn(); return err }
	}
	for kind, l := range map[string]*rio.Listener{"nil Listener: ": nil, "zero Listener: ": {}} {
		all[kind+"accept"] = func() error { _, err := l.Accept(); return err }
		all[kind+"close"] = l.Close
		all[kind+"deadline"] = func() error { return l.SetDeadline(time.Time{}) }
		all[kind+"address"] = func() error { l.Addr(); return l.Close() }
		all[kind+"SyscallConn"] = func() error { _, err := l.SyscallConn(); return err }
	}
	for kind, c := range map[string]*rio.Stream{"nil Stream: ": nil, "zero Stream: ": {}} {
		all[kind+"write"] = func() error { _, err := c.Write(b); return err }
		all[kind+"flush"] = func() error { return c.Flush(t.Context()) }
		all[kind+"close"] = c.Close
		all[kind+"abort"] = c.Abort
		all[kind+"addresses"] = func() error { c.LocalAddr(); c.RemoteAddr(); c.Unsent(); return c.Close() }
	}
	for kind, f := range map[string]*rio.File{"nil File: ": nil, "zero File: ": {}} {
		all[kind+"read"] = func() error { _, err := f.Read(b); return err }
		all[kind+"empty read"] = func() error { _, err := f.Read(nil); return err }
		all[kind+"write"] = func() error { _, err := f.Write(b); return err }
		all[kind+"empty write"] = func() error { _, err := f.Write(nil); return err }
		all[kind+"readat"] = func() error { _, err := f.ReadAt(b, 0); return err }
		all[kind+"writeat"] = func() error { _, err := f.WriteAt(b, 0); return err }
		all[kind+"seek"] = func() error { _, err := f.Seek(0, 0); return err }
		all[kind+"sync"] = f.Sync
		all[kind+"datasync"] = f.Datasync
		all[kind+"close"] = f.Close
		all[kind+"truncate"] = func() error { return f.Truncate(0) }
		all[kind+"stat"] = func() error { _, err := f.Stat(); return err }
		all[kind+"alignment"] = func() error { _, _, err := f.Alignment(); return err }
		all[kind+"name"] = func() error { _ = f.Name(); return f.Close() }
		all[kind+"SyscallConn"] = func() error { _, err := f.SyscallConn(); return err }
	}
	for name, do := range all {
		mistake{name, do, os.ErrInvalid, []string{"nil"}}.check(t)
	}
	s.check(t, "handles of nothing")
}

func TestAlignedPanicsAsDocumented(t *testing.T) {
	for _, c := range []struct {
		n, align int
		says     string // "": it doesn't panic
	}{
		{100, 0, ""}, {0, 0, ""}, {1, 1, ""}, {4096, 2, ""}, {5, 512, ""}, {8192, 4096, ""}, {1, 1 << 20, ""}, {0, 4096, ""},
		{-1, 0, "negative"}, {math.MinInt, 4096, "negative"}, {10, -1, "power of two"}, {10, 3, "power of two"},
		{10, -4096, "power of two"}, {10, 4097, "power of two"}, {0, 6, "power of two"}, {10, math.MinInt, "power of two"},
	} {
		func() {
			defer func() {
				p := recover()
				if (p != nil) != (c.says != "") || !strings.Contains(fmt.Sprint(p), c.says) {
					t.Errorf("Aligned(%d, %d): panic %v; want %q", c.n, c.align, p, c.says)
				}
			}()
			b := rio.Aligned(c.n, c.align)
			align := uint64(c.align)
			if align == 0 {
				align = 4096
			}
			if len(b) != c.n || cap(b) != c.n {
				t.Errorf("Aligned(%d, %d): len %d, cap %d", c.n, c.align, len(b), cap(b))
			}
			var at uint64
			if _, err := fmt.Sscanf(fmt.Sprintf("%p", b), "0x%x", &at); err != nil || c.n > 0 && at%align != 0 {
				t.Errorf("Aligned(%d, %d) is at %#x, %v", c.n, c.align, at, err)
			}
			for i := range b {
				if b[i] != 0 {
					t.Fatal("not zero")
				}
				b[i] = 1
			}
		}()
	}
	runtime.GC() // what was written to was ours
}
