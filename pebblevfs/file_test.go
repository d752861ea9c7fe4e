package pebblevfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/seed-9c58b644/rio"
)

func TestEachTransferIsAnOperationOfTheRing(t *testing.T) {
	fs, ring := newFS(t)
	f, name := create(t, fs, "")
	wantOps(t, ring, 1, "Write", func() { f.Write([]byte("hello, ")) })
	wantOps(t, ring, 1, "Write again", func() { f.Write([]byte("there")) })
	wantContent(t, name, "hello, there")
	wantOps(t, ring, 1, "WriteAt", func() { f.WriteAt([]byte("world"), 7) })
	wantContent(t, name, "hello, world")
	buf := make([]byte, 5)
	wantOps(t, ring, 1, "ReadAt", func() {
		if n, err := f.ReadAt(buf, 7); string(buf[:n]) != "world" || err != nil {
			t.Errorf("ReadAt: %q, %v", buf[:n], err)
		}
	})
	wantOps(t, ring, 1, "Read", func() { // from where the second Write has left the position
		if n, err := f.Read(buf); n != 0 || err != io.EOF {
			t.Errorf("Read at the end: %d, %v", n, err)
		}
	})
	wantOps(t, ring, 1, "Sync", func() { f.Sync() })
	wantOps(t, ring, 1, "SyncData", func() { f.SyncData() })
	wantOps(t, ring, 1, "SyncTo", func() { f.SyncTo(12) })
	wantOps(t, ring, 1, "Preallocate", func() { f.Preallocate(0, 4096) })
	wantContent(t, name, "hello, world")
}

func TestReadingKeepsGosContracts(t *testing.T) {
	fs, _ := newFS(t)
	content := strings.Repeat("0123456789abcdef", 1000)
	f, name := create(t, fs, content)
	// SectionReader asks for the ReadAt; the file itself has a position, and no Seek in vfs.File.
	if err := iotest.TestReader(io.NewSectionReader(f, 0, int64(len(content))), []byte(content)); err != nil {
		t.Error(err)
	}
	opened, err := fs.Open(name, vfs.SequentialReadsOption, vfs.RandomReadsOption)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	if err := iotest.TestReader(struct{ io.Reader }{opened}, []byte(content)); err != nil {
		t.Error(err)
	}
	buf := make([]byte, 100)
	if n, err := opened.ReadAt(buf, int64(len(content))-10); n != 10 || err != io.EOF || string(buf[:n]) != content[len(content)-10:] {
		t.Errorf("ReadAt over the end: %q, %v", buf[:n], err)
	}
	if n, err := opened.Write([]byte("x")); n != 0 || err == nil {
		t.Errorf("Write to a file opened for reading: %d, %v", n, err)
	}
}

func TestPreallocateReservesRoomAndKeepsTheSize(t *testing.T) {
	fs, _ := newFS(t)
	f, name := create(t, fs, "four")
	const length = 1 << 20
	if err := f.Preallocate(0, length); errors.Is(err, errors.ErrUnsupported) {
		t.Skip("this file system has no fallocate: ", err)
	} else if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if room := blocks(info) * 512; info.Size() != 4 || room < length {
		t.Errorf("size %d, room for %d; want 4, and %d", info.Size(), room, length)
	}
}

func TestStatDescribesAFileThatHasLostItsName(t *testing.T) {
	fs, _ := newFS(t)
	f, name := create(t, fs, "content")
	want, err := system.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := fs.Remove(name); err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() != 7 || info.Name() != "file" || !os.SameFile(info, want) && !sameInode(info, want) {
		t.Errorf("Stat: %d bytes, %q", info.Size(), info.Name())
	}
	if got, want := info.DeviceID(), want.DeviceID(); got != want || got == (vfs.DeviceID{}) {
		t.Errorf("device %v, want %v", got, want)
	}
}

func TestFdIsTheFilesOwnUntilClose(t *testing.T) {
	fs, _ := newFS(t)
	f, name := create(t, fs, "")
	if got, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd())); got != name || err != nil {
		t.Errorf("the descriptor is %q, %v; want %q", got, err, name)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if fd := f.Fd(); fd != vfs.InvalidFd {
		t.Errorf("descriptor %d after Close", fd)
	}
}

func TestClosedFileSaysSo(t *testing.T) {
	fs, _ := newFS(t)
	f, _ := create(t, fs, "content")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for what, err := range everyMethod(f) {
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s of a closed file: %v", what, err)
		}
	}
}

func TestFilesOfAClosedRingSaySoAndClose(t *testing.T) {
	fs, ring := newFS(t)
	f, name := create(t, fs, "content")
	ring.Close()
	errs := everyMethod(f)
	if err := errs["Close"]; err != nil {
		t.Errorf("Close: %v", err)
	}
	for _, local := range []string{"Close", "Stat", "Prefetch"} { // these are no operations of the ring
		delete(errs, local)
	}
	for what, err := range errs {
		if !errors.Is(err, rio.ErrClosed) {
			t.Errorf("%s on a closed ring: %v", what, err)
		}
	}
	if f, err := fs.Open(name); f != nil || !errors.Is(err, rio.ErrClosed) {
		t.Errorf("Open on a closed ring: %v, %v", f, err)
	}
	wantContent(t, name, "content")
}

// everyMethod calls every method of f that can fail, Close last.
func everyMethod(f vfs.File) map[string]error {
	errs, buf := make(map[string]error), make([]byte, 1)
	_, errs["Read"] = f.Read(buf)
	_, errs["ReadAt"] = f.ReadAt(buf, 0)
	_, errs["Write"] = f.Write(buf)
	_, errs["WriteAt"] = f.WriteAt(buf, 0)
	errs["Preallocate"] = f.Preallocate(0, 1)
	_, errs["Stat"] = f.Stat()
	errs["Sync"] = f.Sync()
	_, errs["SyncTo"] = f.SyncTo(1)
	errs["SyncData"] = f.SyncData()
	errs["Prefetch"] = f.Prefetch(0, 1)
	errs["Close"] = f.Close()
	return errs
}
