package rio_test

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/seed-9c58b644/rio"
)

// odd is somebody's syscall.Conn whose Control does something odd instead of, or besides, calling its function, the n-th time.
type odd struct {
	*os.File
	n, at int
	does  func(control func(func(uintptr)) error, f func(uintptr)) error
}

func (o *odd) SyscallConn() (syscall.RawConn, error) { return oddConn{o}, nil }

type oddConn struct{ *odd }

func (oddConn) Read(func(uintptr) bool) error  { return nil }
func (oddConn) Write(func(uintptr) bool) error { return nil }
func (o oddConn) Control(f func(uintptr)) error {
	raw, err := o.File.SyscallConn()
	if err != nil {
		return err
	}
	if o.n++; o.n == o.at {
		return o.does(raw.Control, f)
	}
	return raw.Control(f)
}

var errOdd = errors.New("odd")

var oddControls = []struct {
	does  string
	begun bool // the operation has reached the kernel
	f     func(control func(func(uintptr)) error, f func(uintptr)) error
}{
	{"panics", false, func(func(func(uintptr)) error, func(uintptr)) error { panic(errOdd) }},
	{"ends its goroutine", false, func(func(func(uintptr)) error, func(uintptr)) error { runtime.Goexit(); return nil }},
	{"calls nothing", false, func(func(func(uintptr)) error, func(uintptr)) error { return nil }},
	{"fails", false, func(func(func(uintptr)) error, func(uintptr)) error { return errOdd }},
	{"calls, and panics", true, func(c func(func(uintptr)) error, f func(uintptr)) error { c(f); panic(errOdd) }},
	{"calls, and fails", true, func(c func(func(uintptr)) error, f func(uintptr)) error { c(f); return errOdd }},
	{"calls twice", true, func(c func(func(uintptr)) error, f func(uintptr)) error { c(f); return c(f) }},
	{"calls later", false, func(c func(func(uintptr)) error, f func(uintptr)) error {
		later.Store(&f)
		return nil
	}},
}

var later atomic.Pointer[func(uintptr)]

// Whatever a RawConn's Control does, nobody waits for ever, an operation has its result or an error, and the Ring goes on
// working and closes.
func TestAControlMayDoAnything(t *testing.T) {
	name := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(name, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, c := range oddControls {
		for at := range 4 { // threads call it three times
			for what, start := range map[string]func(r *rio.Ring, o *odd, p []byte) (int, error){
				"read": func(r *rio.Ring, o *odd, p []byte) (int, error) { return r.ReadAt(o, p, 0).Wait() },
				"linked read": func(r *rio.Ring, o *odd, p []byte) (int, error) {
					defer func() { r.Nop().Wait() }()
					return r.ReadAt(o, p, 0, rio.Link).Wait()
				},
				"fsync": func(r *rio.Ring, o *odd, p []byte) (int, error) {
					_, err := r.Fsync(o).Wait()
					return copy(p, "0123456789"), err
				},
				"chain": func(r *rio.Ring, o *odd, p []byte) (int, error) {
					chain := r.Chain()
					chain.Nop()
					read := chain.ReadAt(o, p, 0)
					if err := chain.Submit(); err != nil {
						return 0, err
					}
					return read.Wait()
				},
			} {
				t.Run(c.does+"/"+what, func(t *testing.T) {
					r := newRing(t, nil)
					o := &odd{File: file, at: at, does: c.f}
					p := make([]byte, 10)
					n, err, ended := 0, io.ErrUnexpectedEOF, make(chan any, 1)
					go func() {
						defer func() { ended <- recover() }()
						n, err = start(r, o, p)
					}()
					if e := <-ended; e != nil && e != errOdd {
						t.Fatal(e)
					}
					if f := later.Swap(nil); f != nil && o.n >= at {
						(*f)(file.Fd()) // it is nobody's any more
					}
					switch {
					case err == nil && string(p[:n]) != "0123456789":
						t.Errorf("%q", p[:n])
					case c.does == "calls nothing" && err != nil && !strings.Contains(err.Error(), "Control") && !(simulated && errors.Is(err, os.ErrClosed)):
						t.Error(err)
					}
					if s := r.Stats(); s.InFlight != 0 && !c.begun {
						t.Errorf("%d are in flight", s.InFlight)
					}
					p = make([]byte, 10) // the kernel may still have the other one
					if n, err := r.ReadAt(file, p, 5).Wait(); n != 5 || err != nil || string(p[:n]) != "56789" {
						t.Errorf("the next read: %d, %v, %q", n, err, p[:n])
					}
					if err := r.Close(); err != nil {
						t.Error(err)
					}
				})
			}
		}
	}
}

// lose runs start, which a Control ends by a panic, or with its goroutine.
func lose(t *testing.T, start func()) {
	t.Helper()
	ended := make(chan any)
	go func() {
		defer func() { ended <- recover() }()
		start()
	}()
	if e := <-ended; e != nil && e != errOdd {
		t.Fatal(e)
	}
}

// What follows a Link that is lost to a Control is cancelled, as it is if that has failed.
func TestLinkIsNotLostWithItsControl(t *testing.T) {
	name := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(name, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, c := range oddControls[:2] {
		for at := 1; at <= 2; at++ {
			t.Run(c.does, func(t *testing.T) {
				r := newRing(t, nil)
				o := &odd{File: file, at: at, does: c.f}
				lose(t, func() { r.ReadAt(o, make([]byte, 10), 0, rio.Link) })
				if n, err := r.WriteAt(file, []byte("X"), 0).Wait(); o.n >= at && !errors.Is(err, syscall.ECANCELED) {
					t.Errorf("the next: %d, %v", n, err)
				}
				if n, err := r.WriteAt(file, []byte("0"), 0).Wait(); n != 1 || err != nil {
					t.Errorf("the one behind: %d, %v", n, err)
				}
			})
		}
	}
}

// Who waits for a Chain's operations hears of it if its Submit is lost to a Control.
func TestChainIsRefusedIfItsControlIsLost(t *testing.T) {
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, c := range oddControls[:2] {
		for at := 1; at <= 2; at++ {
			t.Run(c.does, func(t *testing.T) {
				r := newRing(t, nil)
				chain := r.Chain()
				nop := chain.Nop()
				o := &odd{File: file, at: at, does: c.f}
				read := chain.ReadAt(o, make([]byte, 10), 0)
				done := nop.Done()
				lose(t, func() { chain.Submit() })
				<-done
				if _, err := read.Wait(); o.n >= at && (err == nil || !strings.Contains(err.Error(), "Control")) {
					t.Error(err)
				}
				if s := r.Stats(); s.InFlight != 0 {
					t.Errorf("%d are in flight", s.InFlight)
				}
			})
		}
	}
}

// A Control may do anything where an operation is begun again, too: by whoever reads completions, whom it must not touch. A send that finds no room first
// polls, and then is sent once more.
func TestAControlMayDoAnythingToWhatBeginsAgain(t *testing.T) {
	for _, c := range oddControls {
		for at := 2; at <= 3; at++ {
			t.Run(c.does, func(t *testing.T) {
				r := newRing(t, nil)
				near, far := fullSocket(t)
				conn, err := net.FileConn(near)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				o := &odd{File: near, at: at, does: c.f}
				send := r.Send(oddSocket{conn, o}, []byte{5})
				if err := r.SubmitAll(); err != nil {
					t.Fatal(err)
				}
				go io.Copy(io.Discard, far)
				n, err := send.Wait()
				if f := later.Swap(nil); f != nil {
					(*f)(^uintptr(0)) // it is nobody's any more
				}
				if (n != 1 || err != nil) && (c.begun || !errors.Is(err, os.ErrClosed)) {
					t.Error(n, err)
				}
				if b, _ := r.Backend(); b == rio.IOUring && !simulated && o.n < at {
					t.Errorf("Control was called %d times", o.n)
				}
				if s := r.Stats(); s.InFlight != 0 {
					t.Errorf("%d are in flight", s.InFlight)
				}
				if _, err := r.Nop().Wait(); err != nil {
					t.Error(err)
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

type oddSocket struct {
	net.Conn
	*odd
}

// fullSocket is a stream that takes nothing more until far is read.
func fullSocket(t *testing.T) (near, far *os.File) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	near, far = os.NewFile(uintptr(fds[0]), "near"), os.NewFile(uintptr(fds[1]), "far")
	t.Cleanup(func() {
		near.Close()
		far.Close()
	})
	for err == nil {
		_, err = syscall.Write(fds[0], make([]byte, 1<<10))
	}
	if err != syscall.EAGAIN {
		t.Fatal(err)
	}
	return near, far
}

type panicking struct{}

func (panicking) Write([]byte) (int, error) { panic(errOdd) }

// A Config.Profile whose Write panics costs nothing but that.
func TestAProfileMayPanic(t *testing.T) {
	r := newRing(t, &rio.Config{Profile: panicking{}})
	if _, err := r.Nop().Wait(); err != nil {
		t.Fatal(err)
	}
	before := len(openFDs())
	func() {
		defer func() {
			if recover() == nil {
				t.Error("it has swallowed the panic")
			}
		}()
		r.Close()
	}()
	if b, _ := r.Backend(); b == rio.IOUring && !simulated && len(openFDs()) >= before {
		t.Errorf("%d descriptors are open, and were %d", len(openFDs()), before)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
