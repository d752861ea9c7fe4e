package rio

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// withProcs has so many Ps until the test ends.
func withProcs(t testing.TB, n int) {
	t.Helper()
	before := runtime.GOMAXPROCS(n)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

// canCoop skips where there is no io_uring, or the kernel knows no IORING_SETUP_COOP_TASKRUN.
func canCoop(t testing.TB) {
	t.Helper()
	if os.Getenv("RIO_BACKEND") != "" {
		t.Skip("RIO_BACKEND may rule out an io_uring")
	}
	k, err := uring.Open(uring.Config{Entries: 8, CQEntries: 16, Flags: uring.SetupCoopTaskrun})
	if err != nil {
		t.Skip(err)
	}
	k.Close()
}

// With one P a completion interrupts nobody: whoever it is for can't run before the goroutine that does. With several, and
// where the caller wants other things of the kernel, it does.
func TestCompletionsInterruptOnlyWhereThatHelps(t *testing.T) {
	firstLaneOnly(t)
	canCoop(t)
	for _, c := range []struct {
		procs int
		cfg   Config
		coop  bool
	}{
		{1, Config{Backend: IOUring}, true},
		{2, Config{Backend: IOUring}, false},
		{1, Config{Backend: IOUring, SQPoll: true}, false},
		{1, Config{Backend: IOUring, SetupFlags: uring.SetupClamp}, false},
	} {
		withProcs(t, c.procs)
		r, err := New(&c.cfg)
		if err != nil {
			t.Fatal(c, err)
		}
		if _, err := r.Nop().Wait(); err != nil {
			t.Error(c, err)
		}
		if coop := r.k.Flags&uring.SetupCoopTaskrun != 0; coop != c.coop {
			t.Errorf("%d Ps, %+v: COOP_TASKRUN is %v", c.procs, c.cfg, coop)
		}
		if !r.k.Links() && c.coop {
			t.Error("a kernel with COOP_TASKRUN, and without SUBMIT_ALL")
		}
		if c.coop {
			r.widen(2)
			for l := range r.lanes() {
				if first := l == &r.lane; (l.k.Flags&uring.SetupCoopTaskrun != 0) != first {
					t.Errorf("first lane: %v: flags %#x", first, l.k.Flags)
				}
			}
		}
		r.Close()
	}
}

// socketsOf are two Conns that are connected.
func socketsOf(t testing.TB, r *Ring) (a, b *Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []**Conn{&a, &b} {
		if *c, err = r.NewConn(os.NewFile(uintptr(fds[i]), "socket")); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { (*c).Close() })
	}
	return a, b
}

// A Ring that was made with one P may get more. Then the thread that has begun an operation may compute while another waits
// for that: it has its result at the next tick.
func TestACompletionNeedsNoCallOfItsThread(t *testing.T) {
	firstLaneOnly(t)
	canCoop(t)
	withProcs(t, 1)
	r, err := New(&Config{Backend: IOUring})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	withProcs(t, 2)
	a, b := socketsOf(t, r)
	var stop atomic.Bool
	var computing sync.WaitGroup
	buf := make([]byte, 8)
	began := make(chan Completion[int])
	computing.Go(func() {
		runtime.LockOSThread()
		c := r.Recv(a, buf)
		if err := r.SubmitAll(); err != nil {
			t.Error(err)
		}
		began <- c
		for !stop.Load() {
		}
	})
	c := <-began
	if _, err := r.Send(b, []byte("tick")).Wait(); err != nil {
		t.Error(err)
	}
	if n, err := c.Wait(); err != nil || string(buf[:n]) != "tick" {
		t.Errorf("%q, %v", buf[:n], err)
	}
	stop.Store(true)
	computing.Wait()
}

// Who spins around TryWait enters the kernel when there is something for him to do there, and only then.
func TestTryWaitOfWhoSpinsCatchesUp(t *testing.T) {
	firstLaneOnly(t)
	canCoop(t)
	cpus := twoCPUs(t)
	withProcs(t, 1)
	r, err := New(&Config{Backend: IOUring})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	if r.k.Flags&uring.SetupTaskrunFlag == 0 {
		t.Skip("another kernel than canCoop's")
	}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fds[1])
	a, err := r.NewConn(os.NewFile(uintptr(fds[0]), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	var pipe [2]int
	if err := syscall.Pipe2(pipe[:], syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(pipe[0])

	sent := make(chan struct{})
	go func() { // has no P while it waits for the pipe, and needs none to send what comes
		defer close(sent)
		stayOn(cpus[1])
		for {
			if n, err := syscall.Splice(pipe[0], nil, fds[1], nil, 1, 0); n != 1 || err != nil {
				return
			}
		}
	}()
	var entered, idle uint64
	spun := make(chan struct{})
	go func() {
		defer close(spun)
		defer syscall.Close(pipe[1])
		stayOn(cpus[0])
		entered, idle = spin(t, r, a, pipe[1])
	}()
	<-spun
	<-sent
	if entered == 0 || idle > 50 {
		t.Errorf("%d calls for 50 results, %d where there was none in 5000 looks", entered, idle)
	}
}

// twoCPUs are two that this process may use.
func twoCPUs(t *testing.T) (cpus [2]int) {
	t.Helper()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil || set.Count() < 2 {
		t.Skip("with one CPU nothing happens while he spins: ", err)
	}
	for i, n := 0, 0; n < 2; i++ {
		if set.IsSet(i) {
			cpus[n] = i
			n++
		}
	}
	return cpus
}

// stayOn has the goroutine a thread of its own, on that CPU, as long as it lives.
func stayOn(cpu int) {
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(cpu)
	unix.SchedSetaffinity(0, &set)
}

// spin receives 50 times what it has sent itself, by a roundabout way. It says how often TryWait has entered the kernel for that,
// and when there was nothing yet.
func spin(t *testing.T, r *Ring, a *Conn, to int) (entered, idle uint64) {
	buf := make([]byte, 1)
	for range 50 {
		c := r.Recv(a, buf)
		r.SubmitAll()
		before := r.Stats().Enters
		for range 100 {
			if _, ok, err := c.TryWait(); ok {
				t.Error("received what nobody has sent", err)
			}
		}
		idle += r.Stats().Enters - before
		before = r.Stats().Enters
		syscall.Write(to, []byte("x"))
		for ok := false; !ok; {
			var err error
			if _, ok, err = c.TryWait(); err != nil {
				t.Error(err)
			}
		}
		entered += r.Stats().Enters - before
	}
	return entered, idle
}

// A server with one P whose clients are in another process, with IORING_SETUP_COOP_TASKRUN and without: each message that
// arrives would interrupt the one thread that runs, and the sender would have to see to that.
func BenchmarkWorthCoopTaskrun(b *testing.B) {
	canCoop(b)
	for _, with := range []string{"with", "without"} {
		b.Run(with, func(b *testing.B) {
			withProcs(b, 1)
			cfg := &Config{Backend: IOUring}
			if with == "without" {
				cfg.SetupFlags = uring.SetupClamp // other flags rule it out
			}
			r, err := New(cfg)
			if err != nil {
				b.Skip(err)
			}
			defer r.Close()
			answer(b, r, 64)
		})
	}
}

// answer has so many connections from another process, and a goroutine for each that sends back what comes: a message is an
// operation.
func answer(b *testing.B, r *Ring, connections int) { answerBy(b, r, connections, byReads) }

// byReads gives what comes from c to back, until that says that it was enough.
func byReads(c *Conn, back func(p []byte) bool) {
	var p [128]byte
	for {
		if n, err := c.Read(p[:]); err != nil || !back(p[:n]) {
			return
		}
	}
}

func answerBy(b *testing.B, r *Ring, connections int, receive func(c *Conn, back func(p []byte) bool)) {
	l, err := r.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	client := exec.Command(os.Args[0], "-test.run=^TestTheClientOfAnswer$")
	client.Env = append(os.Environ(), "RIO_TEST_ANY=1", "RIO_TEST_ECHO="+l.Addr().String(), fmt.Sprint("RIO_TEST_CONNECTIONS=", connections),
		"GOMAXPROCS=1")
	if err := client.Start(); err != nil {
		b.Fatal(err)
	}
	conns := make([]net.Conn, connections)
	for i := range conns {
		if conns[i], err = l.Accept(); err != nil {
			b.Fatal(err)
		}
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	enough := make(chan bool)
	var all sync.WaitGroup
	b.ResetTimer()
	cpu := cpuTime()
	for _, c := range conns {
		all.Go(func() {
			receive(c.(*Conn), func(p []byte) bool {
				if _, err := c.Write(p); err != nil {
					return false
				}
				if left.Add(-1) == 0 {
					close(enough)
				}
				return true
			})
		})
	}
	<-enough
	b.ReportMetric(float64(cpuTime()-cpu)/float64(b.N), "cpu-ns/op")
	b.StopTimer()
	for _, c := range conns {
		c.Close()
	}
	all.Wait()
	if err := client.Wait(); err != nil {
		b.Error(err)
	}
}

// It is a part of answer.
func TestTheClientOfAnswer(t *testing.T) {
	addr := os.Getenv("RIO_TEST_ECHO")
	if addr == "" {
		return
	}
	n, _ := strconv.Atoi(os.Getenv("RIO_TEST_CONNECTIONS"))
	files := make([]*os.File, n)
	for i := range files {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if files[i], err = c.(*net.TCPConn).File(); err != nil {
			t.Fatal(err)
		}
		c.Close()
		files[i].Fd() // it blocks from here on
		defer files[i].Close()
	}
	var p [128]byte
	for _, f := range files {
		f.Write(p[:])
	}
	for {
		for _, f := range files {
			if _, err := io.ReadFull(f, p[:]); err != nil {
				return // the server has ended
			}
			if _, err := f.Write(p[:]); err != nil {
				return
			}
		}
	}
}
