package threads

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// A File is a file of package os's behind a descriptor of uring.NewVirtual's.
type File struct {
	files
	*os.File
	flag    int
	bounded bool
	stream  *stream // of what isn't
}

// NewFile makes one of f, which was opened with flag.
func NewFile(f *os.File, flag int) *File {
	v := &File{File: f, flag: flag, bounded: bounded(f)}
	v.files.f = f
	if flag&os.O_APPEND != 0 {
		v.files.appends = true
	}
	if !v.bounded {
		v.stream = newStream(f, f)
	}
	return v
}

type statter interface{ Stat() (fs.FileInfo, error) }

func bounded(f statter) bool {
	fi, err := f.Stat()
	return err == nil && fi.Mode()&(fs.ModeNamedPipe|fs.ModeSocket|fs.ModeCharDevice) == 0
}

// Flags are those of open(2).
func (f *File) Flags() int { return f.flag }

// Kind is whether what is begun on f ends by itself, and whether it is a socket.
func (f *File) Kind() (bounded, socket bool) { return f.bounded, false }

func (f *File) begin(r *request) {
	if f.bounded || r.Op == uring.OpFsync || r.Op == uring.OpSyncFileRange || r.Op == uring.OpFallocate {
		f.files.begin(r)
	} else {
		f.stream.begin(r)
	}
}

// A fileLike is an *os.File, or a File of another Ring.
type fileLike interface {
	io.Reader
	io.Writer
	io.ReaderAt
	io.WriterAt
	Sync() error
}

// files does what ends by itself.
type files struct {
	f       fileLike
	appends bool
}

func (t *files) begin(r *request) { r.k.pool.do(r) }

func (t *files) perform(r *request) (int32, bool) {
	switch r.Op {
	case uring.OpRead, uring.OpReadv:
		return t.transfer(r, true), false
	case uring.OpWrite, uring.OpWritev:
		return t.transfer(r, false), false
	case uring.OpFsync, uring.OpSyncFileRange: // all of it, where no less can be had
		return result(0, t.f.Sync()), false
	case uring.OpFallocate:
		return -int32(syscall.EOPNOTSUPP), false
	}
	return -int32(syscall.ENOTSOCK), false
}

func (t *files) transfer(r *request, reads bool) int32 {
	at, total := int64(r.Off), 0
	for _, b := range r.buffers() {
		n, err := t.some(b, at, reads)
		total += n
		if at != -1 {
			at += int64(n)
		}
		if err != nil || n < len(b) {
			return result(total, err)
		}
	}
	return int32(total)
}

// some is one read or write. Offset -1 is the file's position.
func (t *files) some(b []byte, at int64, reads bool) (int, error) {
	switch {
	case len(b) == 0 && reads:
		return 0, nil
	case len(b) == 0:
		return t.f.Write(nil) // may it be written to?
	case reads && at == -1:
		return read(b, t.f.Read)
	case reads:
		return read(b, func(p []byte) (int, error) { return t.f.ReadAt(p, at) })
	case at == -1 || t.appends:
		return write(b, t.f.Write)
	}
	return write(b, func(p []byte) (int, error) {
		n, err := t.f.WriteAt(p, at)
		if n == 0 && err != nil && strings.Contains(err.Error(), "O_APPEND") {
			return t.f.Write(p) // package os refuses it, Linux appends
		}
		return n, err
	})
}

// read and write spare the race detector what packages os and net tell it of b: it is told by the Ring's witness.
func read(b []byte, f func(p []byte) (int, error)) (int, error) {
	if !uring.Race {
		return f(b)
	}
	p := make([]byte, len(b))
	n, err := f(p)
	uring.KernelCopy(b, p[:n])
	return n, err
}

func write(b []byte, f func(p []byte) (int, error)) (int, error) {
	if !uring.Race {
		return f(b)
	}
	p := make([]byte, len(b))
	uring.KernelCopy(p, b)
	return f(p)
}

// buffers is the memory that a transfer is about.
func (r *request) buffers() [][]byte {
	if r.Op == uring.OpReadv || r.Op == uring.OpWritev {
		return r.Vector()
	}
	return [][]byte{r.Addr.Bytes(int(r.Len))}
}

// result is a CQE's.
func result(n int, err error) int32 {
	var errno syscall.Errno
	switch {
	case err == nil || n > 0 || err == io.EOF || err == io.ErrUnexpectedEOF:
		return int32(n)
	case errors.As(err, &errno):
		return -int32(errno)
	case errors.Is(err, os.ErrClosed) || errors.Is(err, net.ErrClosed):
		return -int32(syscall.EBADF)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return -int32(syscall.ETIMEDOUT)
	case errors.Is(err, os.ErrInvalid):
		return -int32(syscall.EINVAL)
	}
	return -int32(syscall.EIO)
}
