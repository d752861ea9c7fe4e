//go:build linux

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/seed-9c58b644/rio"
)

// journals are one of each kind, on a file.
func journals(t *testing.T, grows bool) map[string]func(f *os.File) journal {
	requireRing(t)
	on := func(f *os.File) (*rio.Ring, *rio.File) {
		ring, err := rio.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ring.Close() })
		rf, err := ring.NewFile(f)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { rf.Close() })
		return ring, rf
	}
	all := map[string]func(f *os.File) journal{
		"os.File": func(f *os.File) journal { return synced(osFile{f}, nil, grows) },
		"rio": func(f *os.File) journal {
			_, rf := on(f)
			return synced(rf, nil, grows)
		},
	}
	if !grows {
		all["rio chain"] = func(f *os.File) journal {
			ring, rf := on(f)
			return chained(rf, ring, false)
		}
	}
	return all
}

func TestALogHasEveryRecordOnce(t *testing.T) {
	for _, grows := range []bool{true, false} {
		for name, open := range journals(t, grows) {
			f, err := os.Create(filepath.Join(t.TempDir(), "log"))
			if err != nil {
				t.Fatal(err)
			}
			log := open(f)
			const each = 5
			var all sync.WaitGroup
			for i := range appenders {
				all.Go(func() {
					for range each {
						if err := log.append([]byte(strings.Repeat(string(rune('0'+i)), recordSize))); err != nil {
							t.Error(err)
						}
					}
				})
			}
			all.Wait()
			text, err := os.ReadFile(f.Name())
			if err != nil {
				t.Fatal(err)
			}
			if len(text) != appenders*each*recordSize {
				t.Errorf("%s: %d bytes", name, len(text))
			}
			for i := range appenders {
				if n := strings.Count(string(text), strings.Repeat(string(rune('0'+i)), recordSize)); n != each {
					t.Errorf("%s: %d records of appender %d", name, n, i)
				}
			}
			f.Close()
		}
	}
}

func TestARecordThatCannotBeWrittenIsAnError(t *testing.T) {
	for name, open := range journals(t, false) {
		full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
		if err != nil {
			t.Skip(err)
		}
		log := open(full)
		for range 2 {
			if err := log.append(make([]byte, recordSize)); err == nil || !strings.Contains(err.Error(), "no space left") {
				t.Errorf("%s: %v", name, err)
			}
		}
		full.Close()
	}
}

func TestAGroupFailsWithTheOneBefore(t *testing.T) {
	requireRing(t)
	ring, err := rio.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	f, err := ring.OpenFile(filepath.Join(t.TempDir(), "log"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	log := newChainLog(ring, f)
	lost := errors.New("lost")
	log.last = &group{done: make(chan struct{}), err: lost}
	close(log.last.done)
	if err := log.append(make([]byte, recordSize)); err != lost {
		t.Errorf("durable behind a hole: %v", err)
	}
}

func TestASegmentBeginsAnewWhenItIsFull(t *testing.T) {
	c := collector{}
	for i := range 2 * segmentSize / (appenders * recordSize) {
		c.open = &group{buf: make([]byte, appenders*recordSize)}
		if at, want := c.seal(), int64(i*appenders*recordSize%segmentSize); at != want {
			t.Fatalf("group %d goes to %d, want %d", i, at, want)
		}
	}
}

func TestADirectLogPadsItsGroups(t *testing.T) {
	requireRing(t)
	ring, err := rio.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	name := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(name, make([]byte, 4*page), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := ring.OpenFile(name, os.O_RDWR|rio.O_DIRECT|syscall.O_DSYNC, 0)
	if err != nil {
		t.Skip(err) // a file system without it
	}
	defer f.Close()
	log := direct(page)(f, ring, false)
	for i := range 2 {
		if err := log.append([]byte(strings.Repeat(string(rune('0'+i)), recordSize))); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 4*page)
	for i := range 2 {
		copy(want[i*page:], strings.Repeat(string(rune('0'+i)), recordSize))
	}
	if string(text) != string(want) {
		t.Error("each group begins a page, and zeros fill it")
	}
}
