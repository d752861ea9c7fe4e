//go:build linux

package cbar

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"syscall"
)

const (
	// DataSize is how large a data file is: more than a small disk's cache, little enough to stay in the page cache.
	DataSize = 256 << 20
	// Block is how much one read of it takes.
	Block = 4096
	// Blocks is how many there are.
	Blocks = DataSize / Block
)

// NewData makes a file of DataSize random bytes and returns its name. The directory is $RIO_BENCH_DIR, or else the
// temporary one, or the current one where the temporary one is in memory: O_DIRECT would mean nothing there. Random
// bytes really written, because zeros and unwritten extents are read without asking the disk.
func NewData() (name string, err error) {
	dir := os.Getenv("RIO_BENCH_DIR")
	if dir == "" {
		dir = os.TempDir()
		if InMemory(dir) {
			dir = "."
		}
	}
	f, err := os.CreateTemp(dir, "rio-bench-*.bin")
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, io.LimitReader(rand.NewChaCha8([32]byte{}), DataSize))
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		os.Remove(f.Name())
		return "", fmt.Errorf("data file: %w", err)
	}
	return f.Name(), nil
}

// InMemory reports whether path is on a file system without a disk.
func InMemory(path string) bool {
	const tmpfs, ramfs = 0x01021994, 0x858458f6
	var st syscall.Statfs_t
	err := syscall.Statfs(path, &st)
	return err == nil && (uint32(st.Type) == tmpfs || uint32(st.Type) == ramfs)
}

// Cache reads all of a file, so that its pages are in the page cache.
func Cache(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, 1<<20)
	for {
		if _, err := f.Read(buf); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// CPU is the time, in nanoseconds, that all threads of the process have run so far, in user and kernel mode.
func CPU() float64 {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		panic("getrusage: " + err.Error()) // its arguments are constants
	}
	return float64(ru.Utime.Nano() + ru.Stime.Nano())
}
