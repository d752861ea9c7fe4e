package raft

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio/conformance/suite"
)

func TestRaftWALsTestsOfVFSPassOnTheRing(t *testing.T) {
	suite.Require(t)
	const module = "github.com/hashicorp/raft-wal"
	c := suite.Make(t, module)
	// These tests make what they test by New, of the package that they are in.
	for _, name := range []string{"fs.go", "file.go"} {
		if err := os.Remove(filepath.Join(c.Dir, "fs", name)); err != nil {
			t.Fatal(err)
		}
	}
	c.Add(t, "testdata/fs_ring.go", "fs/rio.go")
	c.Add(t, "testdata/fs_ring_test.go", "fs/rio_test.go")
	c.Add(t, "testdata/integration_ring_test.go", "integration/rio_test.go") // the log as a whole
	r := c.Test(t, []string{"./fs", "./integration"}, time.Minute)
	want := []string{module + "/fs.TestFS", module + "/fs.TestRealFSNoDir", module + "/integration.TestIntegrationScenarios"}
	// 5 WriteAts, 7 ReadAts, a Sync with its directory, another one, a Delete, and an allocation;
	// what the log does beside that is its own affair.
	r.Want(t, want, 10, nil, 100)
}
