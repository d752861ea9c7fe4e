package uring

import (
	"os"
	"syscall"
	"time"
)

// A Dozer is an eventfd that makes the runtime look at Go's poller. One goroutine at a time may use it.
type Dozer struct {
	file *os.File
	raw  syscall.RawConn
	rung bool
	try  func(fd uintptr) bool
}

// NewDozer makes one; it is an error if nothing can wait on it.
func NewDozer() (*Dozer, error) {
	fd, err := newEventfd()
	if err != nil {
		return nil, err
	}
	b := &Dozer{file: Pollable(fd)}
	b.try = func(fd uintptr) bool {
		if b.rung {
			return true
		}
		b.rung = true
		return ringEventfd(fd) != 0 // the poller hears of each write, so nobody reads
	}
	if b.raw, err = b.file.SyscallConn(); err == nil {
		err = b.file.SetReadDeadline(time.Time{})
	}
	if err != nil {
		b.file.Close()
		return nil, err
	}
	return b, nil
}

// Doze sleeps until the runtime has looked at the poller: with one P, when no goroutine can run.
func (b *Dozer) Doze() {
	b.rung = false
	b.raw.Read(b.try)
}

// Close closes it. Somebody may still doze, or come to.
func (b *Dozer) Close() { b.file.Close() }
