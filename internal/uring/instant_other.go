//go:build !linux

package uring

import "syscall"

// SendNow sends what can be sent at once.
func SendNow(int, []byte) (int, syscall.Errno) { return 0, syscall.ENOSYS }

// RecvNow receives what is there.
func RecvNow(int, []byte) (int, syscall.Errno) { return 0, syscall.ENOSYS }

// ReadNow reads what is there.
func ReadNow(int, []byte, int64) (int, syscall.Errno) { return 0, syscall.ENOSYS }
