package pebble

import (
	"bytes"
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/metamorphic"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/seed-9c58b644/rio"
	"github.com/seed-9c58b644/rio/conformance/suite"
	"github.com/seed-9c58b644/rio/pebblevfs"
)

var (
	ops  = flag.Int("meta.ops", 0, "operations for each set of options of the metamorphic test; 0 means 2000, with -short 200")
	seed = flag.Uint64("meta.seed", 0, "the seed of the metamorphic test; 0 means a new one")

	// With these RunAndCompare runs this program again, once for each set of options.
	runDir    = flag.String("run-dir", "", "the directory of the one run to do, for the metamorphic test's child processes")
	_         = flag.Bool("keep", false, "as run-dir")
	opTimeout = flag.Duration("op-timeout", 0, "as run-dir")
	_         = flag.String("key-format", "", "as run-dir")
)

// sets is how many sets of options RunAndCompare tries: 30 that are written down, and as many at random.
const sets = 60

// figures names the directory in which each child process leaves what its ring has done.
const figures = "RIO_CONFORMANCE_FIGURES"

// A count is how many operations are made.
type count int

func (c count) Uint64(*rand.Rand) uint64 { return uint64(c) }

// The same operations, by the same store set up in 60 ways, each in a process of its own with its files on a ring,
// must come to the same results.
func TestMetamorphicHistoriesAreEqual(t *testing.T) {
	if *runDir != "" {
		runOnce(t)
		return
	}
	suite.Require(t)
	n := *ops
	switch {
	case n == 0 && testing.Short():
		n = 200
	case n == 0:
		n = 2000
	}
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("%d operations, -meta.seed=%d", n, *seed)
	dir := t.TempDir()
	t.Setenv(figures, dir)
	metamorphic.RunAndCompare(t, t.TempDir(), metamorphic.UseDisk, metamorphic.OpCount(count(n)), metamorphic.Seed(*seed),
		metamorphic.OpTimeout(5*time.Minute), metamorphic.TestkeysKeyFormat)
	if t.Failed() {
		return
	}
	wantFigures(t, dir)
}

// wantFigures fails the test unless every one of the child processes has had its ring at work.
func wantFigures(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != sets {
		t.Errorf("%d runs have told of their ring, %v; want %d", len(files), err, sets)
	}
	var all rio.Stats
	for _, name := range files {
		var one rio.Stats
		if content, err := os.ReadFile(name); err != nil {
			t.Error(err)
		} else if err := json.Unmarshal(content, &one); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		// The least that any store does is to write and sync its MANIFEST, OPTIONS and marker files and their directory.
		// With several Ps these need no request of the kernel's.
		if one.Completed < 10 || one.Completed != one.Started || one.InFlight != 0 {
			t.Errorf("%s: the ring has done too little, or left something: %+v", filepath.Base(name), one)
		}
		all.Completed += one.Completed
		all.Enters += one.Enters
	}
	t.Logf("%d runs, on their rings %d operations in %d enters", len(files), all.Completed, all.Enters)
}

// runOnce is a child process: one store, one set of options.
func runOnce(t *testing.T) {
	ring := suite.Ring()
	vfs.Default = pebblevfs.New(ring) // before any options are read: they take it from there
	relax(t)
	metamorphic.RunOnce(t, *runDir, 0, filepath.Join(*runDir, "history"),
		metamorphic.MaxThreads(1<<20), metamorphic.OpTimeout(*opTimeout), metamorphic.TestkeysKeyFormat)
	if err := ring.Close(); err != nil {
		t.Error(err)
	}
	content, err := json.Marshal(ring.Stats())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(os.Getenv(figures), filepath.Base(*runDir)), content, 0o666); err != nil {
		t.Error(err)
	}
}

// relax removes strictfs from the run's options: with it a restart forgets what was not synced, which the test knows how
// to do to files in memory only.
func relax(t *testing.T) {
	name := filepath.Join(*runDir, "OPTIONS")
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(content, []byte("\n  use_disk=true\n")) {
		t.Fatalf("the options don't ask for the disk:\n%s", content)
	}
	content = bytes.ReplaceAll(content, []byte("\n  strictfs=true\n"), []byte("\n"))
	if err := os.WriteFile(name, content, 0o666); err != nil {
		t.Fatal(err)
	}
}
