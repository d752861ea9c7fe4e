//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio"
)

const (
	appenders  = 64
	recordSize = 512
)

// The log row is a write-ahead log: a goroutine goes on when its record is durable. All sides append to a file that
// grows, and put the records of many goroutines into one write and one sync.
func logRows() []Row {
	return []Row{{
		Name: "log/64goroutines", Title: "log append: 64 goroutines, 512 B, each durable before it goes on", Unit: "record",
		Goals: []Goal{atLeast(1.5, "os.File", Rate), atLeast(1.5, "fdatasync", Rate)},
		Open: func(s *Stage) ([]Side, error) {
			ring, err := s.ring(nil)
			if err != nil {
				return nil, err
			}
			var sides []Side
			for _, name := range []string{"os.File", "fdatasync", "rio"} {
				r := ring
				if name != "rio" {
					r = nil
				}
				l := &logLoad{path: filepath.Join(s.dir, "log-"+name), name: name, ring: r}
				sides = append(sides, Side{Name: name, Turn: load(l.run).turn(r, nil)})
			}
			return sides, nil
		},
	}}
}

// A journal makes records durable, in their order; append may be called by many.
type journal interface {
	append(record []byte) error
}

type logLoad struct {
	path, name string
	ring       *rio.Ring
}

// run appends to a new file.
func (l *logLoad) run(until time.Time) (n int, err error) {
	f, err := os.Create(l.path)
	if err != nil {
		return 0, err
	}
	defer os.Remove(l.path)
	defer f.Close()
	var j journal
	switch l.name {
	case "os.File":
		j = &groupLog{write: f.Write, sync: f.Sync}
	case "fdatasync":
		j = &groupLog{write: f.Write, sync: func() error { return fdatasync(f) }}
	default:
		rf, err := l.ring.NewFile(f)
		if err != nil {
			return 0, err
		}
		defer rf.Close()
		j = newRioLog(l.ring, rf)
	}
	n, err = inGoroutines(appenders, func(i int) load {
		record := make([]byte, recordSize)
		for k := range record {
			record[k] = byte('0' + i)
		}
		return func(until time.Time) (n int, err error) {
			for ; time.Now().Before(until); n++ {
				if err := j.append(record); err != nil {
					return n, err
				}
			}
			return n, nil
		}
	})(until)
	if err != nil {
		return n, err
	}
	if st, err := os.Stat(l.path); err != nil || st.Size() != int64(n)*recordSize {
		return n, fmt.Errorf("%d records, but the file is another size: %v, %v", n, st, err)
	}
	return n, nil
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

// A batch is the records of those that share a write and a sync.
type batch struct {
	buf  []byte
	at   int64         // where in the file
	done chan struct{} // closed when it is durable, or has failed
	err  error
}

func newBatch() *batch {
	return &batch{buf: make([]byte, 0, appenders*recordSize), done: make(chan struct{})}
}

// A groupLog is the bar: while one batch is written and synced, the next collects. Who comes first commits it.
type groupLog struct {
	write func([]byte) (int, error)
	sync  func() error

	mu      sync.Mutex
	filling *batch // nil if nobody waits
	commit  sync.Mutex
}

func (l *groupLog) append(record []byte) error {
	l.mu.Lock()
	b, first := l.filling, false
	if b == nil {
		b, first = newBatch(), true
		l.filling = b
	}
	b.buf = append(b.buf, record...)
	l.mu.Unlock()
	if !first {
		<-b.done
		return b.err
	}
	l.commit.Lock()
	l.mu.Lock()
	l.filling = nil // from here on b is the committer's
	l.mu.Unlock()
	if _, b.err = l.write(b.buf); b.err == nil {
		b.err = l.sync()
	}
	l.commit.Unlock()
	close(b.done)
	return b.err
}

// A rioLog is the same with a ring. A batch is a chain, write then fdatasync, and several are on their way at once; one
// counts as durable when those before it are.
type rioLog struct {
	ring *rio.Ring
	file *rio.File

	slots chan struct{} // as many as batches may be on their way

	mu      sync.Mutex
	filling *batch
	last    *batch // the one submitted last
	end     int64
}

// overlap is how many batches are on their way at once.
const overlap = 2

func newRioLog(ring *rio.Ring, file *rio.File) *rioLog {
	return &rioLog{ring: ring, file: file, slots: make(chan struct{}, overlap)}
}

func (l *rioLog) append(record []byte) error {
	l.mu.Lock()
	b, first := l.filling, false
	if b == nil {
		b, first = newBatch(), true
		l.filling = b
	}
	b.buf = append(b.buf, record...)
	l.mu.Unlock()
	if !first {
		<-b.done
		return b.err
	}
	l.slots <- struct{}{}
	chain := l.ring.Chain()
	l.mu.Lock()
	l.filling = nil
	before := l.last
	l.last = b
	b.at = l.end
	l.end += int64(len(b.buf))
	write := chain.WriteAt(l.file, b.buf, b.at)
	synced := chain.Fdatasync(l.file)
	b.err = chain.Submit()
	l.mu.Unlock()
	if b.err == nil {
		if _, b.err = synced.Wait(); b.err != nil {
			if _, err := write.Wait(); err != nil {
				b.err = err // the cause
			}
		}
	}
	<-l.slots
	if before != nil {
		<-before.done
		if b.err == nil {
			b.err = before.err
		}
	}
	close(b.done)
	return b.err
}
