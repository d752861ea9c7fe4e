//go:build !linux

package uring

import (
	"errors"
	"syscall"
	"time"
)

// There is no Loop here either.
type (
	Loop struct {
		SQ         *SQ
		CQ         *CQ
		Flags      uint32
		Restricted bool
	}
	Buffers struct{}
	Waker   struct {
		FD   int32
		Addr Addr
	}
)

// Constants that have no meaning here.
const (
	CloseExec OpFlags = 0
	DontWait  OpFlags = 0
)

func OpenLoop(uint32, uint32, time.Duration, bool, bool) (*Loop, error) {
	return nil, errors.ErrUnsupported
}
func (l *Loop) Buffers(uint16, int, int) (*Buffers, error) { return nil, errors.ErrUnsupported }
func (l *Loop) Enter(uint32) syscall.Errno                 { return syscall.ENOSYS }
func (l *Loop) EnterHeld(uint32) syscall.Errno             { return syscall.ENOSYS }
func (l *Loop) Close() error                               { return nil }
func (b *Buffers) Bytes(uint16, int) []byte                { return nil }
func (b *Buffers) Give(uint16)                             {}
func (b *Buffers) Publish()                                {}
func (b *Buffers) Close(*Loop) syscall.Errno               { return syscall.ENOSYS }
func NewWaker() (*Waker, error)                            { return nil, errors.ErrUnsupported }
func (w *Waker) Wake() error                               { return errors.ErrUnsupported }
func (w *Waker) Close()                                    {}
func (p *Pins) Timespec(*Timespec) Addr                    { return Addr{} }
