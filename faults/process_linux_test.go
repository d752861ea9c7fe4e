package faults

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed-9c58b644/rio"
)

func TestFewProcessorsAndNoPreemption(t *testing.T) {
	n := rounds(5, 20, 200)
	for _, c := range []struct {
		name   string
		env    []string
		prefix []string
	}{
		{"GOMAXPROCS=1", []string{"GOMAXPROCS=1"}, nil},
		{"one CPU", nil, []string{"taskset", "-c", "0"}},
		{"asyncpreemptoff=1", []string{"GODEBUG=asyncpreemptoff=1"}, nil},
		{"asyncpreemptoff=1, GOMAXPROCS=1", []string{"GODEBUG=asyncpreemptoff=1", "GOMAXPROCS=1"}, nil},
	} {
		for _, child := range []string{"work", "small", "sqpoll"} {
			t.Run(c.name+" "+child, func(t *testing.T) {
				f := inject(t, 16, c.name+", "+child)
				if c.prefix != nil {
					program(t, c.prefix[0])
				}
				f.run(fmt.Sprintf("%s:%d", child, n), c.env, c.prefix...)
			})
		}
	}
}

// A thread that computes in C makes no system call, and no signal of Go's reaches it: what it has begun completes all the same.
func TestResultsForAThreadThatComputesInC(t *testing.T) {
	f := inject(t, 16, "a thread that computes in C")
	program := t.TempDir() + "/computes"
	build := exec.Command("go", "build", "-o", program, "./computes")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		lacks(t, "no cgo: ", err, string(out))
	}
	for _, procs := range []string{"1", "2"} {
		f.answer(program, procs, rounds(50, 200, 2000))
	}
}

// answer runs the program with so many Ps, and sends a byte for each that it prints.
func (f *fault) answer(program, procs string, n int) {
	f.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	defer l.Close()
	var complaint strings.Builder
	cmd := exec.Command(program, l.Addr().String(), strconv.Itoa(n))
	cmd.Env = append(os.Environ(), "GOMAXPROCS="+procs)
	cmd.Stderr = &complaint
	begun, err := cmd.StdoutPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	late := time.AfterFunc(90*time.Second, func() { cmd.Process.Signal(syscall.SIGQUIT) })
	defer late.Stop()
	l.(*net.TCPListener).SetDeadline(time.Now().Add(20 * time.Second)) // it may have ended
	var sent int64
	c, err := l.Accept()
	if err == nil {
		sent, err = io.Copy(c, begun)
		c.Close()
	} else {
		cmd.Process.Kill()
	}
	if ended := cmd.Wait(); err == nil {
		err = ended
	}
	f.ops.Add(sent)
	if err != nil || sent != int64(n) {
		f.lost.Add(int64(n) - sent + 1)
		f.t.Errorf("GOMAXPROCS=%s: %d of %d: %v %s", procs, sent, n, err, complaint.String())
	}
}

func TestCollectionsAllTheTime(t *testing.T) {
	f := inject(t, 8, "GOGC=1 and collections between submission and completion")
	f.run(fmt.Sprintf("gc:%d", rounds(5, 20, 200)), []string{"GOGC=1"})
}

func init() {
	children["gc"] = func(arg string) outcome {
		stop := make(chan bool)
		var garbage sync.WaitGroup
		garbage.Add(1)
		go func() {
			defer garbage.Done()
			var keep [3000][]byte
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				for j := range keep {
					keep[j] = make([]byte, 1+(i*31+j*17)%4096) // of the sizes of the buffers
				}
				runtime.GC()
			}
		}()
		o := children["work"](arg)
		close(stop)
		garbage.Wait()
		return o
	}
	// signals counts the profiler's signals while it works.
	children["signals"] = func(arg string) outcome {
		hz, n, _ := strings.Cut(arg, " ")
		rate, _ := strconv.Atoi(hz)
		runtime.SetCPUProfileRate(0)
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGALRM, syscall.SIGUSR1, syscall.SIGPROF)
		defer signal.Stop(c)
		usec := int64(1e6 / rate)
		timer := [4]int64{0, usec, 0, usec} // struct itimerval
		unix.Syscall(unix.SYS_SETITIMER, 0, uintptr(unsafe.Pointer(&timer)), 0)
		o := children["work"](n)
		timer = [4]int64{}
		unix.Syscall(unix.SYS_SETITIMER, 0, uintptr(unsafe.Pointer(&timer)), 0)
		return o
	}
}

func TestAStormOfSignals(t *testing.T) {
	f := inject(t, 17, "SIGALRM and SIGPROF 4,000 times a second, SIGURG, SIGSTOP, SIGCONT")
	cmd := spawn(fmt.Sprintf("signals:4000 %d", rounds(100, 300, 2000)))
	stop := make(chan bool)
	var storm sync.WaitGroup
	defer storm.Wait()
	defer close(stop)
	f.finish(cmd, func(p *os.Process) {
		storm.Go(func() {
			ready := false
			for {
				select {
				case <-stop:
					return
				case <-time.After(250 * time.Microsecond):
				}
				if ready = ready || catches(p.Pid, syscall.SIGPROF); ready { // or it would end by it
					p.Signal(syscall.SIGPROF)
				}
			}
		})
		storm.Add(1)
		go func() {
			defer storm.Done()
			for {
				select {
				case <-stop:
					return
				case <-time.After(2 * time.Millisecond):
				}
				p.Signal(syscall.SIGSTOP) // an error when it has ended
				p.Signal(syscall.SIGCONT)
				p.Signal(syscall.SIGURG)
			}
		}()
	})
}

// catches says whether a process has a handler for a signal.
func catches(pid int, s syscall.Signal) bool {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, mask, _ := strings.Cut(string(b), "SigCgt:")
	mask, _, _ = strings.Cut(strings.TrimSpace(mask), "\n")
	bits, err := strconv.ParseUint(mask, 16, 64)
	return err == nil && bits>>(s-1)&1 != 0
}

func TestFewDescriptors(t *testing.T) {
	f := inject(t, 18, "RLIMIT_NOFILE leaves three")
	if o := f.run("descriptors", nil); o.Note != "" {
		t.Error(o.Note)
	}
}

func init() {
	children["descriptors"] = func(string) (o outcome) {
		note := func(format string, args ...any) { o.Note += fmt.Sprintf(format+"; ", args...) }
		r, err := rio.New(nil)
		if err != nil {
			return failed(err)
		}
		defer r.Close()
		l, err := r.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return failed(err)
		}
		defer l.Close()
		var files []*os.File
		defer func() {
			for _, f := range files {
				f.Close()
			}
		}()
		few := uint64(highestDescriptor() + 4)
		unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: few, Max: few})
		peer, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			note("Dial: %v", err)
			return o
		}
		defer peer.Close()
		for {
			f, err := os.Open("/dev/null")
			if err != nil {
				break
			}
			files = append(files, f)
		}
		// The connection waits in the queue; there is no descriptor for it.
		_, err = l.Accept()
		var ne interface{ Temporary() bool } // http.Server looks at it
		if !errors.Is(err, syscall.EMFILE) || !errors.As(err, &ne) || !ne.Temporary() {
			note("Accept says %v", err)
		}
		if _, err := r.Accept(l).Wait(); !errors.Is(err, syscall.EMFILE) {
			note("Ring.Accept says %v", err)
		}
		if _, err := rio.New(nil); !errors.Is(err, syscall.EMFILE) {
			note("New says %v", err)
		}
		if _, err := r.OpenFile("/dev/null", os.O_RDWR, 0); !errors.Is(err, syscall.EMFILE) {
			note("OpenFile says %v", err)
		}
		if _, err := r.Nop().Wait(); err != nil {
			note("Nop says %v", err)
		}
		files[0].Close()
		files = files[1:]
		c, err := l.Accept()
		if err != nil {
			note("Accept says %v though there is a descriptor again", err)
		} else {
			c.Close()
		}
		o.Ops = 6
		return o
	}
	// memlock opens rings until memory runs out.
	children["memlock"] = func(string) (o outcome) {
		var rings []*rio.Ring
		defer func() {
			for _, r := range rings {
				if err := r.Close(); err != nil {
					o.Lost++
					o.Err = err.Error()
				}
			}
		}()
		for range 4 {
			r, err := rio.New(&rio.Config{Depth: 4096})
			o.Ops++
			if err != nil {
				o.Note = err.Error()
				if !errors.Is(err, syscall.ENOMEM) || !strings.Contains(strings.ToLower(err.Error()), "memlock") {
					o.Lost++
					o.Err = err.Error()
				}
				return o
			}
			rings = append(rings, r)
		}
		return o
	}
}

func TestLittleLockedMemory(t *testing.T) {
	f := inject(t, 18, "RLIMIT_MEMLOCK of 64 KiB, as nobody")
	root(t, "setpriv", "prlimit")
	o := f.finish(nobody(f, "memlock", "prlimit", "--memlock=65536:65536"))
	// Kernels between 5.12 and 6.15 charge nothing to this limit.
	t.Logf("%d rings were asked for: %q", o.Ops, o.Note)
}

func TestTheSysctl(t *testing.T) {
	f := inject(t, 19, "kernel.io_uring_disabled=1, as nobody")
	root(t, "setpriv")
	const name = "/proc/sys/kernel/io_uring_disabled"
	was, err := os.ReadFile(name)
	if err != nil {
		t.Skip("no such sysctl: ", err) // before 6.6
	}
	cmd := nobody(f, "new")
	if err := os.WriteFile(name, []byte("1"), 0); err != nil {
		t.Skip("it can't be set here: ", err)
	}
	defer os.WriteFile(name, was, 0)
	if o := f.finish(cmd); o.Note != fmt.Sprint(int(syscall.EPERM)) || !strings.Contains(o.Err, "io_uring_disabled is 1") {
		t.Errorf("New says errno %s, %q", o.Note, o.Err)
	}
	f.run("work:1", nil) // root goes on
}

func TestChildrenDoNotHaveTheRing(t *testing.T) {
	f := inject(t, 15, "fork and exec with operations in flight")
	r := f.ring(nil)
	pr, pw := pipe(f)
	h, err := r.NewFile(pr)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	listen(f, r) // a socket that a child must not have
	var cs []rio.Completion[int]
	bufs := make([][]byte, 50)
	for i := range bufs {
		bufs[i] = make([]byte, 1)
		cs = append(cs, r.ReadAt(h, bufs[i], 0))
	}
	r.SubmitAll()
	for i := range bufs {
		out, err := exec.Command("/bin/ls", "-l", "/proc/self/fd").CombinedOutput()
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"io_uring", "eventfd", "socket:"} {
			if strings.Contains(string(out), secret) {
				t.Fatalf("a child has %s\n%s", secret, out)
			}
		}
		if _, err := pw.Write([]byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	var seen [256]bool
	for i, c := range cs {
		if n := ok(f, c); n != 1 || seen[bufs[i][0]] {
			f.lost.Add(1)
		}
		seen[bufs[i][0]] = true
	}
}

// TestProcessesThatDie ends processes with operations in flight in each way there is, and expects the kernel to have let go of
// what they had: a file's lock, and a port.
func TestProcessesThatDie(t *testing.T) {
	for _, how := range []string{"exit", "panic", "kill", "exec"} {
		t.Run(how, func(t *testing.T) {
			f := inject(t, 34, "a process ends with operations in flight: "+how)
			name := t.TempDir() + "/locked"
			cmd := spawn("die:" + how + " " + name)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			in := bufio.NewReader(out)
			line, _ := in.ReadString('\n')
			address, ok := strings.CutPrefix(strings.TrimSpace(line), "READY ")
			if !ok {
				t.Fatal("the child says ", line)
			}
			switch how {
			case "kill":
				cmd.Process.Kill()
			case "exec": // it has become somebody else, who ends when this is closed
				line, _ := in.ReadString('\n')
				if line != "I am another\n" {
					t.Error("it says ", line)
				}
			}
			io.Copy(io.Discard, in)
			cmd.Wait()
			f.ops.Add(64)
			file, err := os.OpenFile(name, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			began := time.Now()
			f.eventually("the lock is free", func() bool { return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil })
			var l net.Listener
			f.eventually("the port is free", func() bool {
				l, err = net.Listen("tcp", address)
				return err == nil
			})
			l.Close()
			t.Log("its lock and its port were free after", time.Since(began))
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			// Each block is there in full or not at all, and in its place.
			for i := 0; i+4096 <= len(b); i += 4096 {
				if got := b[i : i+4096]; got[0] != 0 {
					f.same("a block", got, tagged("die", i/4096, 0, 4096))
				}
			}
		})
	}
}

func init() {
	children["die"] = func(arg string) (o outcome) {
		how, name, _ := strings.Cut(arg, " ")
		r, err := rio.New(nil)
		if err != nil {
			panic(err)
		}
		file, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			panic(err)
		}
		if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
			panic(err)
		}
		l, err := r.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		accept := r.Accept(l)
		pr, _, _ := os.Pipe()
		for i := range 32 {
			r.WriteAt(file, tagged("die", i, 0, 4096), int64(i*4096))
			r.ReadAt(pr, make([]byte, 100), 0)
		}
		r.SubmitAll()
		go accept.Wait()
		fmt.Println("READY", l.Addr())
		switch how {
		case "exit":
			os.Exit(3)
		case "panic":
			panic("at the wrong moment")
		case "exec":
			syscall.Exec("/bin/echo", []string{"echo", "I am another"}, nil)
		}
		select {}
	}
}

func TestRingsOneAfterTheOther(t *testing.T) {
	n := rounds(300, 2000, 10000)
	f := inject(t, 35, fmt.Sprintf("%d rings are opened and closed", n))
	mappings := func() int {
		b, _ := os.ReadFile("/proc/self/maps")
		return strings.Count(string(b), "[io_uring]")
	}
	before := mappings()
	for i := range n {
		r, err := rio.New(&rio.Config{Depth: 8 << (i % 4)})
		if err != nil {
			f.lost.Add(1)
			t.Fatal(i, err)
		}
		c := r.Nop()
		if i%2 == 0 {
			ok(f, c)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		f.pinned += r.Stats().InFlight
	}
	if m := mappings(); m != before {
		t.Errorf("there are %d mappings of rings, were %d", m, before)
	}
}
