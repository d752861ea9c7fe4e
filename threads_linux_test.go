package rio_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

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
