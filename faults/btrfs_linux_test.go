package faults

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-9c58b644/rio"
)

// A file system with checksums says EIO for one bad block, and for that one only.
func TestABadBlock(t *testing.T) {
	f := inject(t, 27, "btrfs with one corrupted block: EIO there, nowhere else")
	root(t, "mkfs.btrfs")
	const block, many, bad = 4096, 64, 23
	img := filepath.Join(t.TempDir(), "img")
	device := loop(t, img, 128<<20)
	// Data once, so that there is no other copy to heal from.
	command(t, "mkfs.btrfs", "-q", "-f", "-d", "single", "-m", "single", device)
	dir := t.TempDir()
	mount := func() {
		if err := unix.Mount(device, dir, "btrfs", 0, ""); err != nil {
			t.Skip("no btrfs here: ", err)
		}
	}
	unmount := func() error {
		err := unix.Unmount(dir, 0)
		for i := 0; i < 100 && err == unix.EBUSY; i++ {
			time.Sleep(10 * time.Millisecond) // the kernel closes some files late
			err = unix.Unmount(dir, 0)
		}
		return err
	}
	mount()
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	var want []byte
	for i := range many {
		want = append(want, tagged("a block of btrfs", i, 7, block)...)
	}
	if err := os.WriteFile(dir+"/f", want, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unmount(); err != nil {
		t.Fatal("unmount:", err)
	}
	// The block is looked for in the image, and one bit of it turned.
	disk, err := os.OpenFile(device, os.O_RDWR|syscall.O_SYNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(disk)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(raw, want[bad*block:(bad+1)*block])
	if at < 0 {
		t.Fatal("the block is not in the image")
	}
	if _, err := disk.WriteAt([]byte{raw[at+100] ^ 4}, int64(at+100)); err != nil {
		t.Fatal(err)
	}
	disk.Close()
	for _, c := range []struct {
		name string
		flag int
	}{{"by way of the page cache", 0}, {"O_DIRECT", syscall.O_DIRECT}} {
		mount()
		r := f.ring(nil)
		h := open(f, r, dir+"/f", os.O_RDONLY|c.flag)
		var cs [many]rio.Completion[int]
		var bufs [many][]byte
		for i := range many {
			bufs[i] = rio.Aligned(block, 0)
			cs[i] = r.ReadAt(h, bufs[i], int64(i*block))
		}
		for i := range many {
			n, err := cs[i].Wait()
			f.ops.Add(1)
			switch {
			case i == bad && !errors.Is(err, syscall.EIO):
				f.lost.Add(1)
				t.Errorf("%s, the bad block: %d, %v", c.name, n, err)
			case i != bad && (err != nil || n != block):
				f.lost.Add(1)
				t.Errorf("%s, block %d: %d, %v", c.name, i, n, err)
			case i != bad:
				f.same("a block", bufs[i], want[i*block:(i+1)*block])
			}
		}
		// One big read stops before it, and says how far it came.
		big := rio.Aligned(len(want), 0)
		n, err := h.ReadAt(big, 0)
		if n > bad*block || !errors.Is(err, syscall.EIO) {
			t.Errorf("%s, all of it: %d, %v", c.name, n, err)
		}
		f.same("before the bad block", big[:n], want[:n])
		n, err = h.ReadAt(big[:(many-bad-1)*block], (bad+1)*block)
		if n != (many-bad-1)*block || err != nil {
			t.Errorf("%s, behind the bad block: %d, %v", c.name, n, err)
		}
		f.same("behind the bad block", big[:n], want[(bad+1)*block:])
		f.ops.Add(2)
		h.Close()
		r.Close()
		if err := unmount(); err != nil {
			t.Fatal("unmount:", err)
		}
	}
}
