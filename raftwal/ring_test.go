package raftwal

import (
	"errors"
	"flag"
	"os"
	"syscall"
	"testing"

	"github.com/seed-9c58b644/rio"
)

// newRing returns a new ring, and skips the test where there can be none.
func newRing(t testing.TB) *rio.Ring {
	t.Helper()
	ring, err := rio.New(nil)
	switch {
	case err == nil:
	case os.Getenv("RIO_TEST_REQUIRE") == "1":
		t.Fatal("RIO_TEST_REQUIRE=1, but there is no io_uring: ", err)
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, syscall.EPERM):
		t.Skip("no io_uring: ", err)
	default:
		t.Fatal(err)
	}
	t.Cleanup(func() { ring.Close() })
	return ring
}

// Examples can't skip, so where there is no ring they are not even begun.
func TestMain(m *testing.M) {
	flag.Parse()
	if ring, err := rio.New(nil); err == nil {
		ring.Close()
	} else if skip := flag.Lookup("test.skip"); skip.Value.String() == "" && os.Getenv("RIO_TEST_REQUIRE") != "1" {
		skip.Value.Set("^Example")
	}
	os.Exit(m.Run())
}
