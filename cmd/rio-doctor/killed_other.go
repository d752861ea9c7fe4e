//go:build !linux

package main

import "os"

func badCall(*os.ProcessState) bool { return false }

func noCore() {}

func survives(f func()) bool {
	f()
	return true
}
