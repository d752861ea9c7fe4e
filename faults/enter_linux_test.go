package faults

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-9c58b644/rio"
	"github.com/seed-9c58b644/rio/internal/uring/seccomptest"
)

// strace is a prefix for a child whose io_uring_enter is tampered with as how says.
func strace(t *testing.T, how ...string) []string {
	t.Helper()
	program(t, "strace")
	args := []string{"strace", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=io_uring_enter"}
	for _, h := range how {
		args = append(args, "-e", "inject=io_uring_enter:"+h)
	}
	return args
}

func TestEntersThatFailNowAndThenAreRepeated(t *testing.T) {
	for _, c := range []struct{ how, child string }{
		{"error=EINTR:when=5+3", "work"}, {"error=EAGAIN:when=4+2", "work"}, {"error=EBUSY:when=5+2", "work"},
		{"error=EBADR:when=6+5", "work"}, {"error=ENOMEM:when=6+5", "small"}, {"error=EINTR:when=3+2", "small"},
		{"error=EBUSY:when=5+3", "sqpoll"},
	} {
		t.Run(c.child+" "+c.how, func(t *testing.T) {
			f := inject(t, 3, "enter fails: "+c.how+", "+c.child)
			if o := f.run(fmt.Sprintf("%s:%d", c.child, rounds(5, 20, 200)), nil, strace(t, c.how)...); o.Enters == 0 {
				t.Error("it never entered the kernel")
			}
		})
	}
}

// Where register waits for the ring to come to rest, as before 6.0, a signal ends it.
func TestRegistersThatAreInterruptedAreRepeated(t *testing.T) {
	f := inject(t, 3, "register fails: error=EINTR:when=1+2")
	program(t, "strace")
	f.run("work:5", nil, "strace", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=io_uring_register", "-e", "inject=io_uring_register:error=EINTR:when=1+2")
}

func TestEntersThatFailForAWhileCostLittle(t *testing.T) {
	for _, errno := range []string{"EAGAIN", "EBUSY"} {
		t.Run(errno, func(t *testing.T) {
			f := inject(t, 3, "enter fails 600 times in a row: "+errno)
			o := f.run("work:5", nil, strace(t, "error="+errno+":when=8..608")...)
			if o.CPU > 10*time.Second {
				t.Error("it took", o.CPU, "of CPU time")
			}
		})
	}
}

func TestEntersThatTakeNothingAreRepeated(t *testing.T) {
	for _, when := range []string{"5+3", "4+2", "6..40"} {
		t.Run(when, func(t *testing.T) {
			f := inject(t, 4, "enter takes nothing: retval=0:when="+when)
			f.run(fmt.Sprintf("work:%d", rounds(5, 20, 200)), nil, strace(t, "retval=0:when="+when)...)
		})
	}
}

func TestEntersThatComeBackLate(t *testing.T) {
	f := inject(t, 3, "enter is late: delay_exit=3000:when=4+3")
	f.run("work:5", nil, strace(t, "delay_exit=3000:when=4+3")...)
}

func TestTheKthEnterFailsForEachK(t *testing.T) {
	most := rounds(12, 30, 150)
	for _, errno := range []string{"EINTR", "EAGAIN", "EBUSY"} {
		t.Run(errno, func(t *testing.T) {
			f := inject(t, 36, fmt.Sprintf("the k-th enter fails, k up to %d: %s", most, errno))
			for k := 2; k < most; k++ { // the first is the NOP of New
				f.run("work:1", nil, strace(t, fmt.Sprintf("error=%s:when=%d", errno, k))...)
			}
		})
	}
}

func TestSignalsDuringEnter(t *testing.T) {
	for _, how := range []string{"signal=SIGURG:when=2+2", "signal=SIGPROF:when=3+3"} {
		t.Run(how, func(t *testing.T) {
			f := inject(t, 17, "enter gets a signal: "+how)
			f.run(fmt.Sprintf("work:%d", rounds(5, 20, 200)), []string{"RIO_FAULTS_SIGPROF=1"}, strace(t, how)...)
		})
	}
}

func TestSetupThatFailsSaysWhy(t *testing.T) {
	for _, c := range []struct {
		call, errno string
		target      error
		word        string
	}{
		{"io_uring_setup", "EPERM", syscall.EPERM, "seccomp"}, {"io_uring_setup", "ENOSYS", syscall.ENOSYS, "kernel"},
		{"io_uring_setup", "ENOMEM", syscall.ENOMEM, "memlock"}, {"io_uring_setup", "EMFILE", syscall.EMFILE, "io_uring_setup"},
		{"io_uring_register", "EPERM", syscall.EPERM, "io_uring_register"}, {"io_uring_register", "ENOMEM", syscall.ENOMEM, "memlock"},
		{"io_uring_enter", "EPERM", syscall.EPERM, "io_uring_enter"},
	} {
		t.Run(c.call+" "+c.errno, func(t *testing.T) {
			f := inject(t, 19, c.call+" fails: "+c.errno)
			program(t, "strace")
			o := f.run("new", nil, "strace", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace="+c.call, "-e", "inject="+c.call+":error="+c.errno)
			if o.Note != fmt.Sprint(int(c.target.(syscall.Errno))) || !strings.Contains(strings.ToLower(o.Err), c.word) {
				t.Errorf("New says errno %s, %q; not %q", o.Note, o.Err, c.word)
			}
		})
	}
}

func init() {
	// new says what New says.
	children["new"] = func(string) (o outcome) {
		r, err := rio.New(nil)
		o.Ops = 1
		var errno syscall.Errno
		if errors.As(err, &errno) {
			o.Note = fmt.Sprint(int(errno))
		}
		if err != nil {
			o.Err = err.Error()
			return o
		}
		r.Close()
		return o
	}
	// seccomp forbids a system call, with an errno, and then works.
	children["seccomp"] = func(arg string) (o outcome) {
		var nr, errno int
		fmt.Sscan(arg, &nr, &errno)
		if err := seccomptest.Forbid(uint32(nr), syscall.Errno(errno)); err != nil {
			return failed(err)
		}
		return children["new"]("")
	}
	// broken has waiters of every kind, and then forbids io_uring_enter.
	children["broken"] = func(arg string) (o outcome) {
		var errno int
		fmt.Sscan(arg, &errno)
		return breakUnderWaiters(syscall.Errno(errno))
	}
}

func TestWhatSeccompForbidsIsNamed(t *testing.T) {
	for _, c := range []struct {
		name  string
		nr    int
		errno syscall.Errno
	}{
		{"setup", unix.SYS_IO_URING_SETUP, syscall.EPERM}, {"setup", unix.SYS_IO_URING_SETUP, syscall.ENOSYS},
		{"enter", unix.SYS_IO_URING_ENTER, syscall.EPERM}, {"enter", unix.SYS_IO_URING_ENTER, syscall.EACCES},
		{"register", unix.SYS_IO_URING_REGISTER, syscall.EPERM},
	} {
		t.Run(c.name+" "+c.errno.Error(), func(t *testing.T) {
			f := inject(t, 19, fmt.Sprintf("seccomp forbids %s: %d", c.name, int(c.errno)))
			o := f.run(fmt.Sprintf("seccomp:%d %d", c.nr, int(c.errno)), nil)
			if o.Note != fmt.Sprint(int(c.errno)) || !strings.Contains(o.Err, "seccomp") || !strings.Contains(o.Err, "io_uring_"+c.name) {
				t.Errorf("New says errno %s, %q", o.Note, o.Err)
			}
		})
	}
}

// breakUnderWaiters is for a child. Each waiter has to have its error once, and soon.
func breakUnderWaiters(errno syscall.Errno) (o outcome) {
	const many = 50
	r, err := rio.New(nil)
	if err != nil {
		return failed(err)
	}
	pr, pw, _ := os.Pipe()
	var waiting []rio.Completion[int]
	for range many {
		waiting = append(waiting, r.ReadAt(pr, make([]byte, 8), 0))
	}
	r.SubmitAll()
	results := make(chan error, many)
	var entered sync.WaitGroup
	for _, c := range waiting {
		entered.Add(1)
		go func() {
			entered.Done()
			_, err := c.Wait()
			results <- err
		}()
	}
	entered.Wait()
	if err := seccomptest.Forbid(unix.SYS_IO_URING_ENTER, errno); err != nil {
		return failed(err)
	}
	began := time.Now()
	if _, err := r.Nop().Wait(); !errors.Is(err, errno) {
		o.Lost++
		o.Err = fmt.Sprintf("a NOP says %v", err)
	}
	late := time.After(10 * time.Second)
	for range many {
		select {
		case err := <-results:
			o.Ops++
			if !errors.Is(err, errno) {
				o.Lost++
				o.Err = fmt.Sprint("a waiter has got ", err)
			}
		case <-late:
			o.Lost++
			o.Err = "a waiter hangs"
		}
	}
	o.CPU = time.Since(began)
	for _, c := range waiting {
		if _, err := c.Wait(); err != rio.ErrWaited {
			o.Lost++
			o.Err = fmt.Sprint("a second Wait says ", err)
		}
	}
	if err := r.Close(); !errors.Is(err, errno) {
		o.Lost++
		o.Err = fmt.Sprint("Close says ", err)
	}
	// What the kernel has stays pinned for good, as documented: this process ends with it.
	pr.Close()
	pw.Close()
	fmt.Printf("\nOUTCOME {\"Ops\":%d,\"Lost\":%d,\"Err\":%q,\"CPU\":%d}\n", o.Ops, o.Lost, o.Err, o.CPU)
	os.Exit(0)
	return o
}

func TestARingThatBreaksTellsEveryWaiterSoon(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EPERM, syscall.EBADFD, syscall.ENOMEM, syscall.EFAULT} {
		t.Run(errno.Error(), func(t *testing.T) {
			f := inject(t, 3, fmt.Sprintf("enter fails for good under 50 waiters: %d", int(errno)))
			if o := f.run(fmt.Sprintf("broken:%d", int(errno)), nil); o.CPU > 5*time.Second {
				t.Error("it took", o.CPU)
			}
		})
	}
}
