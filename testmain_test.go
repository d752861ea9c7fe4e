package rio_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
	"github.com/seed-9c58b644/rio/internal/uring"
)

// TestMain fails when a test has left descriptors open, and skips everything where io_uring is forbidden, unless
// RIO_TEST_REQUIRE is set: a green run must not mean that nothing ran.
func TestMain(m *testing.M) {
	simulate()
	threads()
	if os.Getenv("RIO_TEST_ANY") != "" {
		os.Exit(m.Run()) // a test that runs itself where New may fail
	}
	cfg := &rio.Config{Backend: rio.IOUring} // unless RIO_BACKEND says otherwise: these tests don't pass on threads by mistake
	r, err := rio.New(cfg)
	if err != nil {
		if os.Getenv("RIO_TEST_REQUIRE") == "" && (errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES)) {
			fmt.Println("skipped:", err)
			os.Exit(0)
		}
		fmt.Println(err)
		os.Exit(1)
	}
	r.Close()
	before := openFDs()
	leave := onDisk()
	code := m.Run()
	leaveNoScratch()
	leave()
	after := openFDs()
	for i := 0; i < 100 && len(after) > len(before); i++ {
		time.Sleep(10 * time.Millisecond) // the kernel closes some late
		after = openFDs()
	}
	if len(after) > len(before)+2 && code == 0 { // the runtime's epoll, the race detector's /dev/null
		fmt.Println("descriptors were left open:")
		for fd, name := range after {
			if _, ok := before[fd]; !ok {
				fmt.Println(" ", fd, name)
			}
		}
		code = 1
	}
	os.Exit(code)
}

// onDisk has tests make their files on a disk, if the temporary directory is in memory, as on many a machine: there is no page cache
// then, nothing waits, and no operation on a file needs the ring.
func onDisk() (leave func()) {
	inMemory := func(dir string) bool {
		f, err := os.CreateTemp(dir, "rio-test")
		if err != nil {
			return true // or no better
		}
		defer os.Remove(f.Name())
		defer f.Close()
		return uring.InMemory(int(f.Fd()))
	}
	if runtime.GOOS == "linux" && inMemory("") {
		for _, dir := range []string{"/var/tmp", "."} {
			if inMemory(dir) {
				continue
			}
			if dir, err := filepath.Abs(dir); err == nil {
				if tmp, err := os.MkdirTemp(dir, "rio-test"); err == nil {
					os.Chmod(tmp, 0o755) // for tests that run as somebody else
					os.Setenv("TMPDIR", tmp)
					return func() { os.RemoveAll(tmp) }
				}
			}
		}
	}
	return func() {}
}

func openFDs() map[string]string {
	fds := map[string]string{}
	es, _ := os.ReadDir("/proc/self/fd")
	for _, e := range es {
		if name, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			fds[e.Name()] = name
		}
	}
	return fds
}

// newRing returns a Ring that is closed when the test ends, and then has nothing in flight.
func newRing(t testing.TB, cfg *rio.Config) *rio.Ring {
	t.Helper()
	r, err := rio.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error("Close:", err)
		}
		if s := r.Stats(); s.InFlight != 0 || s.Started != s.Completed {
			t.Errorf("after Close: %+v", s)
		}
	})
	return r
}
