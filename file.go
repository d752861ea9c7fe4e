package rio

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// A File is a file that a Ring owns. It goes into every operation that takes a descriptor, where it is cheaper than an
// *os.File: the Ring counts the operations on it, so they can be submitted late and together. Its methods keep the
// contracts of the interfaces that they are named after; any number of goroutines may use them.
type File struct {
	handle
	f        ownedFile // owns the descriptor
	release  func()    // lets go of what NewFile has borrowed
	appends  bool
	seekable bool
	placed   bool        // it has a position that moves, and nobody waits for long while it has that
	listed   atomic.Bool // ReadDir was called
	pos, wr  sync.Mutex  // one at a time moves the file's position, or writes where there is none
}

// ownedFile is an *os.File, or a file of a simulated kernel.
type ownedFile interface {
	Name() string
	Stat() (fs.FileInfo, error)
	ReadDir(n int) ([]fs.DirEntry, error)
	Close() error
}

// Sync makes what was written durable, and of a directory its names (fsync(2); on the caller's thread, where that is cheaper than on one of the kernel's). An
// error stays: after one the kernel forgets which pages were not written, and a later fsync would report success.
func (f *File) Sync() error { return f.sync(kindFsync) }

// Datasync is Sync without the metadata that reading the data back doesn't need (fdatasync(2)).
func (f *File) Datasync() error { return f.sync(kindFdatasync) }

func (f *File) sync(k kind) error {
	_, err := f.do("sync", &call{kind: k})
	if f == nil || f.r == nil {
		return err
	}
	if errno := f.syncErr.Load(); errno != 0 {
		return &fs.PathError{Op: "sync", Path: f.Name(), Err: syscall.Errno(errno)}
	}
	return err
}

// Seek moves the file's position (lseek(2)).
func (f *File) Seek(offset int64, whence int) (int64, error) {
	if f == nil || f.r == nil {
		return 0, invalid("seek", "nil File")
	}
	if f.placed { // otherwise there is nothing to move, and a Read may have the lock for long
		f.pos.Lock()
		defer f.pos.Unlock()
	}
	if err := f.use(); err != nil {
		return 0, &fs.PathError{Op: "seek", Path: f.Name(), Err: err}
	}
	defer f.put()
	if s, ok := f.f.(io.Seeker); ok && f.listed.Load() {
		return s.Seek(offset, whence) // it forgets what it has read ahead
	}
	n, err := uring.Seek(f.fd, offset, whence)
	if err != nil {
		return 0, &fs.PathError{Op: "seek", Path: f.Name(), Err: err}
	}
	return n, nil
}

// Truncate changes the file's size (ftruncate(2)).
func (f *File) Truncate(size int64) error {
	if f == nil || f.r == nil {
		return invalid("truncate", "nil File")
	}
	if err := f.use(); err != nil {
		return &fs.PathError{Op: "truncate", Path: f.Name(), Err: err}
	}
	defer f.put()
	if err := uring.Truncate(f.fd, size); err != nil {
		return &fs.PathError{Op: "truncate", Path: f.Name(), Err: err}
	}
	return nil
}

// Stat describes the file (fstat(2)).
func (f *File) Stat() (fs.FileInfo, error) {
	if f == nil || f.r == nil {
		return nil, invalid("stat", "nil File")
	}
	if err := f.use(); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	defer f.put()
	fi, err := f.f.Stat()
	if err != nil && f.release != nil { // the os.File has been closed since
		var fd int
		if fd, err = uring.DupPath(f.fd); err != nil {
			return nil, &fs.PathError{Op: "stat", Path: f.Name(), Err: err}
		}
		of := os.NewFile(uintptr(fd), f.Name()) // os.SameFile knows only what package os has made
		defer of.Close()
		return of.Stat()
	}
	return fi, err
}

// ReadDir reads the directory that f is, n entries of it, or all if n is not positive (fs.ReadDirFile).
func (f *File) ReadDir(n int) ([]fs.DirEntry, error) {
	if f == nil || f.r == nil {
		return nil, invalid("readdir", "nil File")
	}
	if err := f.use(); err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: f.Name(), Err: err}
	}
	defer f.put()
	f.listed.Store(true)
	return f.f.ReadDir(n)
}

// Name is the name that the file was opened by.
func (f *File) Name() string {
	if f == nil || f.f == nil {
		return "<nil>"
	}
	return f.f.Name()
}

// Alignment says what O_DIRECT transfers of this file have to be aligned to, in bytes: the memory, and the offset and
// length (statx(2), STATX_DIOALIGN, Linux 6.1). errors.ErrUnsupported if the file system doesn't know, or has no O_DIRECT.
func (f *File) Alignment() (mem, off int, err error) {
	if f == nil || f.r == nil {
		return 0, 0, invalid("statx", "nil File")
	}
	if err := f.use(); err != nil {
		return 0, 0, &fs.PathError{Op: "statx", Path: f.Name(), Err: err}
	}
	defer f.put()
	if mem, off, err = uring.Alignment(f.fd); err != nil {
		var se *os.SyscallError
		if errors.As(err, &se) {
			err = se.Err
		}
		return 0, 0, &fs.PathError{Op: "statx", Path: f.Name(), Err: err}
	}
	return mem, off, nil
}

// SyscallConn gives access to the descriptor, which Close waits for.
func (f *File) SyscallConn() (syscall.RawConn, error) {
	if f == nil || f.r == nil {
		return nil, invalid("SyscallConn", "nil File")
	}
	return rawConn{h: &f.handle}.orObject()
}

// Close lets operations on a regular file finish, cancels those that may wait for ever (they resolve with os.ErrClosed),
// and returns when the descriptor is closed, with close(2)'s error. What is held back behind something else (Link, Drain, Chain)
// it waits for, too, and so for that: cancel it first if it may wait for ever.
func (f *File) Close() error {
	if f == nil || f.r == nil {
		return invalid("close", "nil File")
	}
	err := f.close(func() error {
		runtime.SetFinalizer(f, nil)
		if f.release == nil {
			return f.f.Close()
		}
		f.release()
		if err := f.f.Close(); !errors.Is(err, os.ErrClosed) {
			return err
		}
		return nil // it has been, and the descriptor went with the release
	})
	if err == errFileClosed || err == errConnClosed {
		return &fs.PathError{Op: "close", Path: f.Name(), Err: err}
	}
	return err
}
