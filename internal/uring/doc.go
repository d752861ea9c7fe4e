// Package uring is the room with the kernel in it: the shapes of io_uring's memory, the system calls, and the
// addresses of pinned memory. But for those below it no package of this module imports unsafe or golang.org/x/sys/unix,
// unless for its tests.
//
// It knows nothing of operations or Completions, and locks no queue: whoever calls Claim, Publish, Next or Done holds the lock
// that serialises that one. Three doors lead out of the room: views of mapped memory (map_linux.go), addresses of pinned
// memory (pin.go), and system calls (ring_linux.go, sys_linux.go, package calls).
package uring
