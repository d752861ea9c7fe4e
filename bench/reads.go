//go:build linux

package main

import (
	"cmp"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/seed-9c58b644/rio"
)

const page = 4096

// An input is a file to read blocks from at random, opened by both sides.
type input struct {
	name   string
	block  int
	blocks int64
	os     *os.File
	ring   *rio.Ring
	rio    *rio.File
}

func (s *Stage) input(name string, flag, block int) (*input, error) {
	in := &input{name: name, block: block, blocks: s.options.Size / int64(block)}
	var err error
	if in.os, err = os.OpenFile(name, flag, 0); err != nil {
		return nil, err
	}
	s.cleanup(func() { in.os.Close() })
	if in.ring, err = s.ring(nil); err != nil {
		return nil, err
	}
	if in.rio, err = in.ring.OpenFile(name, flag, 0); err != nil {
		return nil, err
	}
	s.cleanup(func() { in.rio.Close() })
	return in, nil
}

func (in *input) place() int64 { return rand.Int64N(in.blocks) * int64(in.block) }

// A readFunc reads a block.
type readFunc func(p []byte, off int64) (int, error)

func (in *input) pread(p []byte, off int64) (int, error) { return in.os.ReadAt(p, off) }

func (in *input) rioRead(p []byte, off int64) (int, error) {
	return in.ring.ReadAt(in.rio, p, off).Wait()
}

func (in *input) whole(n int, err error) error {
	if n == in.block {
		return nil
	}
	return fmt.Errorf("a read of %d bytes: %w", n, cmp.Or(err, io.ErrUnexpectedEOF))
}

// one reads one block at a time into buf. A cached read costs about as much as ten looks at the clock: it looks after every
// eighth. With lat it must look twice for each, which only reads from a disk can afford.
func (in *input) one(buf []byte, read readFunc, lat *Histogram) load {
	return func(until time.Time) (n int, err error) {
		for more := true; more; more = time.Now().Before(until) { // once at least, however late it comes to run
			if lat != nil {
				start := time.Now()
				if err := in.whole(read(buf, in.place())); err != nil {
					return n, err
				}
				lat.add(int64(time.Since(start)))
				n++
				continue
			}
			for range 8 {
				if err := in.whole(read(buf, in.place())); err != nil {
					return n, err
				}
				n++
			}
		}
		return n, nil
	}
}

// goroutines is one for each of bufs, at once; each has a Histogram, which are added up in the end.
func (in *input) goroutines(bufs [][]byte, read readFunc, lat *Histogram) load {
	own := make([]*Histogram, len(bufs))
	l := inGoroutines(len(bufs), func(i int) load {
		if lat != nil {
			own[i] = new(Histogram)
		}
		return in.one(bufs[i], read, own[i])
	})
	return func(until time.Time) (int, error) {
		done, err := l(until)
		for _, h := range own {
			if h != nil {
				lat.merge(h)
				h.reset()
			}
		}
		return done, err
	}
}

// aligned are buffers that nobody but Go knows.
func (in *input) aligned(n int) [][]byte {
	bufs := make([][]byte, n)
	for i := range bufs {
		bufs[i] = rio.Aligned(in.block, 0)
	}
	return bufs
}

// registered are buffers that the kernel holds the pages of.
func (in *input) registered(n int) [][]byte {
	bufs, err := in.ring.Buffers(n, in.block)
	if err != nil {
		panic(err) // the ring is open, the numbers are ours
	}
	return bufs
}

// batch starts a read into each of bufs, waits for all, and begins again.
func (in *input) batch(bufs [][]byte) load {
	started := make([]rio.Completion[int], len(bufs))
	return func(until time.Time) (n int, err error) {
		for time.Now().Before(until) {
			for i := range started {
				started[i] = in.ring.ReadAt(in.rio, bufs[i], in.place())
			}
			for _, c := range started {
				if err := in.whole(c.Wait()); err != nil {
					return n, err
				}
			}
			n += len(started)
		}
		return n, nil
	}
}

// joined does what batch does without a ring: it starts a goroutine for each of the reads, and joins them.
func (in *input) joined(bufs [][]byte) load {
	return func(until time.Time) (n int, err error) {
		var mu sync.Mutex
		for time.Now().Before(until) && err == nil {
			var reads sync.WaitGroup
			for _, buf := range bufs {
				reads.Go(func() {
					if e := in.whole(in.pread(buf, in.place())); e != nil {
						mu.Lock()
						err = e
						mu.Unlock()
					}
				})
			}
			reads.Wait()
			n += len(bufs)
		}
		return n, err
	}
}

// window keeps a read into each of bufs in flight: it waits for the oldest, and starts another.
func (in *input) window(bufs [][]byte) load {
	started := make([]rio.Completion[int], len(bufs))
	return func(until time.Time) (n int, err error) {
		for i := range started {
			started[i] = in.ring.ReadAt(in.rio, bufs[i], in.place())
		}
		for more := true; more; {
			more = time.Now().Before(until)
			for i := range started {
				if e := in.whole(started[i].Wait()); e != nil && err == nil {
					err, more = e, false
				}
				n++
				if more {
					started[i] = in.ring.ReadAt(in.rio, bufs[i], in.place())
				}
			}
		}
		return n, err
	}
}
