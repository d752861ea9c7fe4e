package bbolt_test

import (
	"github.com/seed-9c58b644/rio/conformance/suite"
	"go.etcd.io/bbolt"
)

// done is for the end of the tests.
func done(code int) int {
	suite.Done(bbolt.Ring)
	return code
}
