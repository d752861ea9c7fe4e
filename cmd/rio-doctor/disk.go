package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/seed-9c58b644/rio"
	"github.com/seed-9c58b644/rio/internal/uring"
)

// A disk is what there is to be said of a path.
type disk struct {
	Path       string `json:"path"`
	FileSystem string `json:"file_system,omitempty"`
	Direct     string `json:"direct"`                 // yes, or why not
	Memory     int    `json:"align_memory,omitempty"` // what O_DIRECT asks of a buffer's address (STATX_DIOALIGN)
	Offset     int    `json:"align_offset,omitempty"` // and of offset and length
	Alignment  string `json:"align_unknown,omitempty"`
	Error      string `json:"error,omitempty"`

	dir string
}

// fileSystems are the numbers that statfs(2) has for them.
var fileSystems = map[uint32]string{
	0xEF53: "ext4 (or ext2, ext3)", 0x58465342: "XFS", 0x9123683E: "Btrfs", 0x01021994: "tmpfs", 0x858458F6: "ramfs", 0x794C7630: "overlayfs",
	0x6969: "NFS", 0xFF534D42: "CIFS", 0xFE534D42: "SMB", 0x65735546: "FUSE", 0x01021997: "9p", 0x2FC12FC1: "ZFS", 0xF2F52010: "F2FS",
	0xCA451A4E: "bcachefs", 0x4D44: "FAT", 0x2011BAB0: "exFAT", 0x73717368: "SquashFS", 0xE0F5E1E2: "EROFS", 0x00C36400: "Ceph",
}

// examineDisk asks for what lies at path, by a file of its own beside it.
func examineDisk(path string) *disk {
	d := &disk{Path: path, dir: path}
	if abs, err := filepath.Abs(path); err == nil {
		d.Path = abs
	}
	st, err := os.Stat(path)
	if err != nil {
		d.Error = err.Error()
		return d
	}
	if !st.IsDir() {
		d.dir = filepath.Dir(path)
	}
	if n, err := uring.FileSystem(d.dir); err == nil {
		if d.FileSystem = fileSystems[n]; d.FileSystem == "" {
			d.FileSystem = fmt.Sprintf("statfs type %#x", n)
		}
	}
	f, err := os.CreateTemp(d.dir, ".rio-doctor-")
	if err != nil {
		d.Error = err.Error() + elsewhere(err)
		return d
	}
	defer removing(f.Name())()
	defer f.Close()
	d.direct(f)
	return d
}

// elsewhere says what to do where no file can be made.
func elsewhere(err error) string {
	if errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission) {
		return "; a file has to be made to tell more: rio-doctor PATH looks at another directory"
	}
	return ""
}

// removing sees to it that the file is removed: when what it returns is called, or a signal ends the program before.
func removing(name string) (remove func()) {
	signals, over := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
			os.Remove(name)
			os.Exit(1)
		case <-over:
		}
	}()
	return func() {
		signal.Stop(signals)
		close(over)
		os.Remove(name)
	}
}

// direct says what f, an empty file, has for O_DIRECT.
func (d *disk) direct(f *os.File) {
	if rio.O_DIRECT == 0 {
		d.Direct = "no: only Linux has it"
		return
	}
	d.Direct = "yes"
	g, err := os.OpenFile(f.Name(), os.O_RDWR|rio.O_DIRECT, 0)
	if err != nil {
		d.Direct = "no: " + err.Error()
		if errors.Is(err, syscall.EINVAL) {
			d.Direct = "no: this file system doesn't have it (EINVAL)"
		}
		return
	}
	defer g.Close()
	raw, err := g.SyscallConn()
	if err == nil {
		raw.Control(func(fd uintptr) { d.Memory, d.Offset, err = uring.Alignment(int(fd)) })
	}
	if err != nil {
		d.Alignment = "the file system doesn't say; 4096 suits nearly all"
	}
}
