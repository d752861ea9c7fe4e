package rio

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// O_DIRECT, for OpenFile, bypasses the page cache. It is 0 where there is none.
const O_DIRECT = uring.FileDirect

// OpenFile is os.OpenFile on r. For O_DIRECT, see Aligned and File.Alignment.
func (r *Ring) OpenFile(name string, flag int, perm fs.FileMode) (*File, error) {
	if err := r.usable("open"); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, flag, perm)
	return r.opened(f, err, flag)
}

// OpenInRoot is root.OpenFile on r, for names that somebody else has chosen: neither "..", nor an absolute name, nor a
// symbolic link leads out of root, even if somebody changes the tree meanwhile. That is os.Root's work, the same on all
// systems and kernels; openat2(2) with RESOLVE_BENEATH does it on Linux 5.6 and newer, unless a seccomp filter is older. A
// name that leads out is an fs.PathError. Mounts and devices below root are not kept out. root stays the caller's.
func (r *Ring) OpenInRoot(root *os.Root, name string, flag int, perm fs.FileMode) (*File, error) {
	if err := r.usable("open"); err != nil {
		return nil, err
	}
	if root == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: invalid("OpenInRoot", "nil Root")}
	}
	f, err := root.OpenFile(name, flag, perm)
	return r.opened(f, err, flag)
}

// opened makes a File of f, which was opened with these flags.
func (r *Ring) opened(f *os.File, err error, flag int) (*File, error) {
	if err != nil {
		var pe *fs.PathError
		if flag&O_DIRECT != 0 && errors.Is(err, syscall.EINVAL) && errors.As(err, &pe) {
			pe.Err = fmt.Errorf("%w (does this file system have O_DIRECT?)", pe.Err)
		}
		return nil, err
	}
	if r.portable {
		return r.portFile(f, flag)
	}
	return r.newFile(f)
}

// NewFile takes f over: from here on only the File is used, and closed. Closing f afterwards is harmless, but that a directory of
// which f has read some can't be read on.
func (r *Ring) NewFile(f *os.File) (*File, error) {
	if err := r.usable("NewFile"); err != nil {
		return nil, err
	}
	if f == nil || *f == (os.File{}) {
		return nil, invalid("NewFile", "nil file")
	}
	if r.portable {
		return r.takeFile(f)
	}
	rc, err := f.SyscallConn()
	if err != nil {
		return nil, foreignError("NewFile", err)
	}
	// Closing f waits for its users if it is on the netpoller, as pipes and sockets are, so the File gets a descriptor of its own
	// then. A directory too, as long as nothing of it has been read: that lies in the os.File.
	if errors.Is(f.SetDeadline(time.Time{}), os.ErrNoDeadline) && !isFresh(f, rc) {
		return r.borrowFile(f, rc)
	}
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

// isFresh reports whether f is a directory of which nothing has been read.
func isFresh(f *os.File, rc syscall.RawConn) (fresh bool) {
	if fi, err := f.Stat(); err != nil || !fi.IsDir() {
		return false
	}
	rc.Control(func(fd uintptr) { // f's own Seek forgets what has been read
		at, err := uring.Seek(int(fd), 0, io.SeekCurrent)
		fresh = at == 0 && err == nil
	})
	return fresh
}

// borrowFile makes a File of f's own descriptor: to close a duplicate would drop the fcntl locks that the process has on
// the file. A goroutine in f's Control keeps it open, whatever becomes of f, until the File is closed or forgotten.
func (r *Ring) borrowFile(f *os.File, rc syscall.RawConn) (*File, error) {
	began, end, gone := make(chan struct{}), r.newChan(), make(chan error, 1)
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
	if r.portable {
		return r.portFile(f, 0)
	}
	file := &File{f: f}
	rc, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	err = rc.Control(func(fd uintptr) {
		file.init(r, int(fd))
		flags := uring.FileFlags(int(fd))
		file.bounded, file.socket, file.remote = uring.FileType(int(fd))
		file.direct = flags&uring.FileDirect != 0
		file.memory = file.bounded && !file.remote && uring.InMemory(int(fd))
		file.durable = flags&uring.FileDsync != 0 // which O_SYNC has, too
		file.appends = flags&uring.FileAppend != 0
	})
	if err != nil {
		f.Close()
		return nil, err
	}
	_, err = uring.Seek(file.fd, 0, io.SeekCurrent)
	file.seekable = err == nil
	file.placed = file.seekable && uring.Placed(file.fd)
	return file, nil
}

// dup duplicates the descriptor of f, which stays as it is.
func dup(op string, f syscall.Conn) (fd int, err error) {
	if f, ok := f.(*os.File); ok && (f == nil || *f == (os.File{})) {
		return -1, invalid(op, "nil file")
	}
	rc, err := f.SyscallConn()
	if err != nil {
		return -1, foreignError(op, err)
	}
	if e := rc.Control(func(p uintptr) { fd, err = uring.Dup(int(p)) }); e != nil {
		return -1, foreignError(op, e)
	}
	return fd, err
}

// made says that r is no Ring that New has made.
func (r *Ring) made(op string) error {
	if !r.isMade() {
		return r.unmade(op)
	}
	return nil
}

func (r *Ring) isMade() bool { return r != nil && r.k != nil }

func (r *Ring) unmade(op string) error {
	if r == nil {
		return invalid(op, "nil Ring")
	}
	return invalid(op, "a Ring that New has not made")
}

// usable says why r can't make handles.
func (r *Ring) usable(op string) error {
	if !r.isMade() {
		return r.unmade(op)
	}
	r.sq.mu.Lock()
	defer r.sq.mu.Unlock()
	return r.refuse()
}
