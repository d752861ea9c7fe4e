package integration

import (
	"os"
	"testing"

	"github.com/hashicorp/raft-wal/fs"
	"github.com/seed-9c58b644/rio/conformance/suite"
)

func TestMain(m *testing.M) {
	code := m.Run()
	suite.Done(fs.Ring)
	os.Exit(code)
}
