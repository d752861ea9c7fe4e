//go:build !linux

package uring

import "errors"

// An Option has no meaning here.
type Option struct{}

var NoDelay, KeepAlive, KeepIdle, KeepInterval, KeepCount, RecvBuffer, SendBuffer Option

func SetOption(int, Option, int) error { return errors.ErrUnsupported }
func SetLinger(int, int) error         { return errors.ErrUnsupported }
