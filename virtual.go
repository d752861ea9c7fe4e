package rio

import (
	"fmt"
	"net"
	"os"
	"runtime"

	"github.com/seed-9c58b644/rio/internal/uring"
	"github.com/seed-9c58b644/rio/internal/uring/threads"
)

// Handles whose descriptors are Virtuals: those of a simulated kernel, and all on a Ring on threads that is portable.

// newVirtual is newFile for a file of the Ring's Kernel.
func (r *Ring) newVirtual(v uring.Virtual) (*File, error) {
	if err := r.usable("open"); err != nil {
		return nil, err
	}
	f := &File{f: &virtualFile{Virtual: v, fd: uring.NewVirtual(v)}}
	fd := f.f.(*virtualFile).fd
	f.init(r, fd)
	f.bounded, f.socket, _ = uring.FileType(fd)
	f.seekable, f.placed = f.bounded, f.bounded
	f.direct = v.Flags()&uring.FileDirect != 0
	f.appends = v.Flags()&uring.FileAppend != 0
	return f, nil
}

// A virtualFile owns the descriptor of a Virtual.
type virtualFile struct {
	uring.Virtual
	fd int
}

func (f *virtualFile) Close() error {
	uring.FreeVirtual(f.fd)
	return f.Virtual.Close()
}

// portFile is newFile on a portable Ring.
func (r *Ring) portFile(f *os.File, flag int) (*File, error) {
	file, err := r.newVirtual(threads.NewFile(f, flag))
	if err != nil {
		f.Close()
		return nil, err
	}
	runtime.SetFinalizer(file, func(file *File) { file.f.Close() })
	return file, nil
}

// takeFile is NewFile on a portable Ring: of a duplicate, so that closing f is harmless.
func (r *Ring) takeFile(f *os.File) (*File, error) {
	fd, err := dup("NewFile", f)
	if err != nil {
		return nil, err
	}
	file, err := r.portFile(os.NewFile(uintptr(fd), f.Name()), 0)
	if err == nil {
		f.Close()
	}
	return file, err
}

// portConn is newConn on a portable Ring.
func (r *Ring) portConn(nc net.Conn) (*Conn, error) {
	return r.newConn(uring.NewVirtual(threads.NewConn(nc)))
}

// takeConn is NewConn on a portable Ring.
func (r *Ring) takeConn(f *os.File) (*Conn, error) {
	if f == nil || *f == (os.File{}) {
		return nil, invalid("NewConn", "nil file")
	}
	rc, err := f.SyscallConn()
	if err == nil {
		err = rc.Control(func(uintptr) {}) // a closed file says so
	}
	if err != nil {
		return nil, foreignError("NewConn", err)
	}
	nc, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("rio: NewConn: not a socket to make a Conn of: %w", err)
	}
	c, err := r.portConn(nc)
	if err == nil {
		f.Close()
	}
	return c, err
}
