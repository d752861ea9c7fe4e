//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio"
)

const (
	appenders   = 64
	recordSize  = 512
	segmentSize = 64 << 20
)

// The log row is a write-ahead log: a goroutine goes on when its record is durable. All sides put the records of many
// goroutines into one write and one sync. A log is a new file, which grows, or a recycled one: written in full before,
// so that a sync has no more to do than to write data, and begun anew when it is full. With O_DIRECT and O_DSYNC the write is
// the sync.
func logRows() []Row {
	return []Row{{
		Name: "log/64goroutines", Title: "log append: 64 goroutines, 512 B, each durable before it goes on", Unit: "record",
		Goals: []Goal{atLeast(1.5, "os.File", Rate), atLeast(1.5, "os.File recycled", Rate)},
		Open: func(s *Stage) ([]Side, error) {
			ring, err := s.ring(nil)
			if err != nil {
				return nil, err
			}
			recycled, err := s.segment("segment")
			if err != nil {
				return nil, err
			}
			align, err := alignment(ring, recycled)
			if err != nil {
				return nil, err
			}
			grown := filepath.Join(s.dir, "log")
			return []Side{
				{Name: "os.File", Turn: logOn(grown, nil).turn(nil, nil)},
				{Name: "os.File recycled", Turn: logOn(recycled, nil).turn(nil, nil)},
				{Name: "os.File direct", Turn: directLogOn(recycled, nil, align).turn(nil, nil)},
				{Name: "rio grown", Turn: logOn(grown, ring).turn(ring, nil)},
				{Name: "rio recycled", Turn: logOn(recycled, ring).turn(ring, nil)},
				{Name: "rio", Turn: directLogOn(recycled, ring, align).turn(ring, nil)},
			}, nil
		},
	}}
}

// segment is a file to be recycled.
func (s *Stage) segment(name string) (string, error) {
	path := filepath.Join(s.dir, name)
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	s.cleanup(func() { os.Remove(path) })
	if _, err := f.Write(make([]byte, segmentSize)); err != nil {
		return "", err
	}
	return path, f.Sync()
}

// alignment is what the lengths and places of O_DIRECT transfers have to be multiples of.
func alignment(ring *rio.Ring, path string) (int, error) {
	f, err := ring.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	_, align, err := f.Alignment()
	if errors.Is(err, errors.ErrUnsupported) {
		return page, nil
	}
	return align, err
}

// logOn appends to the file, which exists if it is to be recycled, with a ring or without.
func logOn(path string, ring *rio.Ring) load {
	return func(until time.Time) (n int, err error) {
		_, err = os.Stat(path)
		grows := os.IsNotExist(err)
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		if grows {
			defer os.Remove(path)
		}
		var log journal
		switch {
		case ring != nil:
			rf, err := ring.NewFile(f)
			if err != nil {
				return 0, err
			}
			defer rf.Close()
			log = newRioLog(ring, rf, grows)
		case grows:
			log = &groupLog{write: func(p []byte, _ int64) (int, error) { return f.Write(p) }, sync: f.Sync,
				c: collector{grows: true}}
		default:
			log = &groupLog{write: f.WriteAt, sync: func() error { return fdatasync(f) }}
		}
		n, err = inGoroutines(appenders, func(i int) load { return appendTo(log, byte('0'+i)) })(until)
		if err != nil || !grows {
			return n, err
		}
		return n, checkLog(path, n)
	}
}

// directLogOn is logOn for a file to be recycled, with O_DIRECT and O_DSYNC.
func directLogOn(path string, ring *rio.Ring, align int) load {
	return func(until time.Time) (n int, err error) {
		f, err := os.OpenFile(path, os.O_RDWR|rio.O_DIRECT|syscall.O_DSYNC, 0)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		var log journal
		if ring != nil {
			rf, err := ring.NewFile(f)
			if err != nil {
				return 0, err
			}
			defer rf.Close()
			log = newDirectLog(ring, rf, align)
		} else {
			log = &groupLog{write: f.WriteAt, sync: func() error { return nil }, c: collector{align: align}}
		}
		return inGoroutines(appenders, func(i int) load { return appendTo(log, byte('0'+i)) })(until)
	}
}

// appendTo appends records of one byte, one after the other.
func appendTo(log journal, b byte) load {
	record := []byte(strings.Repeat(string(rune(b)), recordSize))
	return func(until time.Time) (n int, err error) {
		for more := true; more; more = time.Now().Before(until) {
			if err := log.append(record); err != nil {
				return n, err
			}
			n++
		}
		return n, nil
	}
}

// checkLog looks whether as many records are there as have been reported durable.
func checkLog(path string, n int) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if st.Size() != int64(n)*recordSize {
		return fmt.Errorf("%d records in a file of %d bytes", n, st.Size())
	}
	return nil
}

// fdatasync is what *os.File has no method for.
func fdatasync(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var e error
	if err := raw.Control(func(fd uintptr) { e = syscall.Fdatasync(int(fd)) }); err != nil {
		return err
	}
	return os.NewSyscallError("fdatasync", e)
}
