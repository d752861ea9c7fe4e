//go:build !unix && !windows

package uring

import "errors"

// Dup duplicates fd, where that can be.
func Dup(int) (int, error) { return -1, errors.ErrUnsupported }
