package riotest

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// A Disk is what there is of files when the power is off. It is a value like a []byte: a Sim that begins with a Disk
// leaves it as it is.
type Disk struct{ files map[string][]byte }

func (d *Disk) clone() *Disk { return &Disk{files: maps.Clone(d.files)} }

// Names are the names of the files, sorted.
func (d *Disk) Names() []string {
	if d == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(d.files))
}

// ReadFile returns what is in a file.
func (d *Disk) ReadFile(name string) ([]byte, error) {
	if d != nil {
		if b, ok := d.files[name]; ok {
			return bytes.Clone(b), nil
		}
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOENT}
}

// WriteFile puts a file onto the Disk, durably.
func (d *Disk) WriteFile(name string, data []byte) {
	if d.files == nil {
		d.files = map[string][]byte{}
	}
	d.files[name] = bytes.Clone(data)
}

// String lists the files and their sizes.
func (d *Disk) String() string {
	var b strings.Builder
	for _, name := range d.Names() {
		fmt.Fprintf(&b, "%s %d\n", name, len(d.files[name]))
	}
	return b.String()
}

// sectorSize is what the disk writes in one piece: in a power cut all of it, or nothing.
const sectorSize = 512

// An inode is a file in two states: what reads see, and what is durable.
type inode struct {
	data  []byte
	disk  []byte
	dirty map[int][][]byte // by sector: what it has been since the last sync, without what it is now
}

// sector is one sector of b, as long as that is.
func sector(b []byte, s int) []byte {
	if s*sectorSize >= len(b) {
		return nil
	}
	return b[s*sectorSize : min(len(b), (s+1)*sectorSize)]
}

// touch notes that n bytes from off on are about to change.
func (i *inode) touch(off, n int) {
	const most = 4
	for s := off / sectorSize; s*sectorSize < off+n; s++ {
		if v := i.dirty[s]; len(v) < most {
			i.dirty[s] = append(v, bytes.Clone(sector(i.data, s)))
		}
	}
}

func (i *inode) write(off int, p []byte) {
	if len(p) == 0 {
		return
	}
	if off+len(p) > len(i.data) {
		i.resize(off + len(p))
	}
	i.touch(off, len(p))
	uring.KernelCopy(i.data[off:], p)
}

func (i *inode) resize(size int) {
	if old := len(i.data); size < old {
		i.touch(size, old-size)
		clear(i.data[size:])
		i.data = i.data[:size]
	} else if size > old {
		i.touch(old, 1) // its sector gets zeros; those behind are holes
		i.data = slices.Grow(i.data, size-old)[:size]
		clear(i.data[old:])
	}
}

// sync makes everything durable.
func (i *inode) sync() {
	i.disk = fit(i.disk, len(i.data))
	for s := range i.dirty {
		copy(i.disk[min(len(i.disk), s*sectorSize):], sector(i.data, s))
	}
	clear(i.dirty)
}

// lose is a sync that fails: some of it gets there, and the rest is forgotten.
func (i *inode) lose(r *rand.Rand) {
	i.disk = i.cut(r)
	clear(i.dirty)
}

// cut is what a power cut leaves: of each sector that was not synced any state that it was in, and a size in between.
func (i *inode) cut(r *rand.Rand) []byte {
	size := len(i.disk)
	switch r.IntN(3) {
	case 0:
		size = len(i.data)
	case 1:
		low, high := min(size, len(i.data)), max(size, len(i.data))
		size = low + r.IntN(high-low+1)
	}
	b := fit(bytes.Clone(i.disk), size)
	for _, s := range slices.Sorted(maps.Keys(i.dirty)) {
		was := i.dirty[s]
		n := r.IntN(len(was) + 2)
		if n == 0 || s*sectorSize >= size {
			continue
		}
		now := sector(i.data, s)
		if n <= len(was) {
			now = was[n-1]
		}
		b = overwrite(b, s, now)
	}
	return b
}

// overwrite makes a sector of b what now is, and zeros behind it.
func overwrite(b []byte, s int, now []byte) []byte {
	at := sector(b, s)
	clear(at[copy(at, now):])
	return b
}

// fit makes b that long, with zeros.
func fit(b []byte, size int) []byte {
	if size <= len(b) {
		return b[:size:size]
	}
	return append(b, make([]byte, size-len(b))...)
}
