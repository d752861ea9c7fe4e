//go:build !linux

package threads

import (
	"errors"
	"syscall"
)

type (
	kernelOS  struct{}
	requestOS struct{}
)

// There are no descriptors here but Virtuals.

func (k *kernel) init()                           {}
func (k *kernel) closeOS()                        {}
func (k *kernel) hold(syscall.Conn) (lent, error) { return lent{}, errors.ErrUnsupported }
func (r *request) descriptor() target             { return nil }
