package riotest_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/seed-9c58b644/rio"
	"github.com/seed-9c58b644/rio/riotest"
)

// A step is an operation that FuzzChain has started.
type step struct {
	name   string
	before *step   // begins only if that has succeeded in full
	after  []*step // begins when these are done
	wait   func() (full bool, err error)
	at     int // when it took effect, from 1
	full   bool
	err    error
	waited bool
}

// A script is a run of FuzzChain: its bytes say what is started, and how it is ordered.
type script struct {
	t     *testing.T
	r     *rio.Ring
	f     *rio.File
	in    []byte
	steps []*step
	link  *step // the last one on the Ring, if it was a Link
}

func (s *script) next() byte {
	if len(s.in) == 0 {
		return 0
	}
	b := s.in[0]
	s.in = s.in[1:]
	return b
}

// starter is what Ring has, and Chain without the orderings.
type starter struct {
	write func(p []byte, off int64) rio.Completion[int]
	read  func(p []byte, off int64) rio.Completion[int]
	sync  func(off int64) rio.Completion[struct{}]
	alloc func(off int64) rio.Completion[struct{}]
	nop   func() rio.Completion[struct{}]
}

// start starts one operation, each at an offset of its own, by which the trace knows it.
func (s *script) start(kind byte, from starter) *step {
	off := int64(len(s.steps)) * 4096
	p := make([]byte, 1000)
	st := &step{}
	number := func(c rio.Completion[int]) {
		st.wait = func() (bool, error) {
			n, err := c.Wait()
			return n == len(p), err
		}
	}
	nothing := func(c rio.Completion[struct{}]) {
		st.wait = func() (bool, error) {
			_, err := c.Wait()
			return err == nil, err
		}
	}
	switch kind % 5 {
	case 0:
		st.name = fmt.Sprint("write at ", off)
		number(from.write(p, off))
	case 1:
		st.name = fmt.Sprint("read at ", off)
		number(from.read(p, off))
	case 2:
		st.name = fmt.Sprint("sync_file_range at ", off)
		nothing(from.sync(off))
	case 3:
		st.name = fmt.Sprint("fallocate at ", off)
		nothing(from.alloc(off))
	case 4:
		nothing(from.nop())
	}
	s.steps = append(s.steps, st)
	return st
}

// onRing starts one with an ordering.
func (s *script) onRing(b byte) {
	ord := rio.Ordering(b >> 6)
	earlier := s.steps
	st := s.start(b, starter{
		write: func(p []byte, off int64) rio.Completion[int] { return s.r.WriteAt(s.f, p, off, ord) },
		read:  func(p []byte, off int64) rio.Completion[int] { return s.r.ReadAt(s.f, p, off, ord) },
		sync:  func(off int64) rio.Completion[struct{}] { return s.r.SyncFileRange(s.f, off, 1, ord) },
		alloc: func(off int64) rio.Completion[struct{}] { return s.r.Fallocate(s.f, 0, off, 1, ord) },
		nop:   func() rio.Completion[struct{}] { return s.r.Nop(ord) },
	})
	st.before, s.link = s.link, nil
	if ord&rio.Link != 0 {
		s.link = st
	}
	if ord&rio.Drain != 0 {
		st.after = earlier
	}
}

// onChain submits a Chain of some.
func (s *script) onChain(n int) {
	c := s.r.Chain()
	var before *step
	for range n {
		st := s.start(s.next(), starter{
			write: func(p []byte, off int64) rio.Completion[int] { return c.WriteAt(s.f, p, off) },
			read:  func(p []byte, off int64) rio.Completion[int] { return c.ReadAt(s.f, p, off) },
			sync:  func(off int64) rio.Completion[struct{}] { return c.SyncFileRange(s.f, off, 1) },
			alloc: func(off int64) rio.Completion[struct{}] { return c.Fallocate(s.f, 0, off, 1) },
			nop:   c.Nop,
		})
		st.before, before = before, st
	}
	if err := c.Submit(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *script) wait(st *step) {
	if !st.waited {
		st.waited = true
		st.full, st.err = st.wait()
	}
}

// run starts what the script says. It waits for some in between.
func (s *script) run() {
	for len(s.in) > 0 && len(s.steps) < 64 {
		switch b := s.next(); {
		case b&0x30 == 0x30 && len(s.steps) > 0:
			s.wait(s.steps[int(b&15)%len(s.steps)])
		case b&0x30 == 0x20:
			s.onChain(1 + int(b&3))
		default:
			s.onRing(b)
		}
	}
	for i := range s.steps {
		s.wait(s.steps[len(s.steps)-1-i])
	}
}

// check holds what has happened against what was promised.
func (s *script) check(trace []byte) {
	for i, line := range bytes.Split(trace, []byte("\n")) {
		for _, st := range s.steps {
			var k, n, res int
			var off int64
			var op, file string
			if _, err := fmt.Sscanf(string(line), "%d %s %s %d at %d = %d", &k, &op, &file, &n, &off, &res); err == nil && st.name == fmt.Sprint(op, " at ", off) {
				if st.at != 0 {
					s.t.Errorf("%s has taken effect twice", st.name)
				}
				st.at = i + 1
			}
		}
	}
	for i, st := range s.steps {
		gone := errors.Is(st.err, syscall.ECANCELED)
		switch p := st.before; {
		case gone != (p != nil && !p.full):
			s.t.Errorf("step %d (%s): %v; the one before was done in full: %v", i, st.name, st.err, p == nil || p.full)
		case gone && st.at != 0:
			s.t.Errorf("step %d (%s) is cancelled, and has taken effect", i, st.name)
		case !gone && st.name != "" && st.at == 0:
			s.t.Errorf("step %d (%s) has taken no effect: %v", i, st.name, st.err)
		case p != nil && !gone && st.at != 0 && p.at > st.at:
			s.t.Errorf("step %d (%s) has taken effect before the one that it follows", i, st.name)
		}
		for _, e := range st.after {
			if st.at != 0 && e.at > st.at {
				s.t.Errorf("step %d (%s) is a Drain, and has taken effect before %s", i, st.name, e.name)
			}
		}
	}
}

// FuzzChain builds chains, with Chain and with Link, and Drains, on a kernel that fails and cuts short: each begins when it
// should, or not at all.
func FuzzChain(f *testing.F) {
	f.Add(uint64(1), []byte{0x40, 0x00, 0x42, 0x01, 0x80, 0x22, 0, 2, 1})
	f.Add(uint64(2), []byte{0x23, 0, 2, 3, 0, 0x31, 0x23, 2, 2, 2, 2})
	f.Add(uint64(3), []byte{0x40, 0x41, 0x42, 0x43, 0xc0, 0xc2, 0x30, 0x01})
	f.Fuzz(func(t *testing.T, seed uint64, in []byte) {
		var trace bytes.Buffer
		sim, err := riotest.New(seed, &riotest.Options{
			Lockstep: true, Trace: &trace, Config: &rio.Config{Depth: 4 << (seed % 3)},
			Faults: riotest.Faults{Short: 0.2, Fail: 0.1, Enter: 0.1, Partial: 0.2, Unasked: 0.1, Overflow: 0.1},
		})
		if err != nil {
			t.Fatal(err)
		}
		file, err := sim.OpenFile("f", os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if err := file.Truncate(64 * 4096 * 2); err != nil {
			t.Fatal(err)
		}
		s := script{t: t, r: sim.Ring(), f: file, in: in}
		s.run()
		if err := file.Close(); err != nil {
			t.Error(err)
		}
		stop(t, sim)
		s.check(trace.Bytes())
	})
}
