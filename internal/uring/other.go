//go:build !linux

package uring

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
)

// Flags, as a Kernel that is no system's knows them. There is no O_DIRECT.
const (
	MsgNoSignal OpFlags = 0x4000
	MsgWaitAll  OpFlags = 0x100
	AcceptFlags OpFlags = 0x80800
	FileDirect          = 0
	FileAppend          = syscall.O_APPEND
	FileDsync           = 0
)

// Errnos that not every system has.
const (
	ETIME = syscall.Errno(62)
	EBADR = syscall.Errno(53)
)

// openOS fails: io_uring is Linux's.
func openOS(Config) (*Ring, error) {
	return nil, fmt.Errorf("rio: io_uring is Linux's, this is %s: %w", runtime.GOOS, ErrLacks)
}

// Submit hands what is published to the kernel; it always offers a whole queue.
func (r *Ring) Submit() (int, syscall.Errno) { return r.kernel.Enter(r.SQ.mask+1, 0, 0, 0) }

// Enter is for Linux.
func (r *Ring) Enter() syscall.Errno { return syscall.ENOSYS }

// EnterBriefly is for Linux.
func (r *Ring) EnterBriefly(uint32) syscall.Errno { return syscall.ENOSYS }

// There is no Ring here but on a Kernel, so none of the rest is ever called.

func (r *Ring) setFile(uint32, int) error          { return errors.ErrUnsupported }
func (r *Ring) setMemory(uint16, []byte) error     { return errors.ErrUnsupported }
func (r *Ring) waitOne(*span) (int, syscall.Errno) { return 0, syscall.ENOSYS }
func (r *Ring) events() syscall.Errno              { return syscall.ENOSYS }
func (r *Ring) waitRoom() syscall.Errno            { return syscall.ENOSYS }
func (r *Ring) close() error                       { return nil }

func collapse([]byte) {}

func closeFD(int) error                   { return errors.ErrUnsupported }
func fileType(int) (bool, bool, bool)     { return true, false, false }
func inMemory(int) bool                   { return false }
func fileFlags(int) int                   { return 0 }
func alignment(int) (int, int, error)     { return 0, 0, errors.ErrUnsupported }
func sockname(int, *Sockaddr) error       { return errors.ErrUnsupported }
func peername(int, *Sockaddr) error       { return errors.ErrUnsupported }
func domain(int) (int, error)             { return 0, errors.ErrUnsupported }
func socketType(int) (int, error)         { return 0, errors.ErrUnsupported }
func TuneTCP(int)                         {}
func Listens(int) bool                    { return false }
func placed(int) bool                     { return true }
func seek(int, int64, int) (int64, error) { return 0, errors.ErrUnsupported }
func truncate(int, int64) error           { return errors.ErrUnsupported }
func shutdown(int, bool) error            { return errors.ErrUnsupported }
func OnlineCPU(int) bool                  { return false }

func Read(int, []byte, int64) (int, syscall.Errno)     { return 0, syscall.ENOSYS }
func WriteOut(int, []byte, int64) (int, syscall.Errno) { return 0, syscall.ENOSYS }
func Sync(int, bool) syscall.Errno                     { return syscall.ENOSYS }
