package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A load is what both sides do.
type load struct {
	records, readers, reads int
	value                   int
	cold                    bool
}

// What a load took.
type took struct{ load, read time.Duration }

// batch is how many records are committed, and synced, together.
const batch = 1000

// run loads a new store in dir, reads it back, and closes it. progress is told the part that is done, from 0 to 1.
func (l *load) run(ctx context.Context, fs vfs.FS, dir string, progress func(float64)) (t took, err error) {
	cache := pebble.NewCache(1 << 20)
	defer cache.Unref()
	db, err := pebble.Open(dir, &pebble.Options{FS: fs, Cache: cache, Logger: quiet{}})
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	defer progress(1)

	begin := time.Now()
	if err := l.write(ctx, db, func(done int) { progress(float64(done) / float64(2*l.records)) }); err != nil {
		return t, err
	}
	t.load = time.Since(begin)
	if l.cold {
		if err := dropCache(dir); err != nil {
			return t, err
		}
	}
	begin = time.Now()
	if err := l.read(ctx, db, func(done int) { progress(0.5 + float64(done)/float64(2*l.reads)) }); err != nil {
		return t, err
	}
	t.read = time.Since(begin)
	return t, nil
}

func (l *load) write(ctx context.Context, db *pebble.DB, progress func(done int)) error {
	for i := 0; i < l.records; {
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		b := db.NewBatch()
		for end := min(i+batch, l.records); i < end; i++ {
			if err := b.Set(key(i), l.valueOf(i), nil); err != nil {
				return err
			}
		}
		if err := b.Commit(pebble.Sync); err != nil {
			return err
		}
		progress(i)
	}
	return db.Flush()
}

// read reads records at random, by all readers together, and compares what comes.
func (l *load) read(ctx context.Context, db *pebble.DB, progress func(done int)) error {
	var begun atomic.Int64
	var drawing sync.Mutex
	errs := make([]error, l.readers)
	var wg sync.WaitGroup
	for r := range errs {
		wg.Go(func() {
			for done := begun.Add(1); errs[r] == nil && done <= int64(l.reads); done = begun.Add(1) {
				if ctx.Err() != nil {
					errs[r] = errors.New("interrupted")
					return
				}
				errs[r] = l.check(db, rand.IntN(l.records))
				if done%batch == 0 && drawing.TryLock() {
					progress(int(done))
					drawing.Unlock()
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *load) check(db *pebble.DB, i int) error {
	got, closer, err := db.Get(key(i))
	if err != nil {
		return err
	}
	defer closer.Close()
	if !bytes.Equal(got, l.valueOf(i)) {
		return fmt.Errorf("record %d came back different", i)
	}
	return nil
}

func key(i int) []byte { return fmt.Appendf(nil, "key-%012d", i) }

// valueOf is what record i holds: bytes that no compression makes less of, and none can pass for another's.
func (l *load) valueOf(i int) []byte {
	random := rand.NewPCG(uint64(i), 0)
	value := make([]byte, 0, l.value+8)
	for len(value) < l.value {
		value = binary.LittleEndian.AppendUint64(value, random.Uint64())
	}
	return value[:l.value]
}

// quiet is a pebble.Logger that only says why the program ends.
type quiet struct{}

func (quiet) Infof(string, ...any)              {}
func (quiet) Errorf(string, ...any)             {}
func (quiet) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
