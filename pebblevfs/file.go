package pebblevfs

import (
	"os"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/seed-9c58b644/rio"
)

// A file is a vfs.File on the ring. Read, ReadAt, Write and WriteAt are those of rio.File, whose contracts are the same.
type file struct {
	*rio.File
	fs     *FS
	ranges bool // SyncTo may use sync_file_range

	// The file's last SyncTo, which nobody has waited for. Its error stays: who hears of data that could not be written
	// takes the news from whoever asks next, so that an fsync after it would report success.
	mu     sync.Mutex
	queued rio.Completion[struct{}]
	flying bool
	lost   error
}

// settle waits for the last SyncTo. f.mu is held.
func (f *file) settle() error {
	if f.flying {
		f.flying = false
		f.note(f.queued.Wait())
	}
	return f.lost
}

func (f *file) note(_ struct{}, err error) {
	if f.lost == nil && err != nil {
		f.lost = &os.PathError{Op: "sync", Path: f.Name(), Err: err}
	}
}

// Sync makes what was written durable (fsync). An error stays.
func (f *file) Sync() error { return f.sync(f.File.Sync) }

// SyncData is Sync without the metadata that reading doesn't need (fdatasync).
func (f *file) SyncData() error { return f.sync(f.File.Datasync) }

func (f *file) sync(sync func() error) error {
	f.mu.Lock()
	err := f.settle()
	f.mu.Unlock()
	if err != nil {
		return err
	}
	return sync()
}

// SyncTo has the file's first length bytes written out, and doesn't wait for that; it waits for the SyncTo before, so
// that no more than two of them are on their way to the disk. What goes wrong is reported by whatever syncs or closes
// the file next. Nothing is durable after it but on file systems where it has to be a SyncData; then it returns true.
func (f *file) SyncTo(length int64) (fullSync bool, err error) {
	if !f.ranges {
		err := f.SyncData()
		return err == nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.settle(); err != nil || length == 0 { // the kernel takes 0 for the whole file
		return false, err
	}
	f.queued = f.fs.ring.SyncFileRange(f.File, 0, length)
	if v, done, err := f.queued.TryWait(); done { // submits it, too
		f.note(v, err)
		return false, f.lost
	}
	f.flying = true
	return false, nil
}

// Preallocate reserves room on the disk; the file's size stays (fallocate, FALLOC_FL_KEEP_SIZE).
func (f *file) Preallocate(offset, length int64) error {
	_, err := f.fs.ring.Fallocate(f.File, keepSize, offset, length).Wait()
	return err
}

// Prefetch has the kernel read into its page cache (posix_fadvise, POSIX_FADV_WILLNEED), and doesn't wait for that. It is
// no operation of the ring: a read there would do the same, and copy what it has read.
func (f *file) Prefetch(offset, length int64) error {
	var err error
	if e := f.control(func(fd uintptr) { err = willNeed(fd, offset, length) }); e != nil {
		return e
	}
	return err
}

// Stat describes the file.
func (f *file) Stat() (vfs.FileInfo, error) {
	info, err := f.File.Stat()
	if err != nil {
		return nil, err
	}
	return fileInfo{info, f.device(info)}, nil
}

// Fd returns the descriptor, vfs.InvalidFd once the file is closed. Pebble gives advice on it when it opens a file, and
// preallocates and uses SyncTo only where there is one. It stays the file's own until Close.
func (f *file) Fd() uintptr {
	fd := vfs.InvalidFd
	f.control(func(p uintptr) { fd = p }) // an error leaves it invalid
	return fd
}

// control runs do with the descriptor, which Close waits for.
func (f *file) control(do func(fd uintptr)) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(do)
}

// Close waits for what is in flight. If that is a SyncTo that fails, nobody else will say so.
func (f *file) Close() error {
	f.mu.Lock()
	var lost error
	if f.flying {
		lost = f.settle()
	}
	f.mu.Unlock()
	if err := f.File.Close(); err != nil {
		return err
	}
	return lost
}

// A dir is a directory that was opened to be synced.
type dir struct{ file }

func (d *dir) SyncData() error            { return d.Sync() }
func (d *dir) SyncTo(int64) (bool, error) { return false, nil }
func (*dir) Preallocate(_, _ int64) error { return nil }
func (*dir) Prefetch(_, _ int64) error    { return nil }

// A fileInfo is what fstat says, and the device.
type fileInfo struct {
	os.FileInfo
	device vfs.DeviceID
}

func (i fileInfo) DeviceID() vfs.DeviceID { return i.device }
