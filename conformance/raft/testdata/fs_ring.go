package fs

import (
	"github.com/seed-9c58b644/rio/conformance/suite"
	"github.com/seed-9c58b644/rio/raftwal"
)

// Ring is what the files are on.
var Ring = suite.Ring()

// New stands for the New of the two files that this one takes the place of.
func New() *raftwal.VFS { return raftwal.New(Ring) }
