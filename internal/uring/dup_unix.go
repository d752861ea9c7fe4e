//go:build unix && !linux

package uring

import (
	"os"
	"syscall"
)

// Dup duplicates fd, close-on-exec.
func Dup(fd int) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	n, err := syscall.Dup(fd)
	if err == nil {
		syscall.CloseOnExec(n)
	}
	return n, os.NewSyscallError("dup", err)
}
