package vfs_test

import (
	"os"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/seed-9c58b644/rio/conformance/suite"
	"github.com/seed-9c58b644/rio/pebblevfs"
)

func TestMain(m *testing.M) {
	ring := suite.Ring()
	vfs.Default = pebblevfs.New(ring)
	code := m.Run()
	suite.Done(ring)
	os.Exit(code)
}
