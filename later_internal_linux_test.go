package rio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// ringWithLongLine makes a Ring of one P whose line is long, as far as those know who start something now, and so many Conns with their
// peers' descriptors.
func ringWithLongLine(t *testing.T, n int) (r *Ring, conns []*Conn, peers []int) {
	t.Helper()
	notUnderRace(t)
	firstLaneOnly(t)
	withProcs(t, 1)
	r = openRing(t, nil)
	if !r.k.Plain() {
		t.Skip("this is not io_uring")
	}
	conns, peers = pairs(t, r, n)
	r.relay.isLong.Store(true)
	return r, conns, peers
}

// pairs are so many Conns, and their peers' descriptors.
func pairs(t *testing.T, r *Ring, n int) (conns []*Conn, peers []int) {
	t.Helper()
	for range n {
		fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		c, err := r.NewConn(os.NewFile(uintptr(fds[0]), "socket"))
		if err != nil {
			t.Fatal(err)
		}
		conns, peers = append(conns, c), append(peers, fds[1])
		t.Cleanup(func() { c.Close(); syscall.Close(fds[1]) })
	}
	return conns, peers
}

// A putOff is a receive as a Conn's Read starts it.
type putOff struct {
	*op
	gen uint64
	buf []byte
}

// receives starts one on each of conns.
func receives(t *testing.T, conns []*Conn) (started []putOff) {
	t.Helper()
	for _, c := range conns {
		p := putOff{buf: make([]byte, 8)}
		var err error
		if p.op, p.gen, err = c.r.beginOn(&c.handle, &call{kind: kindRecv, buf: p.buf, quiet: true}, None); err != nil {
			t.Fatal(err)
		}
		p.claim(p.gen)
		started = append(started, p)
	}
	return started
}

// result waits for it.
func (p putOff) result() (n int, err error) {
	p.lane.await(p.op, nil)
	return take[int](p.op, p.retire())
}

// putOffs is how many are put off, and how many SQEs there have been.
func (l *lane) putOffs() (off int, claimed uint32) {
	l.sq.mu.Lock()
	defer l.sq.mu.Unlock()
	return len(l.sq.later.line) - l.sq.later.head, l.k.SQ.Claimed()
}

// say has each peer send what is its own.
func say(t *testing.T, peers []int) {
	t.Helper()
	for i, fd := range peers {
		if _, err := syscall.Write(fd, fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
}

func answered(t *testing.T, started []putOff) {
	t.Helper()
	for i, p := range started {
		n, err := p.result()
		if got := string(p.buf[:max(n, 0)]); got != fmt.Sprint(i) || err != nil {
			t.Errorf("receive %d: %q, %v", i, got, err)
		}
	}
}

// Of receives that are put off a flush submits a portion, the first ones, and so many more that as many readers have something to
// do; not all, whose sockets would leave the cache again.
func TestAFlushSubmitsAFewOfThePutOff(t *testing.T) {
	const many = 4 * portion
	var took []uint32
	for range 50 { // the sweeper may come between, and submit more
		r, conns, peers := ringWithLongLine(t, many)
		say(t, peers)
		started := receives(t, conns)
		off, before := r.putOffs()
		r.flush()
		left, after := r.putOffs()
		answered(t, started)
		for _, c := range conns {
			c.Close()
		}
		r.Close()
		if took = append(took, after-before); off == many && left == many-portion && after-before == portion {
			return
		}
	}
	t.Errorf("of %d it took %d, and not %d", many, took, portion)
}

// Where nothing has come all of them are waited for after one flush: the next to receive something may be any of them.
func TestAFlushSubmitsAllThatHaveToWait(t *testing.T) {
	r, conns, peers := ringWithLongLine(t, 4*portion)
	started := receives(t, conns)
	r.flush()
	if off, _ := r.putOffs(); off != 0 {
		t.Errorf("%d are still put off", off)
	}
	say(t, peers)
	answered(t, started)
}

// However much there is to be read, nothing is put off for ever.
func TestWhatIsPutOffIsNotForgotten(t *testing.T) {
	const many = 3 * portion
	r, conns, peers := ringWithLongLine(t, many)
	say(t, peers)
	started := receives(t, conns)
	for range 2 * many / portion {
		r.flush() // and nobody reads
	}
	if off, _ := r.putOffs(); off != 0 {
		t.Errorf("%d are still put off", off)
	}
	answered(t, started)
}

// While some are put off, the next are so, too, behind them, though the line is short by then: otherwise they'd never come to
// their turn.
func TestWhatIsPutOffKeepsItsOrder(t *testing.T) {
	var off int
	for range 50 { // the sweeper may come between
		r, conns, _ := ringWithLongLine(t, 2)
		first := receives(t, conns[:1])
		r.relay.isLong.Store(false)
		second := receives(t, conns[1:])
		off, _ = r.putOffs()
		if off == 2 && (r.sq.later.line[0] != first[0].data || r.sq.later.line[1] != second[0].data) {
			t.Error("the second is before the first")
		}
		r.flush()
		third := receives(t, conns[:1])
		if n, _ := r.putOffs(); n != 0 {
			t.Error("put off, where there is neither a line nor anybody before it")
		}
		r.Close()
		for _, p := range append(append(first, second...), third...) {
			if _, err := p.result(); !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		}
		if off == 2 {
			return
		}
	}
	t.Errorf("%d are put off", off)
}

// With several Ps a receive in the ring is none of many.
func TestNothingIsPutOffWithSeveralPs(t *testing.T) {
	firstLaneOnly(t)
	withProcs(t, 2)
	r := openRing(t, nil)
	conns, peers := pairs(t, r, 1)
	r.relay.isLong.Store(true)
	if started := receives(t, conns); len(r.sq.later.line) != 0 {
		t.Error("it was put off")
	} else {
		say(t, peers)
		answered(t, started)
	}
}

// Nor where a thread of the kernel's submits: what it has done so far says nothing of what a flush has given it.
func TestNothingIsPutOffWithSQPoll(t *testing.T) {
	notUnderRace(t)
	firstLaneOnly(t)
	withProcs(t, 1)
	r, err := New(&Config{SQPoll: true})
	if err != nil {
		t.Skip(err)
	}
	defer r.Close()
	conns, peers := pairs(t, r, 1)
	r.relay.isLong.Store(true)
	started := receives(t, conns)
	if len(r.sq.later.line) != 0 {
		t.Error("it was put off")
	}
	say(t, peers)
	answered(t, started)
}

// Nor is what others wait for, or has a ticket: only Conn's own receives come in thousands.
func TestOnlyConnsReceivesArePutOff(t *testing.T) {
	r, conns, peers := ringWithLongLine(t, 1)
	buf := make([]byte, 8)
	c := r.Recv(conns[0], buf)
	if off, _ := r.putOffs(); off != 0 {
		t.Error("Ring.Recv was put off")
	}
	say(t, peers)
	if n, err := c.Wait(); n != 1 || err != nil {
		t.Error(n, err)
	}
	o, gen, err := r.beginOn(&conns[0].handle, &call{kind: kindSend, buf: buf, quiet: true}, None)
	if err != nil {
		t.Fatal(err)
	}
	if off, _ := r.putOffs(); off != 0 {
		t.Error("a send was put off")
	}
	o.claim(gen)
	if n, err := (putOff{op: o}).result(); n != len(buf) || err != nil {
		t.Error(n, err)
	}
}

// What is put off may be cancelled, and never reaches the kernel then, not even where another operation has its place.
func TestWhatIsPutOffCanBeCancelled(t *testing.T) {
	r, conns, peers := ringWithLongLine(t, 2*portion)
	for range 100 {
		started := receives(t, conns)
		first := started[0]
		r.lock()
		later := first.fate&fateLater != 0 && r.lane.find(first.data) == first.op
		if later {
			r.doom(first.op, 0)
		}
		r.unlock()
		r.relay.isLong.Store(false)
		again := receives(t, conns[:1]) // it is given the first one's place
		r.relay.isLong.Store(true)
		say(t, peers)
		if !later { // the sweeper has come between
			r.cancel(first.op, first.gen, 0)
		}
		n, err := first.result()
		if later && !errors.Is(err, syscall.ECANCELED) {
			t.Errorf("the one that was cancelled: %d bytes, %v", n, err)
		}
		if n > 0 {
			syscall.Write(peers[0], []byte("0"))
		}
		answered(t, append(again, started[1:]...))
		if r.cancelling.Load() != 0 || r.inFlight() != 0 {
			t.Errorf("%d are being cancelled, %d in flight", r.cancelling.Load(), r.inFlight())
		}
		if later {
			return
		}
	}
	t.Error("never put off when it was cancelled")
}

// Deadlines and Close end a Read that is put off: it never reaches the kernel.
func TestReadsThatArePutOffEnd(t *testing.T) {
	r, conns, _ := ringWithLongLine(t, 2)
	for want, end := range map[error]func(c *Conn){
		os.ErrDeadlineExceeded: func(c *Conn) { c.SetReadDeadline(time.Now().Add(time.Millisecond)) },
		net.ErrClosed:          func(c *Conn) { c.Close() },
	} {
		c := conns[0]
		conns = conns[1:]
		until(t, "nobody uses the kernel's ring", r.useAlone) // nor does anybody from here on: those who submit wait
		r.relay.isLong.Store(true)
		_, before := r.putOffs()
		read := make(chan error)
		go func() {
			_, err := c.Read(make([]byte, 1))
			read <- err
		}()
		until(t, "it is put off", func() bool { off, _ := r.putOffs(); return off == 1 })
		ended := make(chan bool)
		go func() {
			end(c)
			close(ended)
		}()
		until(t, "it has ended", func() bool { return r.quiet() == 0 })
		_, after := r.putOffs()
		r.unuseAlone(0)
		if err := <-read; !errors.Is(err, want) || after != before {
			t.Errorf("%v, not %v; %d SQEs", err, want, after-before)
		}
		<-ended
	}
}

// What was put off and is cancelled was queued none the less: the count goes up only.
func TestWhatIsPutOffCounts(t *testing.T) {
	r, conns, _ := ringWithLongLine(t, 1)
	before := r.queuedSQEs()
	o := receives(t, conns)[0]
	queued := r.queuedSQEs()
	r.cancel(o.op, o.gen, 0)
	if _, err := o.result(); !errors.Is(err, syscall.ECANCELED) {
		t.Error(err)
	}
	if after := r.queuedSQEs(); queued <= before || after < queued {
		t.Errorf("%d, %d, %d", before, queued, after)
	}
}

// What SubmitAll promises is true of what is put off, too.
func TestSubmitAllSubmitsWhatIsPutOff(t *testing.T) {
	r, conns, peers := ringWithLongLine(t, 5*portion)
	say(t, peers)
	started := receives(t, conns)
	if err := r.SubmitAll(); err != nil {
		t.Error(err)
	}
	if off, _ := r.putOffs(); off != 0 {
		t.Errorf("%d are still put off", off)
	}
	answered(t, started)
}

// quiet is how many operations without a Completion are in flight.
func (r *Ring) quiet() uint64 {
	r.lock()
	defer r.unlock()
	return r.sq.quiet - r.cq.quiet
}

// Close ends what is put off.
func TestCloseEndsWhatIsPutOff(t *testing.T) {
	r, conns, _ := ringWithLongLine(t, 4*portion) // nobody says anything: the sweeper may be there first
	started := receives(t, conns)
	within(t, "Close", func() { r.Close() })
	endedWith(t, started, ErrClosed)
}

// So does a ring that breaks.
func TestBrokenRingEndsWhatIsPutOff(t *testing.T) {
	notUnderRace(t)
	firstLaneOnly(t)
	withProcs(t, 1)
	r, breakIt := breakable(t, nil)
	if !r.k.Plain() {
		t.Skip("this is not io_uring")
	}
	conns, peers := pairs(t, r, 4*portion)
	say(t, peers)
	r.relay.isLong.Store(true)
	started := receives(t, conns)
	breakIt()
	r.flush()
	until(t, "it is known", func() bool { return r.broken() != nil })
	_, before := r.putOffs()
	r.flush()
	if off, after := r.putOffs(); off != 0 || after != before {
		t.Errorf("%d are still put off, %d have become SQEs", off, after-before)
	}
	within(t, "Close", func() { r.Close() })
	endedWith(t, started, r.broken())
}

// endedWith fails unless a portion of started have ended with err, and the others, if any, with what they were to receive.
func endedWith(t *testing.T, started []putOff, err error) {
	t.Helper()
	ended := 0
	for _, p := range started {
		if n, got := p.result(); errors.Is(got, err) {
			ended++
		} else if n == 0 || got != nil {
			t.Error(n, got)
		}
	}
	if ended < portion {
		t.Errorf("%d have ended with %v", ended, err)
	}
}

// A server of a thousand connections that all have something to say: each gets its own answers, and many are put off.
func TestAThousandConnectionsAtOnce(t *testing.T) {
	notUnderRace(t)
	firstLaneOnly(t)
	withProcs(t, 1)
	r := openRing(t, nil)
	conns, peers := pairs(t, r, 1000)
	var all sync.WaitGroup
	for _, c := range conns {
		all.Go(func() {
			if n, err := io.Copy(onlyWriter{c}, onlyReader{c}); n == 0 || err != nil {
				t.Error(n, err)
			}
		})
	}
	until(t, "all of them read", func() bool { return int(r.quiet()) == len(conns) })
	const rounds = 20
	for round := range rounds {
		message := func(i int) []byte { return fmt.Append(nil, "round ", round, " of ", i) }
		for i, fd := range peers {
			if _, err := syscall.Write(fd, message(i)); err != nil {
				t.Fatal(err)
			}
		}
		for i, fd := range peers {
			var got [64]byte
			n, err := syscall.Read(fd, got[:])
			if err != nil || !bytes.Equal(got[:max(n, 0)], message(i)) {
				t.Fatalf("%q, %v, not %q", got[:max(n, 0)], err, message(i))
			}
		}
	}
	r.sq.mu.Lock()
	if cap(r.sq.later.line) == 0 && r.k.Plain() { // others end them one by one
		t.Error("nothing was put off")
	}
	r.sq.mu.Unlock()
	until(t, "nobody is in line", func() bool { return !r.relay.active.Load() })
	if r.relay.isLong.Load() {
		t.Error("where nobody is the line is long")
	}
	for _, fd := range peers {
		syscall.Shutdown(fd, syscall.SHUT_WR)
	}
	all.Wait()
}

// They hide what io.Copy would use instead of Read and Write.
type (
	onlyReader struct{ io.Reader }
	onlyWriter struct{ io.Writer }
)

// With one P and thousands of connections, receives that are put off until their readers run soon, and without that. With a
// hundred there is no difference.
func BenchmarkWorthPuttingOff(b *testing.B) {
	canCoop(b)
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil || files.Cur < 5000 {
		b.Skip("too few descriptors: ", files.Cur, err)
	}
	for _, connections := range []int{100, 4000} {
		for _, with := range []string{"with", "without"} {
			b.Run(fmt.Sprintf("%s/%d", with, connections), func(b *testing.B) {
				withProcs(b, 1)
				r := ringFor(b)
				if with == "without" {
					r.relay.long = 0
				}
				answer(b, r, connections)
			})
		}
	}
}

// What was put off, and is with the kernel by now, ends by its CQE, as everything else: until then the kernel may write its buffer.
func TestWhatIsNoLongerPutOffIsTheKernelsToEnd(t *testing.T) {
	r, conns, _ := ringWithLongLine(t, 2)
	started := receives(t, conns)
	until(t, "the kernel has them", func() bool {
		r.flush()
		off, _ := r.putOffs()
		return off == 0
	})
	for _, p := range started {
		r.lock()
		r.doom(p.op, 0)
		if r.lane.find(p.data) != p.op {
			t.Error("it has ended without the kernel")
		}
		r.unlock()
		r.flush()
		r.reap()
		if _, err := p.result(); !errors.Is(err, syscall.ECANCELED) {
			t.Error(err)
		}
	}
}
