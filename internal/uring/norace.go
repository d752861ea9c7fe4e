//go:build !race || !linux

package uring

// Race reports whether the race detector is built in.
const Race = false

// RaceAccess does nothing without the race detector; nor do the others.
func RaceAccess([]byte, bool) {}

// RaceBlind runs f.
func RaceBlind(f func()) { f() }

// RaceRelease does nothing.
func RaceRelease(*byte) {}

// RacePublish does nothing.
func RacePublish() {}

// RaceJoin does nothing.
func RaceJoin() {}

// RaceAcquire does nothing.
func RaceAcquire(*byte) {}
