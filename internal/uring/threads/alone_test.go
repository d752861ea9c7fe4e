package threads

import (
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// deadlineless is what has no deadlines, as Windows' pipes.
type deadlineless struct {
	io.ReadWriter
	reading chan struct{} // gets a token for each Read
}

func (d deadlineless) Read(p []byte) (int, error) {
	d.reading <- struct{}{}
	return d.ReadWriter.Read(p)
}

func (deadlineless) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (deadlineless) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

// A read that can't be ended is cancelled all the same, and what it reads afterwards is not lost.
func TestWhatHasNoDeadlinesCanBeCancelled(t *testing.T) {
	r := openRing(t)
	here, there := net.Pipe()
	defer here.Close()
	d := deadlineless{here, make(chan struct{}, 10)}
	fd := uring.NewVirtual(newStream(d, d))
	defer uring.FreeVirtual(fd)
	var pins uring.Pins
	defer pins.Release()
	first, second := make([]byte, 10), make([]byte, 4)
	begin(r, uring.OpRead, 0, fd, &pins, first, 1)
	<-d.reading
	cancel(r, 1, 2)
	if res := reap(t, r, 2); res[1] != -int32(syscall.ECANCELED) || res[2] != 0 {
		t.Fatal(res)
	}
	if _, err := there.Write([]byte("abcdef")); err != nil {
		t.Fatal(err)
	}
	got := ""
	for data := uint64(3); data < 5; data++ {
		begin(r, uring.OpRead, 0, fd, &pins, second, data)
		res := reap(t, r, 1)[data]
		if res <= 0 {
			t.Fatalf("read %d: %d", data, res)
		}
		got += string(second[:res])
	}
	if got != "abcdef" || string(first) != string(make([]byte, 10)) {
		t.Errorf("%q, and %q in memory that was given back", got, first)
	}
	begin(r, uring.OpWrite, 0, fd, &pins, []byte("xyz"), 9)
	p := make([]byte, 3)
	if _, err := io.ReadFull(there, p); err != nil || string(p) != "xyz" {
		t.Errorf("%q, %v", p, err)
	}
	if res := reap(t, r, 1); res[9] != 3 {
		t.Error(res)
	}
}

// lentPipe is somebody else's file without deadlines.
type lentPipe struct {
	*os.File
	reading chan struct{}
}

func (p lentPipe) Read(b []byte) (int, error) {
	p.reading <- struct{}{}
	return p.File.Read(b)
}

func (lentPipe) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (lentPipe) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

// Nor is what a goroutine reads that was left alone with a file that is lent: whoever has it lent next gets it, if the read
// couldn't be ended (as on Windows it can).
func TestWhatIsLentWithoutDeadlinesCanBeCancelled(t *testing.T) {
	r := openRing(t)
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pr.Close()
	defer pw.Close()
	f := lentPipe{pr, make(chan struct{}, 10)}
	lend := func() {
		t.Helper()
		if err := r.Lender().Lend(0, f); err != nil {
			t.Fatal(err)
		}
	}
	var pins uring.Pins
	defer pins.Release()
	lend()
	first, second := make([]byte, 10), make([]byte, 10)
	begin(r, uring.OpRead, uring.SQEFixedFile, 0, &pins, first, 1)
	<-f.reading
	cancel(r, 1, 2)
	if res := reap(t, r, 2); res[1] != -int32(syscall.ECANCELED) || res[2] != 0 && res[2] != -int32(syscall.EALREADY) {
		t.Fatal(res)
	}
	if err := r.SetFile(0, -1); err != nil {
		t.Fatal(err)
	}
	lend()
	begin(r, uring.OpRead, uring.SQEFixedFile, 0, &pins, second, 3)
	pw.Write([]byte("abc"))
	if res := reap(t, r, 1)[3]; res != 3 || string(second[:3]) != "abc" || first[0] != 0 {
		t.Errorf("%d, %q, and %q in memory that was given back", res, second, first)
	}
}
