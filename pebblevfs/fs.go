package pebblevfs

import (
	"errors"
	"io/fs"
	"os"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/seed-9c58b644/rio"
)

// system is vfs.Default as it was before anybody could make it an FS of this package.
var system = vfs.Default

// names is the part of an FS that is about names, locks and disk usage: no ring has anything to gain there.
type names interface{ vfs.FS }

// An FS is a vfs.FS whose files are a ring's. Any number of stores may share one, and several FS one ring.
type FS struct {
	names
	ring    *rio.Ring
	devices sync.Map // st_dev → vfs.DeviceID
}

// New returns an FS on ring, which has to stay open until the files and stores on the FS are closed: once it is closed,
// whatever they do fails with rio.ErrClosed, their own Close excepted.
func New(ring *rio.Ring) *FS { return &FS{names: system, ring: ring} }

// Unwrap returns nil: vfs.Root must find this FS, not the one it has its names from.
func (s *FS) Unwrap() vfs.FS { return nil }

// Create makes a new file. One that has the name already loses it first, and keeps its content under its other names.
func (s *FS) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	for {
		f, err := s.open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
}

// Open opens a file to read it.
func (s *FS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	return s.open(name, os.O_RDONLY, opts...)
}

// OpenReadWrite opens a file to read and write it, and makes it if there is none.
func (s *FS) OpenReadWrite(name string, _ vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return s.open(name, os.O_RDWR|os.O_CREATE, opts...)
}

// ReuseForWrite gives a file another name and opens it to write over what it holds.
func (s *FS) ReuseForWrite(oldname, newname string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	if err := s.Rename(oldname, newname); err != nil {
		return nil, err
	}
	return s.open(newname, os.O_RDWR|os.O_CREATE)
}

// OpenDir opens a directory to sync it.
func (s *FS) OpenDir(name string) (vfs.File, error) {
	f, err := s.ring.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	return &dir{file{File: f, fs: s}}, nil
}

// open returns a nil interface with an error: callers compare with nil.
func (s *FS) open(name string, flag int, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := s.ring.OpenFile(name, flag, 0o666)
	if err != nil {
		return nil, err
	}
	opened := &file{File: f, fs: s}
	opened.ranges = rangesWork(f)
	for _, opt := range opts {
		opt.Apply(opened)
	}
	return opened, nil
}
