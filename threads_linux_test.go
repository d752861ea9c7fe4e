package rio_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-9c58b644/rio"
)

// Of those who wait for a pipe that isn't O_NONBLOCK all but one come too late for what is there. Close ends them all the same.
func TestThreadsThatComeTooLateAreEndedByClose(t *testing.T) {
	pipes := map[string]func(t *testing.T) (r, w int){
		"pipe": func(t *testing.T) (r, w int) {
			var p [2]int
			if err := syscall.Pipe2(p[:], syscall.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
			return p[0], p[1]
		},
		"pipe of packets": func(t *testing.T) (r, w int) {
			var p [2]int
			if err := syscall.Pipe2(p[:], syscall.O_CLOEXEC|syscall.O_DIRECT); err != nil {
				t.Fatal(err)
			}
			return p[0], p[1]
		},
		"fifo": func(t *testing.T) (r, w int) {
			name := filepath.Join(t.TempDir(), "fifo")
			if err := syscall.Mkfifo(name, 0o600); err != nil {
				t.Fatal(err)
			}
			both, err := syscall.Open(name, syscall.O_RDWR|syscall.O_CLOEXEC, 0) // so that no open waits for another
			if err != nil {
				t.Fatal(err)
			}
			defer syscall.Close(both)
			for fd, mode := range map[*int]int{&r: syscall.O_RDONLY, &w: syscall.O_WRONLY} {
				if *fd, err = syscall.Open(name, mode|syscall.O_CLOEXEC, 0); err != nil {
					t.Fatal(err)
				}
				if _, err := unix.FcntlInt(uintptr(*fd), unix.F_SETFL, unix.O_DIRECT); err != nil { // packets
					t.Fatal(err)
				}
			}
			return r, w
		},
	}
	for name, open := range pipes {
		t.Run(name, func(t *testing.T) {
			for range 100 {
				r := newRing(t, &rio.Config{Backend: rio.Threads})
				rfd, wfd := open(t)
				in, err := r.NewFile(os.NewFile(uintptr(rfd), "in"))
				if err != nil {
					t.Fatal(err)
				}
				out := os.NewFile(uintptr(wfd), "out")
				var reads []rio.Completion[int]
				for range 32 {
					reads = append(reads, r.ReadAt(in, make([]byte, 1), 0))
				}
				r.SubmitAll()
				for range 20 {
					out.Write([]byte("x"))
				}
				closed := make(chan error, 1)
				go func() { closed <- r.Close() }()
				select {
				case err := <-closed:
					if err != nil {
						t.Error(err)
					}
				case <-time.After(10 * time.Second):
					out.Close()
					t.Fatal("Close waits for somebody to write")
				}
				n := 0
				for _, c := range reads {
					if m, err := c.Wait(); m == 1 && err == nil {
						n++
					} else if m != 0 || !errors.Is(err, rio.ErrClosed) {
						t.Error(m, err)
					}
				}
				if n > 20 {
					t.Errorf("%d bytes of 20", n)
				}
				in.Close()
				out.Close()
			}
		})
		t.Run(name+" to write to", func(t *testing.T) {
			for range 100 {
				r := newRing(t, &rio.Config{Backend: rio.Threads})
				rfd, wfd := open(t)
				in := os.NewFile(uintptr(rfd), "in")
				out, err := r.NewFile(os.NewFile(uintptr(wfd), "out"))
				if err != nil {
					t.Fatal(err)
				}
				for range 32 {
					r.WriteAt(out, make([]byte, 8<<10), 0)
				}
				r.SubmitAll()
				for range 20 {
					in.Read(make([]byte, 4<<10))
				}
				closed := make(chan error, 1)
				go func() { closed <- r.Close() }()
				select {
				case err := <-closed:
					if err != nil {
						t.Error(err)
					}
				case <-time.After(10 * time.Second):
					in.Close()
					t.Fatal("Close waits for somebody to read")
				}
				out.Close()
				in.Close()
			}
		})
	}
}

// More than the poller takes can wait for one pipe.
func TestThreadsThatWaitForOnePipeMayBeMany(t *testing.T) {
	r := newRing(t, &rio.Config{Backend: rio.Threads, CQDepth: 2048})
	pr, pw := tempPipe(t)
	in, err := r.NewFile(pr)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	const n = 1000
	var reads []rio.Completion[int]
	bufs := make([]byte, n)
	for i := range n {
		reads = append(reads, r.ReadAt(in, bufs[i:i+1], 0))
	}
	if err := r.SubmitAll(); err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, n / 2, n - 1} {
		if err := reads[i].Cancel(); err != nil {
			t.Error(err)
		}
		<-reads[i].Done() // or it might take what is written
	}
	pw.Write(letters(n - 3))
	for i, c := range reads {
		m, err := c.Wait()
		if i == 0 || i == n/2 || i == n-1 {
			if m != 0 || !errors.Is(err, syscall.ECANCELED) {
				t.Errorf("%d: %d, %v; want ECANCELED", i, m, err)
			}
		} else if m != 1 || err != nil {
			t.Errorf("%d: %d, %v", i, m, err)
		}
	}
	got, want := []byte(nil), letters(n-3)
	for _, b := range bufs {
		if b != 0 {
			got = append(got, b)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Error("other bytes than were written")
	}
}
