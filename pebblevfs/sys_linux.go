package pebblevfs

import (
	"os"
	"syscall"

	"github.com/seed-9c58b644/rio"
	"golang.org/x/sys/unix"
)

const keepSize = unix.FALLOC_FL_KEEP_SIZE

// rangesWork says whether sync_file_range does on f's file system what it should. ZFS ignores it, others were never
// looked at; like Pebble this asks for ext2, 3 or 4.
func rangesWork(f *rio.File) bool {
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	var st unix.Statfs_t
	var statErr error
	err = raw.Control(func(fd uintptr) {
		for statErr = unix.Fstatfs(int(fd), &st); statErr == unix.EINTR; statErr = unix.Fstatfs(int(fd), &st) {
		}
	})
	return err == nil && statErr == nil && st.Type == unix.EXT4_SUPER_MAGIC
}

// willNeed is what readahead(2) is in the kernel, too.
func willNeed(fd uintptr, offset, length int64) error {
	return os.NewSyscallError("posix_fadvise", unix.Fadvise(int(fd), offset, length, unix.FADV_WILLNEED))
}

func deviceNumber(info os.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Dev)
	}
	return 0
}
