//go:build !windows

package threads

import "syscall"

const canInterrupt = false

// What has no deadlines here can't be ended.
func interrupt(syscall.Conn) {}

func interrupted(error) bool { return false }
