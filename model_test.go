package rio_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/seed-9c58b644/rio"
	"github.com/seed-9c58b644/rio/internal/model"
	"github.com/seed-9c58b644/rio/riotest"
)

// The same random operations, compared with slices of bytes, on this kernel (or the simulated one: RIO_TEST_SIM), on files of
// the system; package riotest's tests have them on files of a simulated disk.
func TestModel(t *testing.T) {
	n := 20000
	if testing.Short() {
		n = 3000
	}
	for _, cfg := range []*rio.Config{nil, {Depth: 4}, {Depth: 16, CQDepth: 32}} {
		r := newRing(t, cfg)
		dir := t.TempDir()
		runModel(t, r, n, func(name string) (*rio.File, error) {
			return r.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_RDWR, 0o644)
		})
	}
}

func TestModelOnASimulatedDisk(t *testing.T) {
	sim, err := riotest.New(1, &riotest.Options{Faults: riotest.Everything})
	if err != nil {
		t.Fatal(err)
	}
	runModel(t, sim.Ring(), 3000, func(name string) (*rio.File, error) {
		return sim.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	})
	if err := sim.Close(); err != nil {
		t.Error(err)
	}
}

func runModel(t *testing.T, r *rio.Ring, n int, open func(name string) (*rio.File, error)) {
	t.Helper()
	m, err := model.New(1, r, open)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Run(n); err != nil {
		t.Error(err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}
