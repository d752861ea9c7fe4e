package pebblevfs

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/seed-9c58b644/rio"
)

// newFS returns an FS on a new ring, and skips the test where there can be none.
func newFS(t testing.TB) (*FS, *rio.Ring) {
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
	return New(ring), ring
}

// create makes a file in a new directory that holds content.
func create(t testing.TB, fs vfs.FS, content string) (f vfs.File, name string) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "file")
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if n, err := f.Write([]byte(content)); n != len(content) || err != nil {
		t.Fatalf("Write: %d, %v", n, err)
	}
	return f, name
}

// wantOps runs do and fails the test unless the ring has done exactly n operations for it. What a File does at once, or by
// hand, needs no request of the kernel's.
func wantOps(t testing.TB, ring *rio.Ring, n uint64, what string, do func()) {
	t.Helper()
	before := ring.Stats()
	do()
	after := ring.Stats()
	if got := after.Started - before.Started; got != n {
		t.Errorf("%s: %d operations on the ring, want %d", what, got, n)
	}
	if asked := what == "SyncTo" || what == "Preallocate"; asked && after.Submitted-before.Submitted < n {
		t.Errorf("%s: the kernel took %d requests, want %d", what, after.Submitted-before.Submitted, n)
	}
}

// wantContent fails the test unless the file holds content, whoever reads it.
func wantContent(t testing.TB, name, content string) {
	t.Helper()
	if got, err := os.ReadFile(name); string(got) != content || err != nil {
		t.Errorf("%s holds %q, %v; want %q", filepath.Base(name), got, err, content)
	}
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
