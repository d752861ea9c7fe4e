package extest

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// Mount mounts a file system without a device, and returns its directory. It skips the test where that is not allowed.
func Mount(t testing.TB, fstype, options string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("none", dir, fstype, 0, options); err != nil {
		t.Skipf("can't mount a %s: %v", fstype, err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// Written returns a function that waits until somebody writes to a file in dir.
func Written(t testing.TB, dir string) (wait func()) {
	t.Helper()
	fd, err := syscall.InotifyInit1(syscall.IN_NONBLOCK | syscall.IN_CLOEXEC)
	if err != nil {
		t.Fatal(os.NewSyscallError("inotify_init1", err))
	}
	f := os.NewFile(uintptr(fd), "inotify")
	t.Cleanup(func() { f.Close() })
	f.SetDeadline(time.Now().Add(Patience))
	if _, err := syscall.InotifyAddWatch(fd, dir, syscall.IN_MODIFY); err != nil {
		t.Fatal(os.NewSyscallError("inotify_add_watch", err))
	}
	return func() {
		t.Helper()
		if _, err := f.Read(make([]byte, 4096)); err != nil {
			t.Fatal(err)
		}
	}
}
