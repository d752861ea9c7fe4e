//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-9c58b644/rio"
)

// The O_DIRECT rows go to the disk.
func directRows() []Row {
	return []Row{
		{
			Name: "direct/one", Title: "4 KiB O_DIRECT read, one at a time", Unit: "read",
			Goals: []Goal{atMost(0.95, "pread", Wall)},
			Open: directSides(page, func(s *Stage, in *input) []Side {
				return []Side{
					{Name: "pread", Turn: in.one(in.aligned(1)[0], in.pread, nil).turn(nil, nil)},
					s.programs.side("C", "file", "read", in.name, "direct", fmt.Sprint(page), "1"),
					{Name: "rio", Turn: in.one(in.registered(1)[0], in.rioRead, nil).turn(in.ring, nil)},
				}
			}),
		},
		{
			Name: "direct/64", Title: "O_DIRECT, 64 in flight from one goroutine", Unit: "read",
			Goals: []Goal{atLeast(1.0, "fio", Rate), atMost(1.0, "fio", CPU)},
			Open: directSides(page, func(s *Stage, in *input) []Side {
				return []Side{
					{Name: "pread", Turn: in.joined(in.aligned(64)).turn(nil, nil)},
					s.fioSide("fio", in.name, 64),
					s.fioSide("fio registered", in.name, 64, "--fixedbufs", "--registerfiles"),
					s.programs.side("C", "file", "read", in.name, "direct", fmt.Sprint(page), "64"),
					{Name: "rio Aligned", Turn: in.window(in.aligned(64)).turn(in.ring, nil)},
					{Name: "rio", Turn: in.window(in.registered(64)).turn(in.ring, nil)},
				}
			}),
		},
		{
			Name: "direct/64goroutines", Title: "O_DIRECT, 64 goroutines", Unit: "read",
			Goals: []Goal{atLeast(1.0, "fio", Rate), atMost(0.4, "pread", CPU)},
			Open: directSides(page, func(s *Stage, in *input) []Side {
				return []Side{
					{Name: "pread", Turn: in.goroutines(in.aligned(64), in.pread, nil).turn(nil, nil)},
					s.fioSide("fio", in.name, 64),
					{Name: "rio", Turn: in.goroutines(in.registered(64), in.rioRead, nil).turn(in.ring, nil)},
				}
			}),
		},
		{
			Name: "direct/64KiB", Title: "64 KiB O_DIRECT reads, 16 in flight from one goroutine", Unit: "read",
			Goals: []Goal{atLeast(1.0, "C", Rate), atMost(1.0, "rio Aligned", CPU)},
			Open: directSides(64<<10, func(s *Stage, in *input) []Side {
				return []Side{
					{Name: "pread", Turn: in.joined(in.aligned(16)).turn(nil, nil)},
					s.programs.side("C", "file", "read", in.name, "direct", fmt.Sprint(in.block), "16"),
					{Name: "rio Aligned", Turn: in.window(in.aligned(16)).turn(in.ring, nil)},
					{Name: "rio", Turn: in.window(in.registered(16)).turn(in.ring, nil)},
				}
			}),
		},
		busyRow("direct/busy-one", "O_DIRECT, one at a time, as many CPU-bound goroutines as Ps", 1),
		busyRow("direct/busy-64", "O_DIRECT, 64 goroutines, as many CPU-bound goroutines as Ps", 64),
		{
			Name: "write/1MiB", Title: "1 MiB O_DIRECT sequential write, 8 in flight", Unit: "write",
			Goals: []Goal{atLeast(1.0, "C", Rate)},
			Open:  writeSides,
		},
	}
}

func directSides(block int, sides func(*Stage, *input) []Side) func(*Stage) ([]Side, error) {
	return func(s *Stage) ([]Side, error) {
		name, err := s.direct("data")
		if err != nil {
			return nil, err
		}
		in, err := s.input(name, os.O_RDONLY|rio.O_DIRECT, block)
		if err != nil {
			return nil, err
		}
		return sides(s, in), nil
	}
}

func busyRow(name, title string, readers int) Row {
	return Row{
		Name: name, Title: title, Unit: "read",
		Goals: []Goal{atMost(1.0, "pread", P50), atMost(1.0, "pread", P99)},
		Open: directSides(page, func(s *Stage, in *input) []Side {
			var pread, rio Histogram
			return []Side{
				{Name: "pread", Turn: beside(in.goroutines(in.aligned(readers), in.pread, &pread).turn(nil, &pread))},
				{Name: "rio", Turn: beside(in.goroutines(in.registered(readers), in.rioRead, &rio).turn(in.ring, &rio))},
			}
		}),
	}
}

// beside lets a turn take place while as many goroutines as there are Ps compute. Whose CPU time is whose can't be told
// then.
func beside(turn Turn) Turn {
	return func(ctx context.Context, d time.Duration) (Figures, error) {
		var stop atomic.Bool
		var burners sync.WaitGroup
		for range runtime.GOMAXPROCS(0) {
			burners.Go(func() {
				for x := uint32(1); !stop.Load(); {
					for range 1000 {
						x = x*1664525 + 1013904223
					}
					sink.Store(x)
				}
			})
		}
		f, err := turn(ctx, d)
		stop.Store(true)
		burners.Wait()
		delete(f, CPU)
		return f, err
	}
}

var sink atomic.Uint32
