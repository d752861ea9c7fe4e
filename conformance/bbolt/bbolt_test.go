package bbolt

import (
	"testing"
	"time"

	"github.com/seed-9c58b644/rio/conformance/suite"
	_ "github.com/stretchr/testify/require" // so that go.sum has what bbolt's tests need
	_ "go.etcd.io/bbolt"
	_ "go.etcd.io/gofail/runtime"
	_ "golang.org/x/sync/errgroup"
)

const module = "go.etcd.io/bbolt"

// What is skipped wants another page size, more locked memory, or Windows, which it says by its name only; or it has not
// been written yet.
var reasons = []string{"page size", "RLIMIT_MEMLOCK", "TestDB_MaxSizeExceededDoesNotGrow", "TestDB_WindowsMMapReadsAndWritesWithMaxSize", "pending"}

func TestBboltsTestsPassOnTheRing(t *testing.T) {
	suite.Require(t)
	c := suite.Make(t, module)
	c.Add(t, "testdata/ring.go", "bolt_linux.go")
	c.Add(t, "testdata/done_test.go", "rio_test.go")
	c.Replace(t, "db.go", "db.ops.writeAt = db.file.WriteAt\n", "db.ops.writeAt = writeAt(db)\n")
	c.Replace(t, "quick_test.go", "os.Exit(m.Run())", "os.Exit(done(m.Run()))")
	var want []string
	for _, name := range []string{
		"TestOpen", "TestDB_Open_InitialMmapSize", "TestDB_Batch", "TestTx_Commit_ErrTxNotWritable", "TestBucket_Put",
		"TestCursor_QuickCheck", "TestTx_Check_CorruptPage", "TestTx_CopyFile",
	} {
		want = append(want, module+"."+name)
	}
	if testing.Short() {
		c.Test(t, []string{"."}, 3*time.Minute, "-short").Want(t, want, 180, append(reasons, "short mode"), 1000)
		return
	}
	for _, freelist := range []string{"array", "hashmap"} {
		t.Run(freelist, func(t *testing.T) {
			t.Setenv("TEST_FREELIST_TYPE", freelist)
			c.Test(t, []string{"."}, time.Hour).Want(t, want, 220, reasons, 100000)
		})
	}
}
