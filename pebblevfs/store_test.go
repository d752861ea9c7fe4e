package pebblevfs

import (
	"bytes"
	"fmt"
	"log"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

type quiet struct{}

func (quiet) Infof(string, ...any)              {}
func (quiet) Errorf(string, ...any)             {}
func (quiet) Fatalf(format string, args ...any) { log.Fatalf(format, args...) }

// openStore opens a store with tiny tables and caches, so that it reads and writes many files.
func openStore(t testing.TB, fs vfs.FS, dir string) *pebble.DB {
	t.Helper()
	options := &pebble.Options{FS: fs, MemTableSize: 64 << 10, CacheSize: 1, BytesPerSync: 16 << 10, Logger: quiet{}}
	options.TargetFileSizes[0] = 32 << 10
	db, err := pebble.Open(dir, options)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func record(i int) (key, value []byte) {
	return fmt.Appendf(nil, "key-%06d", i), bytes.Repeat(fmt.Appendf(nil, "value-%06d;", i), 20)
}

func TestStoreGoesFromRingToDefaultAndBack(t *testing.T) {
	ringFS, ring := newFS(t)
	dir := t.TempDir()
	const writers, each = 4, 1000
	want := 0
	for round, fs := range []vfs.FS{ringFS, system, ringFS} {
		before := ring.Stats()
		db := openStore(t, fs, dir)
		for i := range want {
			key, value := record(i)
			got, closer, err := db.Get(key)
			if err != nil || !bytes.Equal(got, value) {
				t.Fatalf("round %d: %s is %q, %v", round, key, got, err)
			}
			closer.Close()
		}
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					key, value := record(want + w*each + i)
					order := pebble.NoSync
					if i%100 == 0 {
						order = pebble.Sync
					}
					if err := db.Set(key, value, order); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		want += writers * each
		if err := db.Flush(); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		after := ring.Stats()
		did := after.Completed - before.Completed
		if fs == system && did != 0 || fs == ringFS && did < uint64(want)/100 {
			t.Errorf("round %d: the ring has done %d operations", round, did)
		}
		if after.InFlight != 0 {
			t.Errorf("round %d: %d operations in flight after Close", round, after.InFlight)
		}
	}
}
