package raftwal

import (
	"errors"
	"os"
	"path/filepath"
	"sync"

	"github.com/hashicorp/raft-wal/types"
	"github.com/seed-9c58b644/rio"
)

// A VFS is a types.VFS whose files are a ring's. Any number of logs may share one.
type VFS struct{ ring *rio.Ring }

// New returns a VFS on ring, which has to stay open until the logs on it are closed.
func New(ring *rio.Ring) *VFS { return &VFS{ring} }

// ListDir returns the names of the files in dir, sorted.
func (v *VFS) ListDir(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		if !entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

// Create makes a new file of size zero bytes, which have their room on the disk where the file system can do that. If
// there is no room, there is no file either.
func (v *VFS) Create(dir, name string, size uint64) (types.WritableFile, error) {
	f, err := v.open(dir, name, os.O_CREATE|os.O_EXCL|os.O_RDWR)
	if err != nil {
		return nil, err
	}
	if err := f.allocate(int64(size)); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return f, nil
}

// Delete removes a file, durably.
func (v *VFS) Delete(dir, name string) error {
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		return err
	}
	return v.syncDir(dir)
}

// OpenReader opens a file to read it.
func (v *VFS) OpenReader(dir, name string) (types.ReadableFile, error) {
	f, err := v.ring.OpenFile(filepath.Join(dir, name), os.O_RDONLY, 0)
	if err != nil {
		return nil, err // and not a *rio.File that is nil
	}
	return f, nil
}

// OpenWriter opens a file to read and write it.
func (v *VFS) OpenWriter(dir, name string) (types.WritableFile, error) {
	f, err := v.open(dir, name, os.O_RDWR)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (v *VFS) open(dir, name string, flag int) (*file, error) {
	f, err := v.ring.OpenFile(filepath.Join(dir, name), flag, 0o644)
	if err != nil {
		return nil, err
	}
	return &file{File: f, vfs: v, dir: dir}, nil
}

// syncDir makes durable which names dir has.
func (v *VFS) syncDir(dir string) error {
	d, err := v.ring.OpenFile(dir, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// A file is a types.WritableFile. Its first Sync is one of its directory, too: what is acknowledged after it must not
// be lost with the file's name. That goes for a file that was there before as well; who made it may have crashed before
// that Sync.
type file struct {
	*rio.File
	vfs *VFS
	dir string

	mu    sync.Mutex
	named bool // durably
}

// Sync makes what was written durable, and the file's name with it.
func (f *file) Sync() error {
	if err := f.File.Sync(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.named {
		return nil
	}
	if err := f.vfs.syncDir(f.dir); err != nil {
		return err
	}
	f.named = true
	return nil
}

func (f *file) allocate(size int64) error {
	if size == 0 {
		return nil
	}
	_, err := f.vfs.ring.Fallocate(f.File, 0, 0, size).Wait()
	if errors.Is(err, errors.ErrUnsupported) {
		return f.Truncate(size) // a hole: what is written may find the disk full then
	}
	return err
}
