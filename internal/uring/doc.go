// Package uring is the room with the kernel in it: the shapes of io_uring's memory, the system calls, and the
// addresses of pinned memory. It is the only package of this module that imports unsafe or golang.org/x/sys/unix.
//
// It knows nothing of goroutines, locks or Completions: whoever calls Claim, Publish or Reap holds the lock that
// serialises that queue. Three doors lead out of the room: views of mapped memory (map_linux.go), addresses of pinned
// memory (pin.go), and system calls (ring_linux.go, sys_linux.go).
package uring
