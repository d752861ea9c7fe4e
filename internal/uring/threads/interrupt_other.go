//go:build !windows

package threads

// interrupts returns nothing: what has no deadlines here can't be ended.
func interrupts(any) interrupter { return interrupter{} }
