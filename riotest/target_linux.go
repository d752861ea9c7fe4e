package riotest

import (
	"syscall"

	"github.com/seed-9c58b644/rio/internal/uring"
	"github.com/seed-9c58b644/rio/internal/uring/calls"
)

// target finds what fd stands for: a file of the simulated disk, or a descriptor of the process's.
func (s *Sim) target(fd int) (target, syscall.Errno) {
	if f, ok := uring.VirtualOf(fd).(*openFile); ok && f.s == s {
		return f, 0
	}
	dup, err := uring.Dup(fd)
	if err != nil {
		return nil, syscall.EBADF
	}
	return &descriptor{calls.Describe(dup)}, 0
}

// A descriptor is one of the process's, duplicated: what is done to it is a system call that doesn't wait.
type descriptor struct{ calls.Descriptor }

func (d *descriptor) bounded() bool { return d.Bounded }
func (d *descriptor) release()      { uring.CloseFD(d.FD) }

func (d *descriptor) perform(r *request) (int32, bool) { return d.Perform(&r.Request, &r.progress) }
