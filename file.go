package rio

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// A File is a file that a Ring owns. It goes into every operation that takes a descriptor, where it is cheaper than an
// *os.File: the Ring counts the operations on it, so they can be submitted late and together. Its methods keep the
// contracts of the interfaces that they are named after; any number of goroutines may use them.
type File struct {
	handle
	f        *os.File // owns the descriptor
	release  func()   // lets go of what NewFile has borrowed
	appends  bool
	seekable bool
	pos, wr  sync.Mutex // one at a time moves the file's position, or writes where there is none
}

// do runs one operation on f and waits for it.
func (f *File) do(op string, c *call) (int, error) {
	if f == nil || f.r == nil {
		return 0, invalid(op, "nil File")
	}
	c.file, c.alone, c.quiet = f, f.bounded, !f.bounded
	o, gen, err := f.r.begin(c, None)
	if err == nil {
		o.claim(gen)
		f.r.await(o, nil)
		var n int
		if n, err = take[int](o, o.retire()); err == nil {
			return n, nil
		}
	}
	var errno syscall.Errno
	if errors.As(err, &errno) && !errors.As(err, new(alignmentError)) {
		err = errno
	}
	return 0, &fs.PathError{Op: op, Path: f.Name(), Err: err}
}

// writeTurn is the lock for Write: that of the position, or one of its own, lest Write wait for a Read that waits for data.
func (f *File) writeTurn() *sync.Mutex {
	if f.seekable {
		return &f.pos
	}
	return &f.wr
}

// Read reads up to len(p) bytes from where the file's position is, and moves that; io.EOF at the end (io.Reader).
func (f *File) Read(p []byte) (int, error) {
	if f == nil || len(p) == 0 {
		return f.do("read", &call{kind: kindRead, plain: true})
	}
	f.pos.Lock()
	defer f.pos.Unlock()
	n, err := f.do("read", &call{kind: kindRead, buf: p, plain: true})
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// Write writes all of p to where the file's position is, and moves that (io.Writer).
func (f *File) Write(p []byte) (n int, err error) {
	if f == nil || len(p) == 0 {
		return f.do("write", &call{kind: kindWrite, plain: true})
	}
	turn := f.writeTurn()
	turn.Lock()
	defer turn.Unlock()
	for n < len(p) && err == nil {
		var m int
		if m, err = f.do("write", &call{kind: kindWrite, buf: p[n:], plain: true}); m == 0 && err == nil {
			err = io.ErrShortWrite
		}
		n += m
	}
	return n, err
}

// ReadAt reads len(p) bytes from offset off; less only with an error, io.EOF at the end (io.ReaderAt).
func (f *File) ReadAt(p []byte, off int64) (n int, err error) {
	if err := f.positional("read", off); err != nil {
		return 0, err
	}
	for n < len(p) && err == nil {
		var m int
		if m, err = f.do("read", &call{kind: kindRead, buf: p[n:], off: off + int64(n)}); m == 0 && err == nil {
			err = io.EOF
		}
		n += m
	}
	return n, err
}

// WriteAt writes all of p at offset off (io.WriterAt). On a file opened with O_APPEND it is an error, as it is for os.
func (f *File) WriteAt(p []byte, off int64) (n int, err error) {
	if err := f.positional("write", off); err != nil {
		return 0, err
	}
	if f.appends {
		return 0, &fs.PathError{Op: "writeat", Path: f.Name(), Err: errors.New("file was opened with O_APPEND")}
	}
	for n < len(p) && err == nil {
		var m int
		if m, err = f.do("write", &call{kind: kindWrite, buf: p[n:], off: off + int64(n)}); m == 0 && err == nil {
			err = io.ErrShortWrite
		}
		n += m
	}
	return n, err
}

// positional says why f has no offsets.
func (f *File) positional(op string, off int64) error {
	switch {
	case f == nil || f.r == nil:
		return invalid(op, "nil File")
	case off < 0:
		return &fs.PathError{Op: op + "at", Path: f.Name(), Err: badArg(op, "the offset is negative")}
	case f.closed():
		return &fs.PathError{Op: op, Path: f.Name(), Err: errFileClosed}
	case !f.seekable:
		return &fs.PathError{Op: op, Path: f.Name(), Err: syscall.ESPIPE}
	}
	return nil
}

// Sync makes what was written durable (fsync(2)). An error stays: after one the kernel forgets which pages were not
// written, and a later fsync would report success.
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
	if f.seekable { // otherwise there is nothing to move, and a Read may have the lock for long
		f.pos.Lock()
		defer f.pos.Unlock()
	}
	if !f.get() {
		return 0, &fs.PathError{Op: "seek", Path: f.Name(), Err: errFileClosed}
	}
	defer f.put()
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
	if !f.get() {
		return &fs.PathError{Op: "truncate", Path: f.Name(), Err: errFileClosed}
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
	if !f.get() {
		return nil, &fs.PathError{Op: "stat", Path: f.Name(), Err: errFileClosed}
	}
	defer f.put()
	fi, err := f.f.Stat()
	if err != nil && f.release != nil {
		return os.Stat("/proc/self/fd/" + strconv.Itoa(f.fd)) // the os.File has been closed since
	}
	return fi, err
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
	if !f.get() {
		return 0, 0, &fs.PathError{Op: "statx", Path: f.Name(), Err: errFileClosed}
	}
	defer f.put()
	return uring.Alignment(f.fd)
}

// SyscallConn gives access to the descriptor, which Close waits for.
func (f *File) SyscallConn() (syscall.RawConn, error) {
	if f == nil || f.r == nil {
		return nil, invalid("SyscallConn", "nil File")
	}
	return rawConn{&f.handle}, nil
}

// Close lets operations on a regular file finish, cancels those that may wait for ever (they resolve with os.ErrClosed),
// and returns when the descriptor is closed, with close(2)'s error.
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
