package rio

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// What the kernel seldom does on this machine, done by hand: the test plays the kernel on a Ring that has nothing else.

func handmade(t *testing.T) *Ring {
	t.Helper()
	r, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func started(t *testing.T, r *Ring, c *call) (*op, Completion[int]) {
	t.Helper()
	if err := r.admit(1, 0); err != nil {
		t.Fatal(err)
	}
	defer r.sq.mu.Unlock()
	o := r.prepare(c, nil)
	r.join(o)
	return o, Completion[int]{pending{o: o, gen: o.gen()}}
}

// The events of a poll are not a number of bytes, nor a descriptor.
func TestPollsEventsAreNotAResult(t *testing.T) {
	firstLaneOnly(t)
	r := handmade(t)
	defer r.Close()
	o, c := started(t, r, &call{kind: kindRead, buf: make([]byte, 100)})
	r.lock()
	o.fate |= fatePolling
	o.state.Or(isCancelled) // while the poll fires
	r.cancelling.Add(1)
	r.arrive(uring.CQE{UserData: o.data, Res: int32(uring.PollIn)})
	r.unlock()
	r.follow()
	if n, err := c.Wait(); !errors.Is(err, syscall.ECANCELED) {
		t.Error(n, err)
	}
}

// A, linked to B, linked to C, is started again; B has had its ECANCELED, C not yet, when B is cancelled.
func TestCancelWaitsForTheCompletionsThatDontCount(t *testing.T) {
	firstLaneOnly(t)
	r := handmade(t)
	defer r.Close()
	var ops [3]*op
	var cs [3]Completion[int]
	var data [3]uint64
	for i := range ops {
		ops[i], cs[i] = started(t, r, &call{kind: kindNop})
		data[i] = ops[i].data
	}
	canceled := func(i int) {
		r.lock()
		r.arrive(uring.CQE{UserData: data[i], Res: errCanceled})
		r.unlock()
	}
	r.lock()
	ops[0].next, ops[1].next = ops[1], ops[2]
	ops[0].bits |= bitLinked
	ops[1].bits |= bitLinked
	r.unlock()
	canceled(0) // A: nobody asked for that
	canceled(1)
	r.lock()
	r.doom(ops[1], 0)
	r.unlock()
	canceled(2)
	r.follow() // A starts again, for real, and succeeds
	for i, want := range []error{nil, syscall.ECANCELED, syscall.ECANCELED} {
		if _, err := cs[i].Wait(); !errors.Is(err, want) {
			t.Errorf("%d: %v, not %v", i, err, want)
		}
	}
}

// nap plays the kernel: res is what comes for o, which is to nap for it, be begun again, and end with EBADF, as it is on no descriptor.
func nap(t *testing.T, r *Ring, o *op, c Completion[int], what string, res int32) {
	t.Helper()
	r.lock()
	r.arrive(uring.CQE{UserData: o.data, Res: res})
	dozes := o.dozes
	r.unlock()
	if !dozes {
		t.Errorf("%s: it is believed, or tried again at once", what)
	}
	r.follow()
	if _, err := c.Wait(); !errors.Is(err, syscall.EBADF) && kernelOfTests.Make == nil {
		t.Errorf("%s: %v", what, err)
	}
}

// What others are faster for again and again, or a device says is ready and is not, is tried for as long as it takes, and not
// without a pause.
func TestWhatIsInVainNaps(t *testing.T) {
	firstLaneOnly(t)
	r := handmade(t)
	defer r.Close()
	read := &call{kind: kindRead, buf: make([]byte, 100)}
	o, c := started(t, r, read)
	o.tries = vainTries
	nap(t, r, o, c, "EAGAIN", -int32(syscall.EAGAIN))
	o, c = started(t, r, read)
	o.tries = vainTries
	nap(t, r, o, c, "EINTR", -int32(syscall.EINTR))
	o, c = started(t, r, read)
	o.fate |= fatePolling
	nap(t, r, o, c, "EINVAL of a poll", -int32(syscall.EINVAL))
	// One is cancelled when it is about to nap.
	o, c = started(t, r, read)
	o.tries = vainTries
	r.lock()
	r.arrive(uring.CQE{UserData: o.data, Res: -int32(syscall.EAGAIN)})
	o.state.Or(isCancelled)
	r.cancelling.Add(1)
	r.unlock()
	r.follow()
	if _, err := c.Wait(); !errors.Is(err, syscall.ECANCELED) {
		t.Error(err)
	}
	for range 4 {
		o, c = started(t, r, read)
		if o.naps != 0 || o.dozes {
			t.Error("an operation begins with", o.naps, "naps, or asleep:", o.dozes)
		}
		o.tries = vainTries
		nap(t, r, o, c, "EAGAIN", -int32(syscall.EAGAIN))
	}
}

// What is ready for ever, and takes nothing, naps longer and longer.
func TestWhatIsReadyInVainNapsLonger(t *testing.T) {
	firstLaneOnly(t)
	r := handmade(t)
	defer r.Close()
	o, c := started(t, r, &call{kind: kindSend, buf: make([]byte, 100)})
	r.lock()
	naps := 0
	for i := 0; i < 200 && naps < numNaps; i++ {
		if !r.again(o, -int32(syscall.EAGAIN)) {
			t.Error("it is believed")
			break
		}
		if o.dozes {
			if naps++; int(o.naps) != min(naps, numNaps)-1 {
				t.Errorf("nap %d is of length %d", naps, o.naps)
				break
			}
			r.again(o, -int32(uring.ETIME))
			continue
		}
		r.again(o, int32(uring.PollOut))
	}
	if naps < 10 {
		t.Errorf("%d naps", naps)
	}
	r.arrive(uring.CQE{UserData: o.data, Res: 100})
	r.unlock()
	r.follow()
	if n, err := c.Wait(); n != 100 || err != nil {
		t.Error(n, err)
	}
}

// Without workers the kernel gives up by itself what needs one.
func TestOddErrorsAreToldAndNamed(t *testing.T) {
	firstLaneOnly(t)
	var log strings.Builder
	r := openRing(t, &Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for range 2 {
		o, c := started(t, r, &call{kind: kindFsync})
		o.tries = oddTries - 1
		r.lock()
		r.arrive(uring.CQE{UserData: o.data, Res: errCanceled})
		r.unlock()
		r.follow()
		if _, err := c.Wait(); !errors.Is(err, syscall.EBADF) {
			t.Error(err)
		}
	}
	if n := strings.Count(log.String(), "RLIMIT_NPROC"); n != 1 {
		t.Errorf("told %d times: %s", n, &log)
	}
	o, c := started(t, r, &call{kind: kindFsync})
	o.tries = maxTries
	r.lock()
	r.arrive(uring.CQE{UserData: o.data, Res: errCanceled})
	r.unlock()
	r.follow()
	if _, err := c.Wait(); !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("%v, though nobody has cancelled it", err)
	}
}

// workers are how many threads the kernel has made for this process's rings.
func workers(t *testing.T) (n int) {
	t.Helper()
	names, err := filepath.Glob("/proc/self/task/*/comm")
	if err != nil || len(names) == 0 {
		t.Fatal("no threads: ", err)
	}
	for _, name := range names {
		if comm, _ := os.ReadFile(name); strings.HasPrefix(string(comm), "iou-wrk") {
			n++
		}
	}
	return n
}

// The kernel's own poll gives up if the peer has ended its stream, and has a worker wait: a thread for each peer that takes nothing.
func TestSendsThatWaitTakeNoWorker(t *testing.T) {
	r := openRing(t, nil)
	if !r.linux {
		t.Skip("no io_uring")
	}
	const n = 20
	before, ended := workers(t), make(chan error, n)
	conns, peers := pairs(t, r, n)
	for i, near := range conns {
		if err := syscall.Shutdown(peers[i], syscall.SHUT_WR); err != nil {
			t.Fatal(err)
		}
		go func() {
			var err error
			if p := make([]byte, 8<<20); i%2 == 0 {
				_, err = near.Write(p)
			} else {
				for err == nil {
					_, err = r.Send(near, p).Wait()
				}
			}
			ended <- err
		}()
	}
	until(t, "all have waited for a while", func() bool {
		long := 0
		for l := range r.lanes() {
			l.lock()
			for _, e := range l.table {
				if o := e.op; o != nil && o.kind == kindSend && int(o.naps) > 6 {
					long++
				}
			}
			l.unlock()
		}
		return long == n
	})
	if now := workers(t); now > before {
		t.Errorf("%d workers, and %d before", now, before)
	}
	for _, near := range conns {
		near.Close()
	}
	for range n {
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	}
}

// What is begun again, on a descriptor that isn't the ring's, has its place in the order already.
func TestDrainBeginsBehindWhatHasBegunAgain(t *testing.T) {
	r := openRing(t, nil)
	if !r.linux || kernelOfTests.Make != nil {
		t.Skip("on this kernel it waits by itself")
	}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fds[0]), "socket")
	c, err := net.FileConn(file)
	file.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	near := c.(*net.UnixConn)
	peer := os.NewFile(uintptr(fds[1]), "socket")
	defer peer.Close()
	if err := syscall.Shutdown(fds[1], syscall.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	near.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	for err == nil {
		_, err = near.Write(make([]byte, 64<<10))
	}
	write := r.WriteAt(near, make([]byte, 100), 0) // it waits, as there is no room
	until(t, "it has napped", func() bool {
		r.lock()
		defer r.unlock()
		return write.o.naps > 2
	})
	go io.Copy(io.Discard, peer)
	if n, err := write.Wait(); n != 100 || err != nil {
		t.Error(n, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := r.Nop(Drain).WaitContext(ctx); err != nil {
		t.Error("nothing is before it: ", err)
	}
}

// An accept that begins again because others were cancelled, likewise.
func TestDrainBeginsBehindAnAcceptThatHasBegunAgain(t *testing.T) {
	r := openRing(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accept := r.Accept(l.(*net.TCPListener))
	if err := r.SubmitAll(); err != nil {
		t.Fatal(err)
	}
	if !r.linux {
		t.Skip("no io_uring")
	}
	s := r.Stats().Submitted
	restartAccepts()
	until(t, "it has begun again", func() bool { return r.Stats().Submitted > s+1 })
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a, err := accept.Wait()
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := r.Nop(Drain).WaitContext(ctx); err != nil {
		t.Error("nothing is before it: ", err)
	}
}
