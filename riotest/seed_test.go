package riotest_test

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/seed-9c58b644/rio"
	"github.com/seed-9c58b644/rio/internal/uring"
	"github.com/seed-9c58b644/rio/riotest"
)

// A million operations: seed after seed, each a machine of its own, half of them in lockstep. RIO_TEST_SEEDS says which range
// of seeds (1, if not set), RIO_TEST_SEED replays one.
func TestMillionOperations(t *testing.T) {
	if s := os.Getenv("RIO_TEST_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 0, 64)
		if err != nil {
			t.Fatal(err)
		}
		seeded(t, seed)
		return
	}
	total := 1_000_000
	if testing.Short() || uring.Race {
		total = 100_000
	}
	first := uint64(1)
	if s := os.Getenv("RIO_TEST_SEEDS"); s != "" {
		n, err := strconv.ParseUint(s, 0, 32)
		if err != nil {
			t.Fatal(err)
		}
		first = n * 1000
	}
	for seed := first; total > 0; seed++ {
		total -= seeded(t, seed)
	}
}

// seeded is one seed of that, and returns how many operations it was.
func seeded(t *testing.T, seed uint64) int {
	t.Helper()
	const n = 2500
	o := riotest.Options{Faults: riotest.Everything, Lockstep: seed%2 == 0}
	o.Config = &rio.Config{Depth: 4 << (seed / 2 % 7)}
	runModel(t, seed, n, o)
	return n
}

func TestASeedRepeatsEverything(t *testing.T) {
	if uring.Race {
		t.Skip("under the race detector witnesses resolve what has ended, when they get to run")
	}
	run := func(seed uint64) (string, uint64) {
		var trace bytes.Buffer
		o := riotest.Options{Lockstep: true, Faults: riotest.Everything, Trace: &trace, Config: &rio.Config{Depth: 16}}
		sum := runModel(t, seed, 3000, o)
		return trace.String(), sum
	}
	for seed := range uint64(5) {
		trace, sum := run(seed)
		if len(trace) < 10000 {
			t.Fatalf("the trace has %d bytes", len(trace))
		}
		for range 3 {
			again, other := run(seed)
			if again != trace || other != sum {
				t.Fatalf("seed %d: twice, and not the same: %s", seed, difference(trace, again))
			}
		}
		if another, _ := run(seed + 1000); another == trace {
			t.Errorf("seeds %d and %d are the same", seed, seed+1000)
		}
	}
}

func difference(a, b string) string {
	x, y := bytes.Split([]byte(a), []byte("\n")), bytes.Split([]byte(b), []byte("\n"))
	for i := range min(len(x), len(y)) {
		if !bytes.Equal(x[i], y[i]) {
			return fmt.Sprintf("line %d: %s, then %s", i, x[i], y[i])
		}
	}
	return fmt.Sprintf("%d lines, then %d", len(x), len(y))
}
