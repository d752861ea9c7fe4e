//go:build linux

package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/seed-9c58b644/rio"
)

// The NOP rows measure what the way into the kernel and back costs when the kernel has nothing to do.
func nopRows() []Row {
	return []Row{
		{
			Name: "nop/one", Title: "NOP, one at a time", Unit: "NOP",
			Goals: []Goal{atMost(1.2, "C", Wall)},
			Open:  nopSides(nopOne, "nop", "1", "1"),
		},
		{
			Name: "nop/64", Title: "NOP, 64 in flight from one goroutine", Unit: "NOP",
			Goals: []Goal{atMost(1.5, "C", Wall)},
			Open:  nopSides(func(ring *rio.Ring) load { return nopBatch(ring, 64) }, "nop", "1", "64"),
		},
		{
			Name: "nop/64goroutines", Title: "NOP, 64 goroutines", Unit: "NOP",
			Goals: []Goal{atMost(1.0, "C", Wall)},
			Open:  nopSides(nopGoroutines, "nop", "64", "1"),
		},
	}
}

// depthRows keep more and more in flight, on a ring of that depth.
func depthRows() []Row {
	var rows []Row
	for n := 64; n <= 32768; n *= 2 {
		rows = append(rows, Row{
			Name: fmt.Sprintf("depth/%d", n), Title: fmt.Sprintf("NOP, %d in flight", n), Unit: "NOP",
			Goals: []Goal{atMost(1.5, "C", Wall)},
			Open: func(s *Stage) ([]Side, error) {
				ring, err := s.ring(&rio.Config{Depth: n})
				if err != nil {
					return nil, err
				}
				return []Side{
					s.programs.side("C", "nop", "1", fmt.Sprint(n)),
					{Name: "rio", Turn: nopBatch(ring, n).turn(ring, nil)},
				}, nil
			},
		})
	}
	return rows
}

func nopSides(l func(*rio.Ring) load, program string, args ...string) func(*Stage) ([]Side, error) {
	return func(s *Stage) ([]Side, error) {
		ring, err := s.ring(nil)
		if err != nil {
			return nil, err
		}
		return []Side{
			s.programs.side("C", program, args...),
			{Name: "rio", Turn: l(ring).turn(ring, nil)},
		}, nil
	}
}

func nopOne(ring *rio.Ring) load {
	return func(until time.Time) (n int, err error) {
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
}

// nopBatch starts so many, waits for all, and begins again.
func nopBatch(ring *rio.Ring, inFlight int) load {
	started := make([]rio.Completion[struct{}], inFlight)
	return func(until time.Time) (n int, err error) {
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
}

func nopGoroutines(ring *rio.Ring) load {
	return inGoroutines(64, func(int) load { return nopOne(ring) })
}

// inGoroutines lets so many loads work at once.
func inGoroutines(n int, each func(i int) load) load {
	loads := make([]load, n)
	for i := range loads {
		loads[i] = each(i)
	}
	return func(until time.Time) (int, error) {
		done := make([]int, n)
		errs := make([]error, n)
		var all sync.WaitGroup
		for i, l := range loads {
			all.Go(func() { done[i], errs[i] = l(until) })
		}
		all.Wait()
		total := 0
		for i := range done {
			total += done[i]
			if errs[i] != nil {
				return total, errs[i]
			}
		}
		return total, nil
	}
}
