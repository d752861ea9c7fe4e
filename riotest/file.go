package riotest

import (
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio"
	"github.com/seed-9c58b644/rio/internal/hook"
	"github.com/seed-9c58b644/rio/internal/uring"
)

// OpenFile is rio's Ring.OpenFile on the simulated disk, whose names have no directories. A new file's name is durable
// when the file was synced.
func (s *Sim) OpenFile(name string, flag int, perm fs.FileMode) (*rio.File, error) {
	f := &openFile{s: s, name: name, flag: flag}
	on, err := hook.NewFile(s.ring, f)
	if err != nil {
		return nil, err // before there is anything to truncate, or made
	}
	file := on.(*rio.File)
	s.mu.Lock()
	f.inode, err = s.open(name, flag)
	s.mu.Unlock()
	if err != nil {
		file.Close()
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return file, nil
}

func (s *Sim) open(name string, flag int) (*inode, error) {
	i := s.names.now[name]
	switch {
	case s.off:
		return nil, syscall.EIO
	case i == nil && flag&os.O_CREATE == 0:
		return nil, syscall.ENOENT
	case i != nil && flag&(os.O_CREATE|os.O_EXCL) == os.O_CREATE|os.O_EXCL:
		return nil, syscall.EEXIST
	case i == nil:
		i = &inode{dirty: map[int][][]byte{}}
		s.names.change(change{to: name, node: i})
	case flag&os.O_TRUNC != 0:
		i.resize(0)
	}
	return i, nil
}

// Rename is os.Rename. It is durable when SyncDir was called, or the file was synced.
func (s *Sim) Rename(from, to string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.names.now[from]
	switch {
	case s.off:
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: syscall.EIO}
	case i == nil:
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: syscall.ENOENT}
	}
	s.names.change(change{from: from, to: to, node: i})
	return nil
}

// Remove is os.Remove. It is durable when SyncDir was called.
func (s *Sim) Remove(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.off:
		return &fs.PathError{Op: "remove", Path: name, Err: syscall.EIO}
	case s.names.now[name] == nil:
		return &fs.PathError{Op: "remove", Path: name, Err: syscall.ENOENT}
	}
	s.names.change(change{from: name})
	return nil
}

// SyncDir makes names durable, as fsync(2) on the directory does; after a Crash it does nothing.
func (s *Sim) SyncDir() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.off {
		s.names.commit(nil)
	}
}

// Names are the names of the files there are now, sorted.
func (s *Sim) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for name := range s.names.now {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// An openFile is what a descriptor of the simulated disk stands for.
type openFile struct {
	s    *Sim
	name string
	flag int
	*inode
	pos int64
}

var _ uring.Virtual = (*openFile)(nil)

func (f *openFile) Name() string                       { return f.name }
func (f *openFile) Flags() int                         { return f.flag }
func (f *openFile) Close() error                       { return nil }
func (f *openFile) ReadDir(int) ([]fs.DirEntry, error) { return nil, syscall.ENOTDIR }

// Alignment is what perform asks O_DIRECT transfers for.
func (f *openFile) Alignment() (mem, off int) { return sectorSize, sectorSize }

func (f *openFile) Stat() (fs.FileInfo, error) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	return fileInfo{path.Base(f.name), int64(len(f.data))}, nil
}

func (f *openFile) Seek(off int64, whence int) (int64, error) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		off += f.pos
	case io.SeekEnd:
		off += int64(len(f.data))
	default:
		return 0, syscall.EINVAL
	}
	if off < 0 {
		return 0, syscall.EINVAL
	}
	f.pos = off
	return off, nil
}

func (f *openFile) Truncate(size int64) error {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	switch {
	case f.s.off:
		return syscall.EIO
	case size < 0 || !f.writes():
		return syscall.EINVAL
	case size > maxSize:
		return syscall.EFBIG
	}
	f.resize(int(size))
	return nil
}

type fileInfo struct {
	name string
	size int64
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.size }
func (i fileInfo) Mode() fs.FileMode  { return 0o644 }
func (i fileInfo) ModTime() time.Time { return time.Time{} }
func (i fileInfo) IsDir() bool        { return false }
func (i fileInfo) Sys() any           { return nil }
