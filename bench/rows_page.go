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
			Open: cachedSides("1", func(in *input) (pread load, rio []load) {
				bufs := in.aligned(2)
				return in.one(bufs[0], in.pread, nil), []load{in.one(bufs[1], in.rioRead, nil)}
			}),
		},
		{
			Name: "cached/64", Title: "cached, 64 in flight from one goroutine", Unit: "read",
			Goals: []Goal{atMost(1.0, "pread", Wall), atMost(1.1, "C", Wall)},
			Open: cachedSides("64", func(in *input) (pread load, rio []load) {
				return in.joined(in.aligned(64)), []load{in.batch(in.aligned(64)), in.batch(in.registered(64))}
			}),
		},
		{
			Name: "cached/64goroutines", Title: "cached, 64 goroutines", Unit: "read",
			Goals: []Goal{atMost(1.0, "pread", Wall)},
			Open: cachedSides("", func(in *input) (pread load, rio []load) {
				return in.goroutines(in.aligned(64), in.pread, nil), []load{in.goroutines(in.aligned(64), in.rioRead, nil)}
			}),
		},
	}
}

// cachedSides has the C program as a bar too, with so many in flight, unless that is empty. Of two loads of rio's the first is
// without Buffers.
func cachedSides(inFlight string, loads func(*input) (pread load, rio []load)) func(*Stage) ([]Side, error) {
	return func(s *Stage) ([]Side, error) {
		name, err := s.cached("data")
		if err != nil {
			return nil, err
		}
		in, err := s.input(name, os.O_RDONLY, page)
		if err != nil {
			return nil, err
		}
		pread, rio := loads(in)
		sides := []Side{{Name: "pread", Turn: pread.turn(nil, nil)}}
		if inFlight != "" {
			sides = append(sides, s.programs.side("C", "file", "read", name, "cached", fmt.Sprint(page), inFlight))
		}
		if len(rio) > 1 {
			sides = append(sides, Side{Name: "rio Aligned", Turn: rio[0].turn(in.ring, nil)})
		}
		return append(sides, Side{Name: "rio", Turn: rio[len(rio)-1].turn(in.ring, nil)}), nil
	}
}
