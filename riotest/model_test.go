package riotest_test

import (
	"os"
	"testing"

	"github.com/seed-9c58b644/rio"
	"github.com/seed-9c58b644/rio/internal/model"
	"github.com/seed-9c58b644/rio/riotest"
)

// runModel is n random operations on a simulated machine. It returns what all results come to.
func runModel(t *testing.T, seed uint64, n int, o riotest.Options) uint64 {
	t.Helper()
	sim, err := riotest.New(seed, &o)
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.New(seed, sim.Ring(), func(name string) (*rio.File, error) {
		return sim.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Run(n); err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	if err := m.Close(); err != nil {
		t.Errorf("seed %d: closing the files: %v", seed, err)
	}
	if err := sim.Close(); err != nil {
		t.Errorf("seed %d: closing the Ring: %v", seed, err)
	}
	if s := sim.Ring().Stats(); s.InFlight != 0 || s.Started != s.Completed {
		t.Errorf("seed %d: %+v", seed, s)
	}
	return m.Sum
}

func TestModelInLockstep(t *testing.T) {
	runModel(t, 1, 2000, riotest.Options{Lockstep: true, Faults: riotest.Everything})
}

func TestModel(t *testing.T) {
	runModel(t, 1, 2000, riotest.Options{Faults: riotest.Everything})
}
