package pebblevfs

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func blocks(info os.FileInfo) int64 { return info.Sys().(*syscall.Stat_t).Blocks }

func sameInode(a, b os.FileInfo) bool {
	return a.Sys().(*syscall.Stat_t).Ino == b.Sys().(*syscall.Stat_t).Ino
}

func TestPrefetchReadsIntoThePageCache(t *testing.T) {
	fs, _ := newFS(t)
	const size = 256 << 10
	f, _ := create(t, fs, strings.Repeat("x", size))
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	cached := func() bool {
		n, err := unix.Preadv2(int(f.Fd()), [][]byte{make([]byte, size)}, 0, unix.RWF_NOWAIT)
		if errors.Is(err, unix.EOPNOTSUPP) {
			t.Skip("this file system can't say what is in the page cache")
		}
		return n == size
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil || cached() {
		t.Skip("the page cache can't be emptied here: ", err)
	}
	if err := f.Prefetch(0, size); err != nil {
		t.Fatal(err)
	}
	// Nothing tells when the pages have arrived; looking is all there is.
	for deadline := time.Now().Add(time.Minute); !cached(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the pages have not come")
		}
	}
}
