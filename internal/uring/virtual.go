package uring

import (
	"io/fs"
	"sync"
	"sync/atomic"
)

// A Virtual is a file of a Kernel's: what a descriptor is to Linux.
type Virtual interface {
	Name() string
	Stat() (fs.FileInfo, error)
	ReadDir(n int) ([]fs.DirEntry, error)
	Close() error
	Seek(off int64, whence int) (int64, error)
	Truncate(size int64) error
	Flags() int // as open(2) has them
}

// firstVirtual is a number that no system gives to a descriptor.
const firstVirtual = 1 << 30

var virtuals struct {
	last atomic.Int32
	m    sync.Map // of int to Virtual
}

// NewVirtual returns a descriptor for v, until FreeVirtual. The functions of this package that ask about a descriptor, or move
// its position, ask v, if it is a Virtual.
func NewVirtual(v any) int {
	for {
		fd := firstVirtual + int(virtuals.last.Add(1))&(firstVirtual-1)
		if _, taken := virtuals.m.LoadOrStore(fd, v); !taken {
			return fd
		}
	}
}

// FreeVirtual makes fd invalid.
func FreeVirtual(fd int) { virtuals.m.Delete(fd) }

// Object returns what fd stands for; nil if it is no Kernel's.
func Object(fd int) any {
	if fd < firstVirtual {
		return nil
	}
	v, _ := virtuals.m.Load(fd)
	return v
}

// VirtualOf returns what fd stands for; nil if it is no Kernel's file.
func VirtualOf(fd int) Virtual {
	f, _ := Object(fd).(Virtual)
	return f
}

// FileType reports whether operations on fd end by themselves, it being a regular file, a directory or a block device,
// whether it is a socket, and whether it is a file that somebody else answers for: FUSE, or the network.
func FileType(fd int) (bounded, socket, remote bool) {
	if o := Object(fd); o != nil {
		if k, ok := o.(interface{ Kind() (bounded, socket bool) }); ok {
			bounded, socket = k.Kind()
			return bounded, socket, false
		}
		return true, false, false
	}
	return fileType(fd)
}

// InMemory reports whether fd's is a regular file that lies in memory (tmpfs, ramfs, hugetlbfs).
func InMemory(fd int) bool { return fd < firstVirtual && inMemory(fd) }

// Placed reports whether what lseek(2) says of fd is true: of what has no name, as an eventfd, it does nothing, and succeeds; and a read
// of /dev/kmsg waits.
func Placed(fd int) bool { return fd < firstVirtual && placed(fd) }

// FileFlags returns the open file's status flags (F_GETFL), 0 if it has none.
func FileFlags(fd int) int {
	if fd >= firstVirtual {
		if v := VirtualOf(fd); v != nil {
			return v.Flags()
		}
		return 0
	}
	return fileFlags(fd)
}

// Seek moves the file's position (lseek(2)).
func Seek(fd int, off int64, whence int) (int64, error) {
	if v := VirtualOf(fd); v != nil {
		return v.Seek(off, whence)
	}
	return seek(fd, off, whence)
}

// Truncate changes the file's size (ftruncate(2)).
func Truncate(fd int, size int64) error {
	if v := VirtualOf(fd); v != nil {
		return v.Truncate(size)
	}
	return truncate(fd, size)
}
