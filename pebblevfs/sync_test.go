package pebblevfs

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestSyncToIsNotWaitedForButByWhatFollows(t *testing.T) {
	fs, ring := newFS(t)
	f, name := create(t, fs, string(make([]byte, 1<<20)))
	if !f.(*file).ranges {
		t.Skip("sync_file_range is not trusted on this file system")
	}
	for _, then := range []struct {
		what string
		do   func() error
	}{
		{"SyncTo(0)", func() error { _, err := f.SyncTo(0); return err }},
		{"Sync", f.Sync},
		{"SyncData", f.SyncData},
		{"Close", f.Close},
	} {
		wantOps(t, ring, 1, "SyncTo", func() {
			if full, err := f.SyncTo(1 << 20); full || err != nil {
				t.Errorf("SyncTo: %t, %v", full, err)
			}
		})
		if err := then.do(); err != nil || ring.Stats().InFlight != 0 {
			t.Errorf("%s: %v, with %d in flight", then.what, err, ring.Stats().InFlight)
		}
	}
	if info, err := os.Stat(name); err != nil || info.Size() != 1<<20 {
		t.Errorf("the file has changed: %v, %v", info.Size(), err)
	}
}

func TestSyncToIsSyncDataWhereRangesAreNotTrusted(t *testing.T) {
	fs, ring := newFS(t)
	f, _ := create(t, fs, "content")
	f.(*file).ranges = false
	wantOps(t, ring, 1, "SyncTo, which is SyncData", func() {
		if full, err := f.SyncTo(3); !full || err != nil {
			t.Errorf("SyncTo: %t, %v", full, err)
		}
	})
	f.Close()
	if full, err := f.SyncTo(3); full || !errors.Is(err, os.ErrClosed) {
		t.Errorf("SyncTo that fails: %t, %v", full, err)
	}
}

// There is no disk here that fails on demand; but a device that is no disk refuses a range with an error of its own,
// where its fsync has another.
func TestFailedSyncToStays(t *testing.T) {
	fs, _ := newFS(t)
	open := func() *file {
		t.Helper()
		f, err := fs.OpenReadWrite(os.DevNull, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		f.(*file).ranges = true
		f.SyncTo(1) // its error may come now, or later
		return f.(*file)
	}
	f := open()
	for range 2 {
		if err := f.Sync(); !errors.Is(err, syscall.ESPIPE) {
			t.Errorf("Sync: %v", err)
		}
		if err := f.SyncData(); !errors.Is(err, syscall.ESPIPE) {
			t.Errorf("SyncData: %v", err)
		}
		if _, err := f.SyncTo(1); !errors.Is(err, syscall.ESPIPE) {
			t.Errorf("SyncTo: %v", err)
		}
	}
	if err := f.Close(); err != nil {
		t.Errorf("Close has news that were told before: %v", err)
	}
	f = open()
	f.settle()
	f.lost, f.queued, f.flying = nil, fs.ring.SyncFileRange(f.File, 0, 1), true // as if it took its time
	if err := f.Close(); !errors.Is(err, syscall.ESPIPE) {
		t.Errorf("Close keeps the news to itself: %v", err)
	}
}

func TestDirectoryIsSyncedByTheRing(t *testing.T) {
	fs, ring := newFS(t)
	_, name := create(t, fs, "")
	d, err := fs.OpenDir(filepath.Dir(name))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for what, sync := range map[string]func() error{"Sync": d.Sync, "SyncData": d.SyncData} {
		wantOps(t, ring, 1, what, func() {
			if err := sync(); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		})
	}
	wantOps(t, ring, 0, "what directories don't do", func() {
		if full, err := d.SyncTo(1); full || err != nil {
			t.Errorf("SyncTo: %t, %v", full, err)
		}
		if err := errors.Join(d.Preallocate(0, 1), d.Prefetch(0, 1)); err != nil {
			t.Error(err)
		}
	})
	if info, err := d.Stat(); err != nil || !info.IsDir() {
		t.Errorf("Stat: %v, %v", info, err)
	}
}
