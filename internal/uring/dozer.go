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
	d := &Dozer{file: Pollable(fd)}
	d.try = func(fd uintptr) bool {
		if d.rung {
			return true
		}
		d.rung = true
		return ringEventfd(fd) != 0 // the poller hears of each write, so nobody reads
	}
	if d.raw, err = d.file.SyscallConn(); err == nil {
		err = d.file.SetReadDeadline(time.Time{})
	}
	if err != nil {
		d.file.Close()
		return nil, err
	}
	return d, nil
}

// Doze sleeps until the runtime has looked at the poller: with one P, when no goroutine can run.
func (d *Dozer) Doze() {
	d.rung = false
	d.raw.Read(d.try)
}

// Close closes it. Somebody may still doze, or come to.
func (d *Dozer) Close() { d.file.Close() }
