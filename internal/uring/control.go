package uring

import (
	"errors"
	"sync"
	"syscall"
)

// What RawConn.Control is, and does with its function, is up to whoever has made it: it may call that twice, never, or later, panic, or
// say that it failed. What has been published is the kernel's all the same.

// ErrUncalled is what a Control has done that says nothing else.
var ErrUncalled = errors.New("RawConn.Control has not called its function")

// Control is raw.Control, but that calls f once, before it returns, or is an error; what it says after f is of no account. If somebody
// else is at f when Control returns it waits for that.
func Control(raw syscall.RawConn, f func(fd uintptr)) error {
	var mu sync.Mutex
	called, over := false, false // over: or it won't be any more
	end := func() bool {
		mu.Lock()
		defer mu.Unlock()
		over = true
		return called
	}
	defer end()
	err := raw.Control(func(fd uintptr) {
		mu.Lock()
		defer mu.Unlock()
		if !called && !over {
			called = true
			f(fd)
		}
	})
	switch {
	case end():
		return nil
	case err == nil:
		return ErrUncalled
	}
	return err
}
