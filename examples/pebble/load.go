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
	records, readers int
	value            []byte
	cold             bool
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
	if err := l.read(ctx, db, func(done int) { progress(0.5 + float64(done)/float64(2*l.records)) }); err != nil {
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

// read reads as many records as there are, at random, by all readers together, and compares what comes.
func (l *load) read(ctx context.Context, db *pebble.DB, progress func(done int)) error {
	var next atomic.Int64
	var drawing sync.Mutex
	errs := make([]error, l.readers)
	var wg sync.WaitGroup
	for r := range errs {
		wg.Go(func() {
			for errs[r] == nil && next.Load() < int64(l.records) {
				if ctx.Err() != nil {
					errs[r] = errors.New("interrupted")
					return
				}
				errs[r] = l.check(db, rand.IntN(l.records))
				if done := next.Add(1); done%batch == 0 && drawing.TryLock() {
					progress(min(int(done), l.records))
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

// valueOf ends with the record's number: none can pass for another.
func (l *load) valueOf(i int) []byte {
	return binary.BigEndian.AppendUint64(append([]byte(nil), l.value...), uint64(i))
}

// quiet is a pebble.Logger that only says why the program ends.
type quiet struct{}

func (quiet) Infof(string, ...any)              {}
func (quiet) Errorf(string, ...any)             {}
func (quiet) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
