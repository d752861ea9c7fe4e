package raftwal

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hashicorp/raft-wal/types"
	"github.com/seed-9c58b644/rio"
)

var _ types.VFS = (*VFS)(nil)

// wantOps runs do and fails the test unless the ring has done exactly n operations for it. What a File does at once, or by
// hand, needs no request of the kernel's.
func wantOps(t testing.TB, ring *rio.Ring, n uint64, what string, do func() error) {
	t.Helper()
	before := ring.Stats()
	if err := do(); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	after := ring.Stats()
	if got := after.Completed - before.Completed; got != n || what == "Create" && after.Submitted-before.Submitted < n {
		t.Errorf("%s: %d operations on the ring, %d requests; want %d", what, got, after.Submitted-before.Submitted, n)
	}
}

func TestCreateMakesRoomAndAFileOfZeros(t *testing.T) {
	ring, dir := newRing(t), t.TempDir()
	var f types.WritableFile
	wantOps(t, ring, 1, "Create", func() (err error) {
		f, err = New(ring).Create(dir, "segment", 1<<20)
		return err
	})
	defer f.Close()
	if got, err := os.ReadFile(filepath.Join(dir, "segment")); !bytes.Equal(got, make([]byte, 1<<20)) || err != nil {
		t.Errorf("%d bytes, %v; want a megabyte of zeros", len(got), err)
	}
	if info, err := os.Stat(filepath.Join(dir, "segment")); err != nil || blocks(info)*512 < 1<<20 {
		t.Errorf("%d blocks, %v", blocks(info), err)
	}
	if f, err := New(ring).Create(dir, "segment", 0); f != nil || !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create of a file that is there: %v, %v", f, err)
	}
}

func TestCreateWithoutRoomLeavesNothing(t *testing.T) {
	ring, dir := newRing(t), t.TempDir()
	for _, size := range []uint64{1 << 62, 1 << 63} {
		if f, err := New(ring).Create(dir, "segment", size); f != nil || err == nil {
			t.Errorf("Create of %d bytes: %v, %v", size, f, err)
		}
		if names, err := New(ring).ListDir(dir); len(names) > 0 || err != nil {
			t.Errorf("left behind: %q, %v", names, err)
		}
	}
}

func TestFirstSyncIsOneOfTheDirectoryToo(t *testing.T) {
	ring, dir := newRing(t), t.TempDir()
	v := New(ring)
	created, err := v.Create(dir, "segment", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer created.Close()
	opened, err := v.OpenWriter(dir, "segment")
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	for _, f := range []types.WritableFile{created, opened} {
		wantOps(t, ring, 1, "WriteAt", func() error { _, err := f.WriteAt([]byte("record"), 0); return err })
		wantOps(t, ring, 2, "the first Sync", f.Sync)
		wantOps(t, ring, 1, "the second Sync", f.Sync)
	}
	// Where the directory has gone, the file can be synced, but its name can't.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	opened.(*file).named = false
	for range 2 {
		if err := opened.Sync(); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Sync without a directory: %v", err)
		}
	}
}

func TestReadAtIsIoReaderAts(t *testing.T) {
	ring, dir := newRing(t), t.TempDir()
	v := New(ring)
	if err := os.WriteFile(filepath.Join(dir, "segment"), []byte("0123456789"), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := v.OpenReader(dir, "segment")
	if err != nil {
		t.Fatal(err)
	}
	w, err := v.OpenWriter(dir, "segment")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []types.ReadableFile{r, w} {
		buf := make([]byte, 4)
		wantOps(t, ring, 1, "ReadAt", func() error { _, err := f.ReadAt(buf, 3); return err })
		if string(buf) != "3456" {
			t.Errorf("ReadAt: %q", buf)
		}
		if n, err := f.ReadAt(buf, 8); string(buf[:n]) != "89" || err != io.EOF {
			t.Errorf("ReadAt over the end: %q, %v", buf[:n], err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if _, err := f.ReadAt(buf, 0); !errors.Is(err, os.ErrClosed) {
			t.Errorf("ReadAt of a closed file: %v", err)
		}
	}
}

func TestDirectoryIsListedAndDeleteSyncsIt(t *testing.T) {
	ring, dir := newRing(t), t.TempDir()
	v := New(ring)
	for _, name := range []string{"b", "a", "c"} {
		f, err := v.Create(dir, name, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	if err := os.Mkdir(filepath.Join(dir, "dir"), 0o777); err != nil {
		t.Fatal(err)
	}
	wantOps(t, ring, 1, "Delete", func() error { return v.Delete(dir, "b") })
	if names, err := v.ListDir(dir); !slices.Equal(names, []string{"a", "c"}) || err != nil {
		t.Errorf("ListDir: %q, %v", names, err)
	}
	missing := filepath.Join(dir, "missing")
	_, list := v.ListDir(missing)
	r, reader := v.OpenReader(dir, "b")
	w, writer := v.OpenWriter(dir, "b")
	for what, err := range map[string]error{"ListDir": list, "OpenReader": reader, "OpenWriter": writer, "Delete": v.Delete(dir, "b")} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s of what isn't there: %v", what, err)
		}
	}
	if r != nil || w != nil {
		t.Errorf("files with an error: %v, %v", r, w)
	}
}
