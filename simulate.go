package rio

import (
	"github.com/seed-9c58b644/rio/internal/hook"
	"github.com/seed-9c58b644/rio/internal/uring"
)

// What package riotest needs of this one, and nobody else: Rings on another kernel than Linux, and Files on that.

// kernelOfTests is what every Ring runs on, if its Make is not nil.
var kernelOfTests hook.Kernel

func init() {
	hook.NewRing = func(config any, k hook.Kernel) (any, error) { return newOn(config.(*Config), k) }
	hook.NewFile = func(ring any, f uring.Virtual) (any, error) { return ring.(*Ring).newVirtual(f) }
	hook.Everywhere = func(k hook.Kernel) { kernelOfTests = k }
	hook.Portable = func() { portable = true }
}
