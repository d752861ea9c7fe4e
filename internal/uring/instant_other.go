//go:build !linux

package uring

import "syscall"

// SendNow sends what can be sent at once: nothing.
func SendNow(int, []byte) (int, syscall.Errno) { return 0, syscall.EAGAIN }

// RecvNow receives what is there: nothing.
func RecvNow(int, []byte) (int, syscall.Errno) { return 0, syscall.EAGAIN }

// ReadNow reads what is there.
func ReadNow(int, []byte, int64) (int, syscall.Errno) { return 0, syscall.ENOSYS }
