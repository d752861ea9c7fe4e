package riotest_test

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/seed-9c58b644/rio"
	"github.com/seed-9c58b644/rio/riotest"
)

// A journal is a log of lines.
type journal struct {
	f   *rio.File
	end int64
}

// Append returns when the line is durable.
func (j *journal) Append(line string) error {
	n, err := j.f.WriteAt([]byte(line+"\n"), j.end)
	if err == nil {
		err = j.f.Datasync()
	}
	if err == nil {
		j.end += int64(n)
	}
	return err
}

// lines are those of the journal in f that are whole.
func lines(f *rio.File) ([]string, error) {
	b, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	all := strings.Split(string(b), "\n")
	return all[:len(all)-1], nil
}

// powerCut appends some lines, cuts the power, and returns what was acknowledged and what is there afterwards.
func powerCut(seed uint64) (acknowledged, found []string, err error) {
	sim, err := riotest.New(seed, &riotest.Options{Lockstep: true, Faults: riotest.Everything})
	if err != nil {
		return nil, nil, err
	}
	defer sim.Close()
	f, err := sim.OpenFile("journal", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	j := journal{f: f}
	for i := range 10 {
		line := fmt.Sprintf("line %d", i)
		if err := j.Append(line); err != nil {
			return nil, nil, err
		}
		acknowledged = append(acknowledged, line)
	}
	sim.Ring().WriteAt(f, []byte("a line that nobody waits for\n"), j.end)

	after, err := riotest.New(seed, &riotest.Options{Disk: sim.Crash()})
	if err != nil {
		return nil, nil, err
	}
	defer after.Close()
	g, err := after.OpenFile("journal", os.O_RDONLY, 0)
	if err != nil {
		return nil, nil, err
	}
	defer g.Close()
	found, err = lines(g)
	return acknowledged, found, err
}

// A journal that syncs before it acknowledges survives whatever power cut.
func Example() {
	for seed := range uint64(100) {
		acknowledged, found, err := powerCut(seed)
		if err != nil {
			fmt.Println("seed", seed, err)
			return
		}
		if len(found) < len(acknowledged) || !slices.Equal(found[:len(acknowledged)], acknowledged) {
			fmt.Printf("seed %d: %q are left of %q\n", seed, found, acknowledged)
			return
		}
	}
	fmt.Println("100 power cuts, nothing lost")
	// Output: 100 power cuts, nothing lost
}
