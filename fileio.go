package rio

import (
	"errors"
	"io"
	"io/fs"
	"sync"
	"syscall"
)

// do runs one operation on f and waits for it.
func (f *File) do(op string, c *call) (int, error) {
	if f == nil || f.r == nil {
		return 0, invalid(op, "nil File")
	}
	if c.kind == kindRead {
		if f.remote && f.bounded {
			return f.readRemote(c)
		}
		if n, ok := f.readHere(c); ok {
			return n, nil
		}
	}
	n, done, err := f.byHand(c)
	if !done {
		n, err = f.byRing(c)
	}
	if err == nil {
		return n, nil
	}
	var errno syscall.Errno
	if errors.As(err, &errno) && !errors.As(err, new(alignmentError)) {
		err = errno
	}
	return 0, &fs.PathError{Op: op, Path: f.Name(), Err: err}
}

func (f *File) byRing(c *call) (int, error) {
	c.file, c.alone, c.quiet = f, f.bounded, !f.bounded
	o, gen, err := f.r.begin(c, None)
	if err != nil {
		return 0, err
	}
	o.claim(gen)
	o.lane.await(o, nil)
	return take[int](o, o.retire())
}

// writeTurn is the lock for Write: that of the position, or one of its own, lest Write wait for a Read that waits for data.
func (f *File) writeTurn() *sync.Mutex {
	if f.placed {
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

// copying are buffers for ReadFrom: O_DIRECT files need them aligned.
var copying = sync.Pool{New: func() any { b := Aligned(256<<10, 0); return &b }}

// ReadFrom writes what src gives to where the file's position is, until src ends (io.ReaderFrom).
func (f *File) ReadFrom(src io.Reader) (n int64, err error) {
	if f == nil || f.r == nil {
		return 0, invalid("write", "nil File")
	}
	if src == nil {
		return 0, invalid("write", "nil Reader")
	}
	buf := copying.Get().(*[]byte)
	defer func() {
		if f.r.broken() == nil { // the kernel may have it still
			copying.Put(buf)
		}
	}()
	for {
		var m, w int
		var end error
		if f.direct { // it takes no less than whole blocks
			for tries := 0; m < len(*buf) && end == nil; tries++ {
				var k int
				if k, end = src.Read((*buf)[m:]); k > 0 {
					m, tries = m+k, 0
				} else if end == nil && tries == 100 {
					end = io.ErrNoProgress
				}
			}
		} else {
			m, end = src.Read(*buf)
		}
		if m > 0 {
			w, err = f.Write((*buf)[:m])
			n += int64(w)
		}
		switch {
		case end != nil && end != io.EOF:
			if err != nil { // perhaps because what there was is not a whole block
				end = errors.Join(end, err)
			}
			return n, end
		case err != nil || end != nil:
			return n, err
		}
	}
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

// WriteAt writes all of p at offset off (io.WriterAt). Into the page cache it may do so itself (pwrite(2)), as Write may, because
// io_uring would have a worker of the kernel's do it where the file system can't promise not to wait. On a file opened with
// O_APPEND it is an error, as it is for os.
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
	case !f.seekable && !f.closed():
		return &fs.PathError{Op: op, Path: f.Name(), Err: syscall.ESPIPE}
	}
	if err := f.refusal(); err != nil {
		return &fs.PathError{Op: op, Path: f.Name(), Err: err}
	}
	return nil
}
