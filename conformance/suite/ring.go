package suite

import (
	"errors"
	"fmt"
	"log"
	"os"
	"syscall"
	"testing"

	"github.com/seed-9c58b644/rio"
)

const (
	mark    = "ring under test: "
	figures = "%d started, %d completed, %d submitted, %d enters"
)

// Require skips t where io_uring isn't there or is forbidden, and fails it if RIO_TEST_REQUIRE=1 says that it ought to
// be there.
func Require(t testing.TB) {
	t.Helper()
	ring, err := rio.New(nil)
	switch {
	case err == nil:
		ring.Close()
	case os.Getenv("RIO_TEST_REQUIRE") == "1":
		t.Fatal("RIO_TEST_REQUIRE=1, but there is no io_uring: ", err)
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, syscall.EPERM):
		t.Skip("no io_uring: ", err)
	default:
		t.Fatal(err)
	}
}

// Ring is for the files that are added to a copy: the ring that its tests are to run on.
func Ring() *rio.Ring {
	ring, err := rio.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	return ring
}

// Done closes the ring, and prints what it has done for the Result to be read from.
func Done(ring *rio.Ring) {
	if err := ring.Close(); err != nil {
		log.Fatal(err)
	}
	s := ring.Stats()
	fmt.Printf("\n"+mark+figures+"\n", s.Started, s.Completed, s.Submitted, s.Enters)
}
