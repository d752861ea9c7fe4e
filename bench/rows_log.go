//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
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
// the sync. A chain is a Chain's WriteAt and Fdatasync, four groups on their way; all others have one, and are the same code on
// an os.File and on a rio.File.
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
			const durable = rio.O_DIRECT | syscall.O_DSYNC
			return []Side{
				{Name: "os.File", Turn: logOn(grown, nil, 0, synced).turn(nil, nil)},
				{Name: "os.File recycled", Turn: logOn(recycled, nil, 0, synced).turn(nil, nil)},
				{Name: "os.File direct", Turn: logOn(recycled, nil, durable, direct(align)).turn(nil, nil)},
				{Name: "rio grown", Turn: logOn(grown, ring, 0, synced).turn(ring, nil)},
				{Name: "rio recycled", Turn: logOn(recycled, ring, 0, synced).turn(ring, nil)},
				{Name: "rio chain", Turn: logOn(recycled, ring, 0, chained).turn(ring, nil)},
				{Name: "rio", Turn: logOn(recycled, ring, durable, direct(align)).turn(ring, nil)},
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

// logOn appends to the file, which exists if it is to be recycled, with the log that how makes of it.
func logOn(path string, ring *rio.Ring, flag int, how func(f logFile, ring *rio.Ring, grows bool) journal) load {
	return func(until time.Time) (n int, err error) {
		_, err = os.Stat(path)
		grows := os.IsNotExist(err)
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|flag, 0o644)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		if grows {
			defer os.Remove(path)
		}
		file := logFile(osFile{f})
		if ring != nil {
			rf, err := ring.NewFile(f)
			if err != nil {
				return 0, err
			}
			defer rf.Close()
			file = rf
		}
		log := how(file, ring, grows)
		n, err = inGoroutines(appenders, func(i int) load { return appendTo(log, byte('0'+i)) })(until)
		if err != nil || !grows {
			return n, err
		}
		return n, checkLog(path, n)
	}
}

// A logFile is an os.File or a rio.File.
type logFile interface {
	io.Writer
	io.WriterAt
	Sync() error
	Datasync() error
}

// osFile has what *os.File has no method for.
type osFile struct{ *os.File }

// Datasync is fdatasync(2).
func (f osFile) Datasync() error {
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

// synced writes a group, and syncs.
func synced(f logFile, _ *rio.Ring, grows bool) journal {
	if grows {
		return &groupLog{write: func(p []byte, _ int64) (int, error) { return f.Write(p) }, sync: f.Sync, c: collector{grows: true}}
	}
	return &groupLog{write: f.WriteAt, sync: f.Datasync}
}

// direct is for a file whose blocks are all there, opened with O_DIRECT and O_DSYNC: a write is durable when it is done.
func direct(align int) func(logFile, *rio.Ring, bool) journal {
	return func(f logFile, _ *rio.Ring, _ bool) journal {
		return &groupLog{write: f.WriteAt, sync: func() error { return nil }, c: collector{align: align}}
	}
}

func chained(f logFile, ring *rio.Ring, _ bool) journal { return newChainLog(ring, f.(*rio.File)) }

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
