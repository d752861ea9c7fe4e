package threads

import (
	"errors"
	"syscall"
)

const canInterrupt = true

// interrupt ends the reads and writes that wait on f, whosever they are. What begins only then isn't among them. While
// Control runs, the handle is nobody else's.
func interrupt(f syscall.Conn) {
	rc, err := f.SyscallConn()
	if err != nil {
		return
	}
	rc.Control(func(h uintptr) { syscall.CancelIoEx(syscall.Handle(h), nil) })
}

// interrupted reports whether err is what interrupt has done.
func interrupted(err error) bool { return errors.Is(err, syscall.ERROR_OPERATION_ABORTED) }
