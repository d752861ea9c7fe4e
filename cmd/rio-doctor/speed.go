package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/seed-9c58b644/rio"
)

// A speed is how long an operation takes by the ring, and how long what one would do without.
type speed struct {
	Name  string  `json:"name"`
	Ring  float64 `json:"ring_ns"`
	Bar   float64 `json:"pread_ns,omitempty"`
	Ratio float64 `json:"ratio,omitempty"`
}

const (
	block  = 4096
	blocks = 2048
	atOnce = 64
	turn   = 20 * time.Millisecond // both sides take theirs alternately, and what counts is the median
	turns  = 5
)

// measure takes about a second.
func (r *report) measure() {
	if !r.Works {
		r.Unmeasured = "io_uring doesn't work"
		return
	}
	ring, err := rio.New(&rio.Config{Backend: rio.IOUring})
	if err == nil {
		defer ring.Close()
		if b, because := ring.Backend(); b != rio.IOUring {
			err = fmt.Errorf("rings run on %v here: %s", b, because)
		}
	}
	if err == nil {
		err = r.nops(ring)
	}
	if err == nil && r.Disk.Error == "" {
		err = r.reads(ring)
	}
	if err != nil {
		r.Unmeasured = err.Error()
	}
}

func (r *report) nops(ring *rio.Ring) error {
	err := r.compare("NOP, one at a time", func() (int, error) {
		_, err := ring.Nop().Wait()
		return 1, err
	}, nil)
	if err != nil {
		return err
	}
	var nops [atOnce]rio.Completion[struct{}]
	return r.compare("NOP, 64 at once", func() (int, error) {
		for i := range nops {
			nops[i] = ring.Nop()
		}
		for _, c := range nops {
			if _, err := c.Wait(); err != nil {
				return 0, err
			}
		}
		return atOnce, nil
	}, nil)
}

// reads reads blocks of a file, from the page cache and past it.
func (r *report) reads(ring *rio.Ring) error {
	tmp, err := os.CreateTemp(r.Disk.dir, ".rio-doctor-")
	if err != nil {
		return err
	}
	defer removing(tmp.Name())()
	defer tmp.Close()
	if _, err := tmp.Write(make([]byte, block*blocks)); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	for _, flag := range []int{0, rio.O_DIRECT} {
		cache := "from the page cache"
		if flag != 0 {
			if cache = "O_DIRECT"; r.Disk.Direct != "yes" {
				return fmt.Errorf("O_DIRECT: %s", r.Disk.Direct)
			}
		}
		if err := r.readWith(ring, tmp.Name(), flag, cache); err != nil {
			return err
		}
	}
	return nil
}

func (r *report) readWith(ring *rio.Ring, name string, flag int, cache string) error {
	std, err := os.OpenFile(name, os.O_RDONLY|flag, 0)
	if err != nil {
		return err
	}
	defer std.Close()
	f, err := ring.OpenFile(name, os.O_RDONLY|flag, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	bufs := make([][]byte, atOnce)
	for i := range bufs {
		bufs[i] = rio.Aligned(block, block)
	}
	pread := func() (int, error) {
		_, err := std.ReadAt(bufs[0], rand.Int64N(blocks)*block)
		return 1, err
	}
	err = r.compare("read 4 KiB, "+cache+", one at a time", func() (int, error) {
		_, err := ring.ReadAt(f, bufs[0], rand.Int64N(blocks)*block).Wait()
		return 1, err
	}, pread)
	if err != nil || flag == 0 {
		return err
	}
	var reads [atOnce]rio.Completion[int]
	return r.compare("read 4 KiB, "+cache+", 64 at once", func() (int, error) {
		for i := range reads {
			reads[i] = ring.ReadAt(f, bufs[i], rand.Int64N(blocks)*block)
		}
		for _, c := range reads {
			if _, err := c.Wait(); err != nil {
				return 0, err
			}
		}
		return atOnce, nil
	}, pread)
}

// compare lets both take their turns. Each call does some operations and says how many.
func (r *report) compare(name string, ours, bar func() (int, error)) error {
	s := speed{Name: name}
	var times [2][]float64
	for range turns {
		for i, do := range []func() (int, error){ours, bar} {
			if do == nil {
				continue
			}
			n, began := 0, time.Now()
			for time.Since(began) < turn {
				m, err := do()
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				n += m
			}
			times[i] = append(times[i], float64(time.Since(began).Nanoseconds())/float64(n))
		}
	}
	s.Ring = median(times[0])
	if bar != nil {
		s.Bar = median(times[1])
		s.Ratio = s.Ring / s.Bar
	}
	r.Speed = append(r.Speed, s)
	return nil
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
