//go:build !linux

package riotest

import (
	"syscall"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// target finds what fd stands for.
func (s *Sim) target(fd int) (target, syscall.Errno) {
	if f, ok := uring.VirtualOf(fd).(*openFile); ok && f.s == s {
		return f, 0
	}
	return nil, syscall.EBADF
}
