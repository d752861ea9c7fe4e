package faults

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
)

var long = flag.Bool("long", false, "run the long forms")

// rounds is how often something is done: in short runs, by default, and with -long.
func rounds(short, normal, most int) int {
	switch {
	case *long:
		return most
	case testing.Short():
		return short
	}
	return normal
}

func TestMain(m *testing.M) {
	os.Setenv("RIO_BACKEND", "iouring") // in children too: what Auto would make of a fault is another question
	if name := os.Getenv(childEnv); name != "" {
		os.Exit(child(name))
	}
	flag.Parse()
	r, err := rio.New(nil)
	if err != nil {
		fmt.Println("no ring:", err)
		if os.Getenv("RIO_TEST_REQUIRE") != "" {
			os.Exit(1)
		}
		os.Exit(0)
	}
	r.Close()
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		l.Close() // the runtime's own descriptors are there from now on
	}
	code := m.Run()
	if !report() && code == 0 {
		code = 1
	}
	os.Exit(code)
}

// A fault is one of the list, as a test injects it, and what became of the operations under it.
type fault struct {
	t       *testing.T
	number  int
	what    string
	ops     atomic.Int64
	lost    atomic.Int64 // results that never came, or came twice; errors that have nothing to do with the fault
	wrong   atomic.Int64 // bytes in a wrong file or buffer
	skipped bool
	limit   time.Duration // for a child, if it needs more than most

	goroutines, descriptors, pinned int

	mu      sync.Mutex
	rings   []*rio.Ring
	figures []string
}

var tried struct {
	sync.Mutex
	faults []*fault
}

// inject begins the test of fault number of the list. When the test is over nothing may be left.
func inject(t *testing.T, number int, what string) *fault {
	t.Helper()
	f := &fault{t: t, number: number, what: what}
	goroutines, descriptors := runtime.NumGoroutine(), openDescriptors()
	t.Cleanup(func() {
		for range 500 {
			f.goroutines, f.descriptors = runtime.NumGoroutine()-goroutines, openDescriptors()-descriptors
			if f.goroutines <= 0 && f.descriptors <= 0 {
				break
			}
			if f.descriptors > 0 {
				runtime.GC() // a forgotten os.File
			}
			time.Sleep(10 * time.Millisecond)
		}
		f.goroutines, f.descriptors = max(f.goroutines, 0), max(f.descriptors, 0)
		for _, r := range f.rings {
			f.pinned += r.Stats().InFlight
		}
		f.skipped = t.Skipped()
		tried.Lock()
		tried.faults = append(tried.faults, f)
		tried.Unlock()
		if f.goroutines+f.descriptors+f.pinned > 0 {
			buf := make([]byte, 1<<16)
			t.Errorf("left over: %d goroutines, %d descriptors, %d pinned buffers\n%s", f.goroutines, f.descriptors, f.pinned, buf[:runtime.Stack(buf, true)])
		}
		if n, w := f.lost.Load(), f.wrong.Load(); n != 0 || w != 0 {
			t.Errorf("%d results lost or doubled, %d bytes in a wrong place", n, w)
		}
	})
	return f
}

// ring opens a Ring that is closed when the test ends, if it isn't before.
func (f *fault) ring(cfg *rio.Config) *rio.Ring {
	f.t.Helper()
	r, err := rio.New(cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	f.rings = append(f.rings, r)
	f.mu.Unlock()
	f.t.Cleanup(func() { r.Close() })
	return r
}

// say has a figure printed below the table's line.
func (f *fault) say(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.figures = append(f.figures, fmt.Sprintf(format, args...))
}

// ok waits for c, which is to succeed in spite of the fault.
func ok[T any](f *fault, c rio.Completion[T]) (v T) {
	f.t.Helper()
	f.ops.Add(1)
	v, err := c.Wait()
	if err != nil {
		f.lost.Add(1)
		f.t.Error(err)
	}
	return v
}

// within fails the test if do takes for ever.
func (f *fault) within(d time.Duration, what string, do func()) bool {
	f.t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
		return true
	case <-time.After(d):
		buf := make([]byte, 1<<20)
		f.t.Fatalf("%s hangs\n%s", what, buf[:runtime.Stack(buf, true)])
		return false
	}
}

// eventually waits for a state that nothing tells about.
func (f *fault) eventually(what string, cond func() bool) {
	f.t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			f.t.Fatal("it never came about: " + what)
		}
	}
}

// same counts the bytes that are not as they should be.
func (f *fault) same(what string, got, want []byte) {
	f.t.Helper()
	if n := differ(got, want); n > 0 {
		f.wrong.Add(int64(n))
		f.t.Errorf("%s: %d bytes of %d are wrong", what, n, len(want))
	}
}

// differ is how many bytes of got are not as in want, or missing, or too many.
func differ(got, want []byte) int {
	if bytes.Equal(got, want) {
		return 0
	}
	n := max(len(got), len(want)) - min(len(got), len(want))
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			n++
		}
	}
	return n
}

func TestBytesThatAreWrongMissingOrTooManyAreCounted(t *testing.T) {
	for _, c := range []struct {
		got, want string
		n         int
	}{{"", "", 0}, {"same", "same", 0}, {"sane", "same", 1}, {"sam", "same", 1}, {"sames", "same", 1}, {"x", "same", 4}, {"", "same", 4}} {
		if n := differ([]byte(c.got), []byte(c.want)); n != c.n {
			t.Errorf("%q for %q: %d, want %d", c.got, c.want, n, c.n)
		}
	}
}

// lacks skips the test, unless this machine is said to have all that setup.sh installs.
func lacks(t *testing.T, why ...any) {
	t.Helper()
	if os.Getenv("RIO_FAULTS_REQUIRE") != "" && os.Getuid() == 0 {
		t.Fatal(append([]any{"it has to run here: "}, why...)...)
	}
	t.Skip(why...)
}

// root is for tests that only root can do, with those programs.
func root(t *testing.T, programs ...string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only for root")
	}
	program(t, programs...)
}

func program(t *testing.T, names ...string) {
	t.Helper()
	os.Setenv("PATH", os.Getenv("PATH")+":/sbin:/usr/sbin")
	for _, n := range names {
		if _, err := exec.LookPath(n); err != nil {
			lacks(t, err)
		}
	}
}

// command runs a program that has to succeed.
func command(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func openDescriptors() int {
	n := 0
	es, _ := os.ReadDir("/proc/self/fd")
	for _, e := range es {
		if name, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && name != "/dev/null" { // the race detector's
			n++
		}
	}
	return n
}

// highestDescriptor is the highest that is open, or the one that was open to look.
func highestDescriptor() (highest int) {
	es, _ := os.ReadDir("/proc/self/fd")
	for _, e := range es {
		n, _ := strconv.Atoi(e.Name())
		highest = max(highest, n)
	}
	return highest
}

// report prints the table, and says whether all is well.
func report() bool {
	tried.Lock()
	defer tried.Unlock()
	if len(tried.faults) == 0 {
		return true
	}
	sort.SliceStable(tried.faults, func(i, j int) bool { return tried.faults[i].number < tried.faults[j].number })
	out := io.Writer(os.Stdout)
	if name := os.Getenv("RIO_FAULTS_TABLE"); name != "" { // go test shows nothing of what passes
		if file, err := os.Create(name); err == nil {
			defer file.Close()
			out = io.MultiWriter(os.Stdout, file)
		}
	}
	const row = "%-4v %-58v %10v %7v %7v %7v %7v %7v\n"
	fmt.Fprintf(out, row, "", "fault", "operations", "lost", "wrong", "gorout.", "descr.", "pinned")
	var n, skipped int
	var ops, lost, wrong int64
	var goroutines, descriptors, pinned int
	for _, f := range tried.faults {
		if f.skipped {
			skipped++
			fmt.Fprintf(out, "%-4d %-58s    skipped\n", f.number, f.what)
			continue
		}
		fmt.Fprintf(out, row, f.number, f.what, f.ops.Load(), f.lost.Load(), f.wrong.Load(), f.goroutines, f.descriptors, f.pinned)
		for _, s := range f.figures {
			fmt.Fprintf(out, "     %s\n", s)
		}
		n++
		ops, lost, wrong = ops+f.ops.Load(), lost+f.lost.Load(), wrong+f.wrong.Load()
		goroutines, descriptors, pinned = goroutines+f.goroutines, descriptors+f.descriptors, pinned+f.pinned
	}
	fmt.Fprintf(out, row, "", fmt.Sprintf("%d faults tried, %d skipped", n, skipped), ops, lost, wrong, goroutines, descriptors, pinned)
	return lost+wrong == 0 && goroutines+descriptors+pinned == 0
}
