package rio

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// O_DIRECT, for OpenFile, bypasses the page cache. It is 0 where there is none.
const O_DIRECT = uring.FileDirect

// A File is a file that a Ring owns. It goes into every operation that takes a descriptor, where it is cheaper than an
// *os.File: the Ring counts the operations on it, so they can be submitted late and together. Its methods keep the
// contracts of the interfaces that they are named after; any number of goroutines may use them.
type File struct {
	handle
	f        *os.File // owns the descriptor
	release  func()   // lets go of what NewFile has borrowed
	appends  bool
	seekable bool
	pos      sync.Mutex // one at a time moves the file's position
}

// OpenFile is os.OpenFile on r. For O_DIRECT, see Aligned and File.Alignment.
func (r *Ring) OpenFile(name string, flag int, perm fs.FileMode) (*File, error) {
	if err := r.usable("open"); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		var pe *fs.PathError
		if flag&O_DIRECT != 0 && errors.Is(err, syscall.EINVAL) && errors.As(err, &pe) {
			pe.Err = fmt.Errorf("%w (does this file system have O_DIRECT?)", pe.Err)
		}
		return nil, err
	}
	return r.newFile(f)
}

// NewFile takes f over: from here on only the File is used, and closed. Closing f afterwards is harmless.
func (r *Ring) NewFile(f *os.File) (*File, error) {
	if err := r.usable("NewFile"); err != nil {
		return nil, err
	}
	if f == nil {
		return nil, invalid("NewFile", "nil file")
	}
	rc, err := f.SyscallConn()
	if err != nil {
		return nil, foreignError("NewFile", err)
	}
	bounded := false
	if err := rc.Control(func(fd uintptr) { bounded, _ = uring.FileType(int(fd)) }); err != nil {
		return nil, foreignError("NewFile", err)
	}
	if bounded {
		return r.borrowFile(f, rc)
	}
	// Closing f waits for its users, if it is a pipe or a socket, so the File gets a descriptor of its own.
	fd, err := dup("NewFile", f)
	if err != nil {
		return nil, err
	}
	file, err := r.newFile(os.NewFile(uintptr(fd), f.Name()))
	if err == nil {
		f.Close()
	}
	return file, err
}

// borrowFile makes a File of f's own descriptor: to close a duplicate would drop the fcntl locks that the process has on
// the file. A goroutine in f's Control keeps it open, whatever becomes of f, until the File is closed or forgotten.
func (r *Ring) borrowFile(f *os.File, rc syscall.RawConn) (*File, error) {
	began, end, gone := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		gone <- rc.Control(func(uintptr) {
			close(began)
			<-end
		})
	}()
	select {
	case <-began:
	case err := <-gone:
		return nil, foreignError("NewFile", err)
	}
	file, err := r.newFile(f)
	if err != nil {
		close(end)
		return nil, err
	}
	release := sync.OnceFunc(func() { close(end) })
	file.release = func() {
		release()
		<-gone
	}
	runtime.SetFinalizer(file, func(*File) { release() })
	return file, nil
}

func (r *Ring) newFile(f *os.File) (*File, error) {
	file := &File{f: f}
	rc, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	err = rc.Control(func(fd uintptr) {
		file.init(r, int(fd))
		flags := uring.FileFlags(int(fd))
		file.bounded, file.socket = uring.FileType(int(fd))
		file.direct = flags&uring.FileDirect != 0
		file.appends = flags&uring.FileAppend != 0
	})
	if err != nil {
		f.Close()
		return nil, err
	}
	_, err = uring.Seek(file.fd, 0, io.SeekCurrent)
	file.seekable = err == nil
	return file, nil
}

// dup duplicates the descriptor of f, which stays as it is.
func dup(op string, f syscall.Conn) (fd int, err error) {
	if f, ok := f.(*os.File); ok && f == nil {
		return -1, invalid(op, "nil file")
	}
	rc, err := f.SyscallConn()
	if err != nil {
		return -1, foreignError(op, err)
	}
	var dupErr error
	if err = rc.Control(func(p uintptr) { fd, dupErr = uring.Dup(int(p)) }); err != nil {
		return -1, foreignError(op, err)
	}
	return fd, dupErr
}

// usable says why r can't make handles.
func (r *Ring) usable(op string) error {
	if r == nil {
		return invalid(op, "nil Ring")
	}
	r.sq.mu.Lock()
	defer r.sq.mu.Unlock()
	return r.refuse()
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
	f.pos.Lock()
	defer f.pos.Unlock()
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
	f.pos.Lock()
	defer f.pos.Unlock()
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
