// Package hook is how packages of this module reach what package rio exports to nobody else. Package rio fills it in when it
// is initialised; it can't be imported from here, so Rings and Files pass as any.
package hook

import "github.com/seed-9c58b644/rio/internal/uring"

// A Kernel says what a Ring is to run on instead of Linux.
type Kernel struct {
	Make   func(*uring.Queues) uring.Kernel
	Manual bool // the Ring does nothing by itself, only what somebody waits for: no sweeper
}

var (
	// NewRing is rio.New on k. The first argument is a *rio.Config, the result a *rio.Ring.
	NewRing func(config any, k Kernel) (any, error)

	// NewFile makes a *rio.File of f, on a *rio.Ring.
	NewFile func(ring any, f uring.Virtual) (any, error)

	// Everywhere makes every rio.New use k from here on; the zero Kernel is Linux. It is for TestMain.
	Everywhere func(k Kernel)

	// Portable makes every Ring on threads one that has no system's descriptors, as it is where there is no Linux. It is for
	// TestMain.
	Portable func()
)

// Simulate makes the kernel that a test suite written for Linux can run on. Package riotest fills it in.
var Simulate func(seed uint64) Kernel
