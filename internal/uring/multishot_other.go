//go:build !linux

package uring

import (
	"errors"
	"syscall"
)

func (r *Ring) Provide(uint16, int, int) (*Buffers, error) { return nil, errors.ErrUnsupported }
func (r *Ring) Withdraw(*Buffers) syscall.Errno            { return syscall.ENOSYS }
func SetBlocking(int) error                                { return errors.ErrUnsupported }
