//go:build linux

package main

import (
	"fmt"
	"os"
)

// The cached rows read from the page cache: the kernel copies, nothing waits.
func cachedRows() []Row {
	return []Row{
		{
			Name: "cached/one", Title: "4 KiB cached read, one at a time", Unit: "read",
			Goals: []Goal{atMost(1.15, "C", Wall)},
			Open: cachedSides("1", "rio Completion", func(in *input) (pread, other, rio load) {
				bufs := in.aligned(3)
				return in.one(bufs[0], in.pread, nil), in.one(bufs[1], in.rioRead, nil), in.one(bufs[2], in.rio.ReadAt, nil)
			}),
		},
		{
			Name: "cached/64", Title: "cached, 64 in flight from one goroutine", Unit: "read",
			Goals: []Goal{atMost(1.0, "pread", Wall), atMost(1.1, "C", Wall)},
			Open: cachedSides("64", "rio Aligned", func(in *input) (pread, other, rio load) {
				return in.joined(in.aligned(64)), in.batch(in.aligned(64)), in.batch(in.registered(64))
			}),
		},
		{
			Name: "cached/64goroutines", Title: "cached, 64 goroutines", Unit: "read",
			Goals: []Goal{atMost(1.0, "pread", Wall)},
			Open: cachedSides("", "rio Completion", func(in *input) (pread, other, rio load) {
				return in.goroutines(in.aligned(64), in.pread, nil), in.goroutines(in.aligned(64), in.rioRead, nil),
					in.goroutines(in.aligned(64), in.rio.ReadAt, nil)
			}),
		},
	}
}

// cachedSides has the C program as a bar too, with so many in flight, unless that is empty; and another way than rio's best: without
// Buffers, or by a Completion. By itself a read is File.ReadAt, as the bar's is os.File.ReadAt.
func cachedSides(inFlight, otherWay string, loads func(*input) (pread, other, rio load)) func(*Stage) ([]Side, error) {
	return func(s *Stage) ([]Side, error) {
		name, err := s.cached("data")
		if err != nil {
			return nil, err
		}
		in, err := s.input(name, os.O_RDONLY, page)
		if err != nil {
			return nil, err
		}
		pread, other, rio := loads(in)
		sides := []Side{{Name: "pread", Turn: pread.turn(nil, nil)}}
		if inFlight != "" {
			sides = append(sides, s.programs.side("C", "file", "read", name, "cached", fmt.Sprint(page), inFlight))
		}
		return append(sides, Side{Name: otherWay, Turn: other.turn(in.ring, nil)}, Side{Name: "rio", Turn: rio.turn(in.ring, nil)}), nil
	}
}
