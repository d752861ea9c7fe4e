//go:build race && linux

package uring

import (
	"runtime"
	"sync"
	"syscall"
	"unsafe"
)

// Race reports whether the race detector is built in.
const Race = true

// RaceAccess tells the race detector that the kernel wrote to b, or read it.
func RaceAccess(b []byte, write bool) {
	if len(b) == 0 {
		return
	}
	if write {
		runtime.RaceWriteRange(unsafe.Pointer(unsafe.SliceData(b)), len(b))
	} else {
		runtime.RaceReadRange(unsafe.Pointer(unsafe.SliceData(b)), len(b))
	}
}

// RaceBlind runs f without the edges that its synchronisation would make.
func RaceBlind(f func()) {
	runtime.RaceDisable()
	f()
	runtime.RaceEnable()
}

// RaceRelease and RaceAcquire make an edge from the one to the other.
func RaceRelease(p *byte) { runtime.RaceReleaseMerge(unsafe.Pointer(p)) }

// RaceAcquire is the other end of RaceRelease.
func RaceAcquire(p *byte) { runtime.RaceAcquire(unsafe.Pointer(p)) }

// null is a descriptor that a read of nothing succeeds on.
var null = sync.OnceValue(func() int {
	fd, err := syscall.Open("/dev/null", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return fd
})

// RacePublish makes the edge that package syscall makes of each Write.
func RacePublish() { syscall.Write(-1, nil) }

// RaceJoin makes the edge that package syscall makes of each successful Read.
func RaceJoin() { syscall.Read(null(), nil) }
