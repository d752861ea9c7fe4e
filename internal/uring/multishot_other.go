//go:build !linux

package uring

import (
	"errors"
	"os"
	"syscall"
)

func (r *Ring) Provide(uint16, int, int) (*Buffers, error) { return nil, errors.ErrUnsupported }
func (r *Ring) Withdraw(*Buffers) syscall.Errno            { return syscall.ENOSYS }
func Pollable(fd int) *os.File                             { return os.NewFile(uintptr(fd), "") }
func Ended(int) bool                                       { return false }
func DupPath(int) (int, error)                             { return -1, errors.ErrUnsupported }
func SetNonblock(int, bool) error                          { return errors.ErrUnsupported }
