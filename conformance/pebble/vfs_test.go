package pebble

import (
	"testing"
	"time"

	_ "github.com/cockroachdb/datadriven" // so that go.sum has what Pebble's tests need
	"github.com/seed-9c58b644/rio/conformance/suite"
)

func TestPebblesTestsOfVFSPassOnTheRing(t *testing.T) {
	suite.Require(t)
	const module = "github.com/cockroachdb/pebble/v2"
	c := suite.Make(t, module)
	c.Add(t, "testdata/vfs_ring_test.go", "vfs/rio_test.go")
	r := c.Test(t, []string{"./vfs"}, 3*time.Minute)
	var want []string
	for _, name := range []string{
		"TestVFS/disk", "TestVFSGetDiskUsage", "TestVFSCreateLinkSemantics/*pebblevfs.FS", "TestVFSRootDirName", "TestLock",
		"TestLockSameProcess", "TestFileWrappersHaveFd", "TestSyncingFile", "TestSyncingFileClose", "TestSyncingFileNoSyncOnClose",
	} {
		want = append(want, module+"/vfs."+name)
	}
	r.Want(t, want, 50, nil, 20)
}
