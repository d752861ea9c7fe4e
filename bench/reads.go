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

// An input is a file to read pages from at random, opened by both sides.
type input struct {
	name  string
	pages int64
	os    *os.File
	ring  *rio.Ring
	rio   *rio.File
}

func (s *Stage) input(name string, flag int) (*input, error) {
	in := &input{name: name, pages: s.options.Size / page}
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

func (in *input) place() int64 { return rand.Int64N(in.pages) * page }

// A readFunc reads a page.
type readFunc func(p []byte, off int64) (int, error)

func (in *input) pread(p []byte, off int64) (int, error) { return in.os.ReadAt(p, off) }

func (in *input) rioRead(p []byte, off int64) (int, error) {
	return in.ring.ReadAt(in.rio, p, off).Wait()
}

func whole(n int, err error) error {
	if n == page {
		return nil
	}
	return fmt.Errorf("a read of %d bytes: %w", n, cmp.Or(err, io.ErrUnexpectedEOF))
}

// one reads one page at a time. A cached read costs about as much as ten looks at the clock: it looks after every
// eighth. With lat it must look twice for each, which only reads from a disk can afford.
func (in *input) one(read readFunc, lat *Histogram) load {
	buf := rio.Aligned(page, 0)
	return func(until time.Time) (n int, err error) {
		for more := true; more; more = time.Now().Before(until) { // once at least, however late it comes to run
			if lat != nil {
				start := time.Now()
				if err := whole(read(buf, in.place())); err != nil {
					return n, err
				}
				lat.add(int64(time.Since(start)))
				n++
				continue
			}
			for range 8 {
				if err := whole(read(buf, in.place())); err != nil {
					return n, err
				}
				n++
			}
		}
		return n, nil
	}
}

// goroutines is one in so many goroutines; each has a Histogram, which are added up in the end.
func (in *input) goroutines(n int, read readFunc, lat *Histogram) load {
	own := make([]*Histogram, n)
	l := inGoroutines(n, func(i int) load {
		if lat != nil {
			own[i] = new(Histogram)
		}
		return in.one(read, own[i])
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

func buffers(n, size int) [][]byte {
	bufs := make([][]byte, n)
	for i := range bufs {
		bufs[i] = rio.Aligned(size, 0)
	}
	return bufs
}

// batch starts so many reads, waits for all, and begins again.
func (in *input) batch(inFlight int) load {
	started, bufs := make([]rio.Completion[int], inFlight), buffers(inFlight, page)
	return func(until time.Time) (n int, err error) {
		for time.Now().Before(until) {
			for i := range started {
				started[i] = in.ring.ReadAt(in.rio, bufs[i], in.place())
			}
			for _, c := range started {
				if err := whole(c.Wait()); err != nil {
					return n, err
				}
			}
			n += len(started)
		}
		return n, nil
	}
}

// joined does what batch does without a ring: it starts a goroutine for each of so many reads, and joins them.
func (in *input) joined(inFlight int) load {
	bufs := buffers(inFlight, page)
	return func(until time.Time) (n int, err error) {
		var mu sync.Mutex
		for time.Now().Before(until) && err == nil {
			var reads sync.WaitGroup
			for _, buf := range bufs {
				reads.Go(func() {
					if e := whole(in.pread(buf, in.place())); e != nil {
						mu.Lock()
						err = e
						mu.Unlock()
					}
				})
			}
			reads.Wait()
			n += inFlight
		}
		return n, err
	}
}

// window keeps so many reads in flight: it waits for the oldest, and starts another.
func (in *input) window(inFlight int) load {
	started, bufs := make([]rio.Completion[int], inFlight), buffers(inFlight, page)
	return func(until time.Time) (n int, err error) {
		for i := range started {
			started[i] = in.ring.ReadAt(in.rio, bufs[i], in.place())
		}
		for more := true; more; {
			more = time.Now().Before(until)
			for i := range started {
				if e := whole(started[i].Wait()); e != nil && err == nil {
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
