//go:build linux

package main

import (
	"io"
	"os"
	"time"

	"github.com/seed-9c58b644/rio"
)

// The buffered rows write to the page cache, and sync. A File's methods do that by hand; "rio ring" is what they would
// cost by way of the ring, which hands them to the kernel's workers on file systems like ext4.
func bufferedRows() []Row {
	write := func(f logFile, p []byte, off int64) error { return pageWritten(f.WriteAt(p, off)) }
	return []Row{
		{
			Name: "buffered/one", Title: "4 KiB write to the page cache, one at a time", Unit: "write",
			Goals: []Goal{atMost(1.15, "os.File", Wall)},
			Open: bufferedSides(write, func(r *rio.Ring, f *rio.File, p []byte, off int64) error {
				return pageWritten(r.WriteAt(f, p, off).Wait())
			}),
		},
		{
			Name: "buffered/synced", Title: "4 KiB write and fdatasync, one at a time", Unit: "write",
			Goals: []Goal{atMost(1.15, "os.File", CPU)},
			Open: bufferedSides(func(f logFile, p []byte, off int64) error {
				if err := write(f, p, off); err != nil {
					return err
				}
				return f.Datasync()
			}, func(r *rio.Ring, f *rio.File, p []byte, off int64) error {
				if err := pageWritten(r.WriteAt(f, p, off).Wait()); err != nil {
					return err
				}
				_, err := r.Fdatasync(f).Wait()
				return err
			}),
		},
	}
}

func bufferedSides(do func(logFile, []byte, int64) error,
	ringDo func(*rio.Ring, *rio.File, []byte, int64) error) func(*Stage) ([]Side, error) {
	return func(s *Stage) ([]Side, error) {
		ring, err := s.ring(nil)
		if err != nil {
			return nil, err
		}
		name, err := s.segment("buffered")
		if err != nil {
			return nil, err
		}
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		s.cleanup(func() { f.Close() })
		rf, err := ring.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		s.cleanup(func() { rf.Close() })
		p := make([]byte, page)
		again := func(do func(off int64) error) load {
			return func(until time.Time) (n int, err error) {
				for more := true; more; more = time.Now().Before(until) {
					for range 8 {
						if err := do(int64(n) * page % segmentSize); err != nil {
							return n, err
						}
						n++
					}
				}
				return n, nil
			}
		}
		return []Side{
			{Name: "os.File", Turn: again(func(off int64) error { return do(osFile{f}, p, off) }).turn(nil, nil)},
			{Name: "rio ring", Turn: again(func(off int64) error { return ringDo(ring, rf, p, off) }).turn(ring, nil)},
			{Name: "rio", Turn: again(func(off int64) error { return do(rf, p, off) }).turn(ring, nil)},
		}, nil
	}
}

func pageWritten(n int, err error) error {
	if err == nil && n != page {
		err = io.ErrShortWrite
	}
	return err
}
