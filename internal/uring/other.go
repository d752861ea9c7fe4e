//go:build !linux

package uring

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
)

// Constants that have no meaning here.
const (
	MsgNoSignal OpFlags = 0
	MsgWaitAll  OpFlags = 0
	AcceptFlags OpFlags = 0
	FileDirect          = 0
	FileAppend          = 0
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

// There is no Ring here but on a Kernel, so none of the rest is ever called.

func (r *Ring) setFile(uint32, int) error     { return errors.ErrUnsupported }
func (r *Ring) submit() (int, syscall.Errno)  { return 0, syscall.ENOSYS }
func (r *Ring) waitOne() (int, syscall.Errno) { return 0, syscall.ENOSYS }
func (r *Ring) events() syscall.Errno         { return syscall.ENOSYS }
func (r *Ring) waitRoom() syscall.Errno       { return syscall.ENOSYS }
func (r *Ring) close() error                  { return nil }

func Dup(int) (int, error)                { return -1, errors.ErrUnsupported }
func CloseFD(int) error                   { return errors.ErrUnsupported }
func fileType(int) (bool, bool)           { return true, false }
func fileFlags(int) int                   { return 0 }
func Alignment(int) (int, int, error)     { return 0, 0, errors.ErrUnsupported }
func Sockname(int, *Sockaddr) error       { return errors.ErrUnsupported }
func Peername(int, *Sockaddr) error       { return errors.ErrUnsupported }
func Domain(int) (int, error)             { return 0, errors.ErrUnsupported }
func SocketType(int) (int, error)         { return 0, errors.ErrUnsupported }
func TuneTCP(int)                         {}
func seek(int, int64, int) (int64, error) { return 0, errors.ErrUnsupported }
func truncate(int, int64) error           { return errors.ErrUnsupported }
func Shutdown(int, bool) error            { return errors.ErrUnsupported }
func SocketError(int) syscall.Errno       { return syscall.ENOSYS }
func OnlineCPU(int) bool                  { return false }

func Remote(int) bool                      { return false }
func Read(int, []byte, int64) (int, error) { return 0, errors.ErrUnsupported }
