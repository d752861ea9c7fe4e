//go:build linux

package riotest_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
	"github.com/seed-9c58b644/rio/riotest"
)

// A jealous file can be in one Control at a time.
type jealous struct {
	*os.File
	in     chan bool
	nested atomic.Int64
}

func (j *jealous) SyscallConn() (syscall.RawConn, error) { return j, nil }
func (j *jealous) Read(func(fd uintptr) bool) error      { return errors.ErrUnsupported }
func (j *jealous) Write(func(fd uintptr) bool) error     { return errors.ErrUnsupported }

func (j *jealous) Control(f func(fd uintptr)) error {
	raw, err := j.File.SyscallConn()
	if err != nil {
		return err
	}
	select {
	case j.in <- true:
		defer func() { <-j.in }()
	case <-time.After(5 * time.Second): // another goroutine would have left
		j.nested.Add(1)
	}
	return raw.Control(f)
}

// While an enter is repeated in a file's Control, completions are read, and some say that an operation has to be started
// again: but not from in there, where a lock may be held that its Control wants too.
func TestNoControlWithinAControl(t *testing.T) {
	for seed := range uint64(20) {
		sim, err := riotest.New(seed, &riotest.Options{Config: &rio.Config{Depth: 2}, Faults: riotest.Faults{Enter: 0.4, Partial: 0.4, Unasked: 0.5}})
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(filepath.Join(t.TempDir(), "f"))
		if err != nil {
			t.Fatal(err)
		}
		j := &jealous{File: f, in: make(chan bool, 1)}
		r := sim.Ring()
		var cs []rio.Completion[int]
		for i := range 40 {
			cs = append(cs, r.WriteAt(j, []byte{byte(i)}, int64(i)))
			if len(cs) == 3 {
				for _, c := range cs {
					if n, err := c.Wait(); n != 1 || err != nil {
						t.Error(n, err)
					}
				}
				cs = cs[:0]
			}
		}
		for _, c := range cs {
			c.Wait()
		}
		got, err := os.ReadFile(f.Name())
		if err != nil || len(got) != 40 {
			t.Fatal(len(got), err)
		}
		for i, b := range got {
			if int(b) != i {
				t.Errorf("at %d there is %d", i, b)
			}
		}
		if n := j.nested.Load(); n != 0 {
			t.Fatalf("seed %d: %d times Control was called within Control", seed, n)
		}
		stop(t, sim)
		f.Close()
	}
}
