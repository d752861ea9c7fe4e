//go:build !linux

package uring

import (
	"errors"
	"syscall"
)

// There is no Loop here but on a Kernel.
type (
	loopOS  struct{}
	Buffers struct{}
)

// Flags of single operations, as a Kernel that is no system's knows them.
const (
	CloseExec OpFlags = 0x80000
	DontWait  OpFlags = 0x40
)

func openLoopOS(uint32, uint32, bool, bool) (*Loop, error) {
	return nil, errors.ErrUnsupported
}

func (l *Loop) enter(uint32) syscall.Errno                 { return syscall.ENOSYS }
func (l *Loop) closeOS() error                             { return nil }
func (l *Loop) Buffers(uint16, int, int) (*Buffers, error) { return nil, errors.ErrUnsupported }
func (b *Buffers) Bytes(uint16, int) []byte                { return nil }
func (b *Buffers) Give(uint16)                             {}
func (b *Buffers) Publish()                                {}
func (b *Buffers) Close(*Loop) syscall.Errno               { return syscall.ENOSYS }
func newEventfd() (int, error)                             { return -1, errors.ErrUnsupported }
func ringEventfd(uintptr) syscall.Errno                    { return syscall.ENOSYS }
func writeEventfd(int) error                               { return errors.ErrUnsupported }
