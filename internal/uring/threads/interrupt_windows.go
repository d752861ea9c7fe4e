package threads

import (
	"errors"
	"os"
	"syscall"
)

// interrupts is by CancelIoEx. While Control runs, the handle is nobody else's.
func interrupts(rw any) (i interrupter) {
	f, ok := rw.(*os.File)
	if !ok {
		return i
	}
	rc, err := f.SyscallConn()
	if err != nil {
		return i
	}
	return interrupter{
		interrupt:   func() { rc.Control(func(h uintptr) { syscall.CancelIoEx(syscall.Handle(h), nil) }) },
		interrupted: func(err error) bool { return errors.Is(err, syscall.ERROR_OPERATION_ABORTED) },
	}
}
