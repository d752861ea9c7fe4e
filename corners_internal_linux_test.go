package rio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
	"github.com/seed-9c58b644/rio/internal/uring/threads"
)

// Nor will anybody take what a loop's request brings late.
func TestLateConnectionOfALoopOfABrokenRingIsClosed(t *testing.T) {
	multishots(t)
	r, breakIt := breakable(t, &Config{Profile: io.Discard})
	l, err := r.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	first, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	ended := make(chan error, 1)
	go func() {
		for c, err := range l.Conns(t.Context()) {
			if err != nil {
				ended <- err
				return
			}
			c.Close()
		}
	}()
	until(t, "a request is armed", func() bool {
		in := l.in.inbox.Load()
		if in == nil {
			return false
		}
		in.lane.cq.mu.Lock()
		defer in.lane.cqUnlock()
		return in.armed && in.req != nil
	})
	if err := r.SubmitAll(); err != nil {
		t.Fatal(err)
	}
	breakIt()
	if _, err := r.Nop().Wait(); !errors.Is(err, refusal) {
		t.Error("Nop:", err)
	}
	if err := <-ended; !errors.Is(err, refusal) {
		t.Error("Conns:", err)
	}
	isClosedAtOnce(t, l)
}

// Who is refused though he had been given what he waited for gives it back.
func TestWhoIsRefusedAtLastGivesBackWhatHeWasGranted(t *testing.T) {
	firstLaneOnly(t)
	r := openRing(t, &Config{Depth: 4})
	if r.k.Files == 0 {
		t.Skip("this ring has no table of files")
	}
	r.sq.mu.Lock()
	r.recall()
	all := r.tickets.draw(1, r.tickets.all)
	r.sq.mu.Unlock()
	admitted := make(chan error, 1)
	go func() { admitted <- r.admit(2, 1) }()
	until(t, "somebody waits for a place", func() bool { return r.tickets.waiting.Load() == 1 })
	r.sq.mu.Lock()
	r.tickets.put(all)
	if !r.afford(2, 1) { // as grant does
		t.Error("there are too few")
	}
	r.tickets.reservedFiles++
	if files := r.sq.files; len(files) > 0 {
		r.sq.files = files[:1]
		if r.afford(1, 1) {
			t.Error("a place that is promised to somebody is given away")
		}
		r.sq.files = files
	}
	r.dismiss(0)
	r.sq.refusal = ErrClosed // before he comes to it
	r.sq.mu.Unlock()
	if err := <-admitted; !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	r.sq.mu.Lock()
	r.sq.refusal = nil
	if free := r.tickets.free.Load(); free != r.tickets.all || r.tickets.reservedFiles != 0 {
		t.Errorf("%d of %d tickets are free, %d places for files are promised", free, r.tickets.all, r.tickets.reservedFiles)
	}
	r.sq.mu.Unlock()
}

// A connect that was cancelled while the kernel says that it goes on is cancelled.
func TestCancelledConnectThatGoesOnIsCancelled(t *testing.T) {
	firstLaneOnly(t)
	for _, errno := range []syscall.Errno{syscall.EINPROGRESS, syscall.EALREADY, syscall.EAGAIN, syscall.EINTR} {
		r := handmade(t)
		o, c := started(t, r, &call{kind: kindNop})
		r.lock()
		o.state.Or(isCancelled)
		r.cancelling.Add(1)
		r.arrive(uring.CQE{UserData: o.data, Res: -int32(errno)})
		r.unlock()
		r.follow()
		if _, err := c.Wait(); !errors.Is(err, syscall.ECANCELED) {
			t.Errorf("%v: %v", errno, err)
		}
		r.Close()
	}
}

// What a sync of a range has lost the File says later, too.
func TestFailedSyncRangeIsKept(t *testing.T) {
	firstLaneOnly(t)
	for _, k := range []kind{kindFsync, kindFdatasync, kindSyncRange} {
		r := handmade(t)
		h := &handle{r: r, bounded: true}
		o, c := started(t, r, &call{kind: k})
		r.lock()
		h.get()
		o.h = h
		r.arrive(uring.CQE{UserData: o.data, Res: -int32(syscall.EIO)})
		r.unlock()
		r.follow()
		if _, err := c.Wait(); !errors.Is(err, syscall.EIO) {
			t.Error(err)
		}
		if errno := syscall.Errno(h.syncErr.Load()); errno != syscall.EIO {
			t.Errorf("%s: %v is kept", kinds[k].name, errno)
		}
		r.Close()
	}
}

// A Completion of a Chain whose Ring breaks while it is submitted tells Done so.
func TestDoneOfWhatEndedBeforeItBeganIsClosed(t *testing.T) {
	firstLaneOnly(t)
	r := handmade(t)
	defer r.Close()
	o, c := started(t, r, &call{kind: kindNop})
	p := &promise{r: r}
	ch := p.doneChan()
	r.lock()
	r.arrive(uring.CQE{UserData: o.data, Res: -int32(syscall.EIO)})
	r.unlock()
	r.follow()
	until(t, "it is done", o.isDone)
	r.lock()
	p.begin(o)
	r.unlock()
	select {
	case <-ch:
	default:
		t.Error("the channel is open")
	}
	if _, err := c.Wait(); !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
}

// A broken Ring has nothing to cancel any more: the sweeper would go on for ever.
func TestBrokenRingHasNothingToCancel(t *testing.T) {
	r, breakIt := breakable(t, nil)
	_, c := started(t, r, &call{kind: kindNop})
	r.lock()
	c.o.state.Or(isCancelled)
	r.cancelling.Add(1)
	r.unlock()
	breakIt()
	r.fail(syscall.EIO)
	if _, err := c.Wait(); !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
	r.lane.cancelWhere(isFileClosed, func(*op) bool { return true }) // though it is in the table, the kernel may have it
	if n := r.cancelling.Load(); n != 0 {
		t.Errorf("%d are to be cancelled", n)
	}
}

// A deadline that passes while a Read is about to wait for what a loop's request brings is not missed.
func TestDeadlineThatPassesBeforeAReadWaitsIsSeen(t *testing.T) {
	r := multishots(t)
	_, c, _ := listening(t, r, "tcp4")
	in := c.rd.open(r, kindReceives)
	in.lane.cq.mu.Lock()
	in.armed = true // by somebody's loop
	read := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 1))
		read <- err
	}()
	until(t, "the Read is held up", func() bool {
		buf := make([]byte, 1<<20)
		for _, g := range bytes.Split(buf[:runtime.Stack(buf, true)], []byte("\n\n")) {
			if bytes.Contains(g, []byte(").arrived(")) && bytes.Contains(g, []byte("sync.(*Mutex).Lock")) && !bytes.Contains(g, []byte(".over(")) {
				return true
			}
		}
		return false
	})
	c.SetReadDeadline(time.Unix(1, 0)) // nothing is pending yet
	in.lane.cqUnlock()
	within(t, "Read", func() {
		if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	})
	in.lane.cq.mu.Lock()
	in.armed = false
	in.lane.cqUnlock()
}

// What is to be started again and was cancelled, or lost, before it could be is not.
func TestWhatWasCancelledBeforeItBeganAgainDoesNot(t *testing.T) {
	firstLaneOnly(t)
	r, breakIt := breakable(t, nil)
	o, c := started(t, r, &call{kind: kindNop})
	r.lock()
	r.arrive(uring.CQE{UserData: o.data, Res: errCanceled}) // nobody asked for that
	r.doom(o, 0)
	r.unlock()
	r.follow()
	if _, err := c.Wait(); !errors.Is(err, syscall.ECANCELED) {
		t.Error(err)
	}
	o, c = started(t, r, &call{kind: kindNop})
	r.lock()
	r.arrive(uring.CQE{UserData: o.data, Res: errCanceled})
	claimed := r.k.SQ.Claimed()
	r.unlock()
	breakIt()
	r.fail(syscall.EIO)
	r.lock()
	if n := r.k.SQ.Claimed() - claimed; n != 0 {
		t.Errorf("%d are started on a broken Ring", n)
	}
	r.unlock()
	if _, err := c.Wait(); !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
}

// While a loop has a single request under way no other begins one that goes on: it would get ahead of that.
func TestNoRequestIsArmedBesideASingleOne(t *testing.T) {
	r := multishots(t)
	_, c, peer := listening(t, r, "tcp4")
	count := func(n int) {
		in := c.rd.inbox.Load()
		in.lane.cq.mu.Lock()
		in.singles += n
		in.lane.cqUnlock()
	}
	peer.Write([]byte("1"))
	turn := 0
	for p, err := range c.Received(t.Context()) {
		if turn++; string(p) != fmt.Sprint(turn) || err != nil {
			t.Fatalf("turn %d: %q, %v", turn, p, err)
		}
		if turn == 1 {
			count(1) // another's
		}
		if _, _, armed := c.rd.waiting(); armed {
			t.Error("a request is armed")
		}
		if turn == 4 {
			break
		}
		fmt.Fprint(peer, turn+1)
	}
	count(-1)
}

// A request that can't be begun, as its first try has shown, is not waited for.
func TestARequestThatTheKernelLacksIsNotArmed(t *testing.T) {
	r := multishots(t)
	_, c, _ := listening(t, r, "tcp4")
	in := c.rd.open(r, kindReceives)
	r.provided.noReceives.Store(true) // found out after next has asked
	in.lane.cq.mu.Lock()
	in.armed = true
	ended := in.ended
	in.lane.cqUnlock()
	if err := in.arm(&c.handle); err != nil {
		t.Error(err)
	}
	in.lane.cq.mu.Lock()
	if in.armed || in.ended != ended+1 {
		t.Errorf("armed: %v, %d have ended", in.armed, in.ended-ended)
	}
	in.armed = false
	in.lane.cqUnlock()
}

// An operation that can't be started lets the one go that was held back for it.
func TestWhatWasHeldBackForOneThatIsRefusedBegins(t *testing.T) {
	firstLaneOnly(t)
	r := openRing(t, nil)
	f, err := r.OpenFile(filepath.Join(t.TempDir(), "f"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a := r.WriteAt(f, []byte("a"), 0, Link)
	refused := r.WriteAt(nil, []byte("-"), 0)
	b := r.WriteAt(f, []byte("b"), 1, Link)
	c := r.WriteAt(f, []byte("c"), 2)
	if _, err := refused.Wait(); !errors.Is(err, os.ErrInvalid) {
		t.Error(err)
	}
	within(t, "one of them", func() {
		for _, w := range []Completion[int]{c, b, a} {
			if n, err := w.Wait(); n != 1 || err != nil {
				t.Error(n, err)
			}
		}
	})
}

// An unlendable is somebody's descriptor that is closed when the ring wants to have it.
type unlendable struct{ syscall.RawConn }

func (u unlendable) SyscallConn() (syscall.RawConn, error) { return u, nil }
func (u unlendable) Control(func(uintptr)) error           { return os.ErrClosed }

// A Chain one of whose files was closed meanwhile gives back all that it had.
func TestChainWhoseFileIsClosedMeanwhileGivesEverythingBack(t *testing.T) {
	firstLaneOnly(t)
	r := openRing(t, nil)
	if r.k.Lender() != nil {
		t.Skip("nothing is lent by way of Control here")
	}
	f, err := r.OpenFile(filepath.Join(t.TempDir(), "f"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	chain := r.Chain()
	a := chain.WriteAt(f, []byte("a"), 0)
	b := chain.Fsync(unlendable{})
	c := chain.WriteAt(f, []byte("c"), 1)
	if err := chain.Submit(); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
	for _, w := range []func() error{func() error { _, err := a.Wait(); return err }, func() error { _, err := b.Wait(); return err }, func() error { _, err := c.Wait(); return err }} {
		if err := w(); !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	}
	if n := r.inFlight(); n != 0 {
		t.Errorf("%d are in flight", n)
	}
	within(t, "File.Close", func() { f.Close() })
}

// Of several errors of a file's syncs the first is kept.
func TestTheFirstFailedSyncIsKept(t *testing.T) {
	var h handle
	h.noteSync(syscall.EIO)
	h.noteSync(syscall.ENOSPC)
	if errno := syscall.Errno(h.syncErr.Load()); errno != syscall.EIO {
		t.Errorf("%v is kept", errno)
	}
}

// The successor of what has failed gets nothing of what a loop has left.
func TestSuccessorOfAFailureTakesNothingThatALoopHasLeft(t *testing.T) {
	r := multishots(t)
	_, c, peer := listening(t, r, "tcp4")
	leave(t, r, c, peer, 1, func() { peer.Write([]byte("4")) })
	buf := make([]byte, 1)
	r.WriteAt(nil, buf, 0, Link)
	if n, err := r.Recv(c, buf).Wait(); n != 0 || !errors.Is(err, syscall.ECANCELED) {
		t.Error(n, err)
	}
	if n, err := c.Read(buf); n != 1 || buf[0] != '4' || err != nil {
		t.Error(n, buf, err)
	}
}

// Another Ring begins nothing on a File that is being closed: its Close may wait for long, and for what it knows of.
func TestAFileThatIsBeingClosedIsClosedToOtherRings(t *testing.T) {
	r, other := openRing(t, nil), openRing(t, nil)
	of, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	of.Write([]byte("x"))
	f, err := r.newVirtual(threads.NewFile(of, os.O_RDWR))
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 1)
	if n, err := other.ReadAt(f, p, 0).Wait(); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	f.refs.Or(handleClosing) // as close does before it waits
	if n, err := other.ReadAt(f, p, 0).Wait(); n != 0 || !errors.Is(err, os.ErrClosed) {
		t.Error(n, err)
	}
	f.refs.And(^handleClosing)
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// What a Conn has waited for is counted when that is closed, too.
func TestStatsCountWhatAClosedConnHasWaitedFor(t *testing.T) {
	withProcs(t, 2) // then it is Go's poller that waits
	r := openRing(t, nil)
	_, c, peer := listening(t, r, "tcp4")
	before := r.Stats().Started
	read := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 1))
		read <- err
	}()
	until(t, "the Read waits", func() bool { return r.Stats().Started > before })
	peer.Write([]byte("x"))
	if err := <-read; err != nil {
		t.Fatal(err)
	}
	open := r.Stats()
	if open.Started != before+1 || open.Completed != open.Started {
		t.Errorf("%+v", open)
	}
	c.Close()
	if s := r.Stats(); s.Started != open.Started || s.Completed != open.Completed {
		t.Errorf("%+v; before Close %+v", s, open)
	}
}

// The Close of a Ring that broke closes the connections that nobody has taken, too: the kernel has nothing of them.
func TestCloseOfARingThatBrokeClosesWhatNobodyTook(t *testing.T) {
	r := openRing(t, nil)
	l, c, _ := listening(t, r, "tcp4")
	c.Close()
	accept := r.Accept(l)
	peer, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	<-accept.Done()
	r.fail(syscall.EIO)
	r.Close()
	closed(t, []net.Conn{peer})
	if c, err := accept.Wait(); !errors.Is(err, ErrClosed) {
		t.Error(c, err)
	}
}
