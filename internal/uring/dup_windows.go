package uring

import (
	"os"
	"syscall"
)

// Dup duplicates the handle fd.
func Dup(fd int) (int, error) {
	self, err := syscall.GetCurrentProcess()
	if err != nil {
		return -1, os.NewSyscallError("GetCurrentProcess", err)
	}
	var h syscall.Handle
	err = syscall.DuplicateHandle(self, syscall.Handle(fd), self, &h, 0, false, syscall.DUPLICATE_SAME_ACCESS)
	return int(h), os.NewSyscallError("DuplicateHandle", err)
}
