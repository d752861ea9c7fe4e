// Package ringtest makes the rings of the suites, and asserts that it was they who did the work.
package ringtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
)

// Long reports whether the long forms of the suites are asked for.
func Long() bool { return os.Getenv("RIO_CONFORMANCE_LONG") != "" }

// Main is for TestMain: it fails when tests have left descriptors open. Where io_uring is forbidden it skips all of them,
// unless RIO_TEST_REQUIRE is set.
func Main(m *testing.M) {
	r, err := rio.New(nil)
	if err != nil {
		if os.Getenv("RIO_TEST_REQUIRE") == "" && (errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EPERM)) {
			fmt.Println("skipped:", err)
			os.Exit(0)
		}
		fmt.Println(err)
		os.Exit(1)
	}
	r.Close()
	before := openFDs()
	code := m.Run()
	after := openFDs()
	for i := 0; i < 100 && len(after) > len(before); i++ {
		time.Sleep(10 * time.Millisecond) // the kernel closes some late
		after = openFDs()
	}
	if len(after) > len(before)+2 && code == 0 { // the runtime's epoll, the race detector's /dev/null
		fmt.Println("descriptors were left open:", after)
		code = 1
	}
	os.Exit(code)
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

// New returns a Ring that is closed when the test ends, and has nothing in flight then. The test fails if the Ring has
// not done at least so many operations: what is tested must not be a fallback.
func New(t testing.TB, cfg *rio.Config, operations uint64) *rio.Ring {
	t.Helper()
	r, err := rio.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error("Close:", err)
		}
		s := r.Stats()
		if s.InFlight != 0 || s.Started != s.Completed {
			t.Errorf("after Close: %+v", s)
		}
		if t.Skipped() || t.Failed() {
			return
		}
		requests := operations
		if runtime.GOMAXPROCS(0) > 1 { // a Conn sends without the ring what can be sent at once, and waits on Go's poller
			operations, requests = operations/10, 1
		}
		if s.Completed < operations || s.Submitted < requests || s.Enters == 0 && (cfg == nil || !cfg.SQPoll) {
			t.Errorf("the ring has done less than %d operations: %+v", operations, s)
		}
	})
	return r
}

// Address is one that a test can listen on: an IP network's with any port, a name in a temporary directory for a Unix
// socket. It skips where the machine doesn't have the network.
func Address(t testing.TB, network string) string {
	t.Helper()
	switch network {
	case "unix":
		dir, err := os.MkdirTemp("", "rio") // t.TempDir is too long for a sockaddr_un
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		return filepath.Join(dir, "s")
	case "tcp6":
		l, err := net.Listen("tcp6", "[::1]:0")
		if err != nil {
			t.Skip("there is no IPv6 here:", err)
		}
		l.Close()
		return "[::1]:0"
	}
	return "127.0.0.1:0"
}

// Dialer dials on r, whatever address it is given: on network, to address.
func Dialer(r *rio.Ring, network, address string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		c, err := r.Dial(ctx, network, address)
		if err != nil {
			return nil, err // not a *rio.Conn that is nil
		}
		return c, nil
	}
}
