package rio_test

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
)

// newThreads is newRing on threads.
func newThreads(t testing.TB, cfg rio.Config) *rio.Ring {
	t.Helper()
	if simulated || os.Getenv("RIO_BACKEND") != "" && !onThreads {
		t.Skip("another backend is asked for")
	}
	cfg.Backend = rio.Threads
	r := newRing(t, &cfg)
	if b, why := r.Backend(); b != rio.Threads || !strings.Contains(why, "threads") {
		t.Fatalf("%v, %q", b, why)
	}
	return r
}

// What waits takes no goroutine of the pool, however many there are: the send that frees it all gets through, and files can
// be read meanwhile.
func TestPendingReceivesDoNotStarveTheSend(t *testing.T) {
	r := newThreads(t, rio.Config{})
	f := tempFile(t, "a file")
	const n = 300 // more than the pool has
	a, b := tcpPair(t)
	pr, pw := tempPipe(t)
	var recvs, reads []rio.Completion[int]
	bufs := make([][1]byte, 2*n)
	for i := range n {
		recvs = append(recvs, r.Recv(a, bufs[2*i][:]))
		if i < 100 {
			reads = append(reads, r.ReadAt(pr, bufs[2*i+1][:], 0))
		}
	}
	if err := r.SubmitAll(); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 10)
	if m := ok(t, r.ReadAt(f, p, 0)); string(p[:m]) != "a file" {
		t.Errorf("%q", p[:m])
	}
	ok(t, r.WriteAt(f, []byte("A"), 0))
	ok(t, r.Fsync(f))
	for sent := 0; sent < n; {
		sent += ok(t, r.Send(b, make([]byte, n-sent)))
	}
	for _, c := range recvs {
		if m := ok(t, c); m != 1 {
			t.Fatal(m)
		}
	}
	for done := 0; done < len(reads); {
		done += ok(t, r.WriteAt(pw, make([]byte, len(reads)-done), 0))
	}
	for _, c := range reads {
		if m := ok(t, c); m != 1 {
			t.Fatal(m)
		}
	}
}

func TestOptionsOfIOUringAreErrorsOnThreads(t *testing.T) {
	if simulated || os.Getenv("RIO_BACKEND") != "" && !onThreads {
		t.Skip("another backend is asked for")
	}
	for option, cfg := range map[string]rio.Config{
		"SQPoll": {SQPoll: true, SQPollIdle: time.Millisecond}, "IOPoll": {IOPoll: true}, "SetupFlags": {SetupFlags: 1 << 4},
	} {
		cfg.Backend = rio.Threads
		r, err := rio.New(&cfg)
		if !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), option) {
			t.Errorf("%s: %v", option, err)
		}
		if err == nil {
			r.Close()
		}
	}
	r, err := rio.New(&rio.Config{Backend: 7})
	if !errors.Is(err, syscall.EINVAL) && os.Getenv("RIO_BACKEND") == "" {
		t.Errorf("Backend 7: %v", err)
	}
	if err == nil {
		r.Close()
	}
}

// A Ring on threads that is closed while hundreds wait ends all of them, and leaves no goroutine.
func TestCloseOnThreadsEndsWhatWaits(t *testing.T) {
	r := newThreads(t, rio.Config{Depth: 256})
	a, _ := tcpPair(t)
	pr, _ := tempPipe(t)
	var cs []rio.Completion[int]
	for range 100 {
		cs = append(cs, r.Recv(a, make([]byte, 1)), r.ReadAt(pr, make([]byte, 1), 0))
	}
	r.SubmitAll()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range cs {
		if _, err := c.Wait(); !errors.Is(err, rio.ErrClosed) {
			t.Fatalf("%v; want ErrClosed", err)
		}
	}
}
