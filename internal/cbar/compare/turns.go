//go:build linux

package main

import (
	"cmp"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"github.com/seed-9c58b644/rio"
	"github.com/seed-9c58b644/rio/internal/cbar"
)

// A turn does operations for about d and says what one of them cost.
type turn func(d time.Duration) (cbar.Figures, error)

// A load does operations until then and says how many they were.
type load func(until time.Time) (n int, err error)

// turn measures the load; ring may be one it doesn't use.
func (l load) turn(ring *rio.Ring) turn {
	return func(d time.Duration) (cbar.Figures, error) {
		enters, cpu, start := ring.Stats().Enters, cbar.CPU(), time.Now()
		n, err := l(start.Add(d))
		ops := float64(n)
		return cbar.Figures{
			Wall:   float64(time.Since(start)) / ops,
			CPU:    (cbar.CPU() - cpu) / ops,
			Enters: float64(ring.Stats().Enters-enters) / ops,
		}, err
	}
}

func nopRows(ring *rio.Ring, c cbar.Nop) []row {
	one := func(until time.Time) (n int, err error) {
		for time.Now().Before(until) {
			for range 64 {
				if _, err := ring.Nop().Wait(); err != nil {
					return n, err
				}
			}
			n += 64
		}
		return n, nil
	}
	var started [64]rio.Completion[struct{}]
	batch := func(until time.Time) (n int, err error) {
		for time.Now().Before(until) {
			for i := range started {
				started[i] = ring.Nop()
			}
			for _, c := range started {
				if _, err := c.Wait(); err != nil {
					return n, err
				}
			}
			n += len(started)
		}
		return n, nil
	}
	return []row{
		{"nop/one", "C", cTurn(c, "one"), load(one).turn(ring)},
		{"nop/64", "C", cTurn(c, "64"), load(batch).turn(ring)},
	}
}

// cTurn lets the C loop do as many operations as its last turn says will take the time.
func cTurn(c cbar.Nop, form string) turn {
	ns := 1000.0
	return func(d time.Duration) (cbar.Figures, error) {
		f, err := c.Run(form, int(float64(d)/ns)+1)
		if err == nil && f.Wall > 0 {
			ns = f.Wall
		}
		return f, err
	}
}

type readFunc func(p []byte, off int64) (int, error)

func readRows(ring *rio.Ring, name, cache string) ([]row, error) {
	flag := os.O_RDONLY
	if cache == "direct" {
		flag |= rio.O_DIRECT
	} else if err := cbar.Cache(name); err != nil {
		return nil, err
	}
	// Both stay open until the program ends.
	osFile, err := os.OpenFile(name, flag, 0)
	if err != nil {
		return nil, err
	}
	rioFile, err := ring.OpenFile(name, flag, 0)
	if err != nil {
		return nil, err
	}
	rioRead := func(p []byte, off int64) (int, error) { return ring.ReadAt(rioFile, p, off).Wait() }
	return []row{
		{cache + "/one", "pread", readOne(osFile.ReadAt).turn(ring), readOne(rioRead).turn(ring)},
		{cache + "/64inflight", "pread", readOne(osFile.ReadAt).turn(ring), readInFlight(ring, rioFile).turn(ring)},
		{cache + "/64goroutines", "pread", readGoroutines(osFile.ReadAt).turn(ring), readGoroutines(rioRead).turn(ring)},
	}, nil
}

func randomBlock() int64 { return rand.Int64N(cbar.Blocks) * cbar.Block }

// readOne reads one block at a time. It looks at the clock after every fourth, which costs a hundredth of a cached read.
func readOne(read readFunc) load {
	buf := rio.Aligned(cbar.Block, 0)
	return func(until time.Time) (n int, err error) {
		for time.Now().Before(until) {
			for range 4 {
				if k, err := read(buf, randomBlock()); k != cbar.Block {
					return n, fmt.Errorf("a read of %d bytes: %w", k, cmp.Or(err, io.ErrUnexpectedEOF))
				}
				n++
			}
		}
		return n, nil
	}
}

// readInFlight starts 64 reads, then waits for them.
func readInFlight(ring *rio.Ring, f *rio.File) load {
	var started [64]rio.Completion[int]
	var bufs [len(started)][]byte
	for i := range bufs {
		bufs[i] = rio.Aligned(cbar.Block, 0)
	}
	return func(until time.Time) (n int, err error) {
		for time.Now().Before(until) {
			for i := range started {
				started[i] = ring.ReadAt(f, bufs[i], randomBlock())
			}
			for _, c := range started {
				if k, err := c.Wait(); k != cbar.Block {
					return n, fmt.Errorf("a read of %d bytes: %w", k, cmp.Or(err, io.ErrUnexpectedEOF))
				}
			}
			n += len(started)
		}
		return n, nil
	}
}

// readGoroutines is readOne in 64 goroutines.
func readGoroutines(read readFunc) load {
	var readers [64]load
	for i := range readers {
		readers[i] = readOne(read)
	}
	return func(until time.Time) (n int, err error) {
		type result struct {
			n   int
			err error
		}
		results := make(chan result, len(readers))
		for _, reader := range readers {
			go func() {
				n, err := reader(until)
				results <- result{n, err}
			}()
		}
		for range readers {
			r := <-results
			n += r.n
			if err == nil {
				err = r.err
			}
		}
		return n, err
	}
}
