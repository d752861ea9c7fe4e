package fs

import (
	"os"
	"testing"

	"github.com/seed-9c58b644/rio/conformance/suite"
)

func TestMain(m *testing.M) {
	code := m.Run()
	suite.Done(Ring)
	os.Exit(code)
}
