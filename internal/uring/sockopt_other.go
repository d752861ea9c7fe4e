//go:build !linux

package uring

import "errors"

// An Option is a number that a Virtual knows.
type Option struct{ n int }

// The options that a connection has methods for.
var (
	NoDelay      = Option{1}
	KeepAlive    = Option{2}
	KeepIdle     = Option{3}
	KeepInterval = Option{4}
	KeepCount    = Option{5}
	RecvBuffer   = Option{6}
	SendBuffer   = Option{7}
)

func setOption(int, Option, int) error { return errors.ErrUnsupported }
func setLinger(int, int) error         { return errors.ErrUnsupported }
