package main

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path"
	"sort"
)

// writeInitramfs makes an archive as the kernel wants it (cpio, "newc"), of programs, named by their files, and of texts.
func writeInitramfs(name string, programs, texts map[string]string) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	z, _ := gzip.NewWriterLevel(f, gzip.BestSpeed)
	a := &archive{w: bufio.NewWriter(z)}
	for _, dir := range []string{"dev", "etc", "proc", "sys", "tmp", "disk"} {
		a.add(dir, 0o40755, 0, nil)
	}
	for _, n := range sorted(texts) {
		a.add(n, 0o100644, int64(len(texts[n])), func(w io.Writer) error { _, err := io.WriteString(w, texts[n]); return err })
	}
	for _, n := range sorted(programs) {
		p, err := os.Open(programs[n])
		if err != nil {
			return err
		}
		fi, err := p.Stat()
		if err == nil {
			a.add(path.Clean(n), 0o100755, fi.Size(), func(w io.Writer) error { _, err := io.Copy(w, p); return err })
		}
		p.Close()
		if err != nil {
			return err
		}
	}
	a.add("TRAILER!!!", 0, 0, nil)
	if a.err == nil {
		a.err = a.w.Flush()
	}
	if a.err == nil {
		a.err = z.Close()
	}
	return a.err
}

// An archive is a cpio file in the making.
type archive struct {
	w     *bufio.Writer
	inode int
	err   error
}

func (a *archive) add(name string, mode, size int64, content func(io.Writer) error) {
	if a.err != nil {
		return
	}
	a.inode++
	head := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		a.inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name)+1, 0)
	io.WriteString(a.w, head+name+"\x00")
	a.pad(int64(len(head) + len(name) + 1))
	if content != nil {
		a.err = content(a.w)
		a.pad(size)
	}
}

// pad fills up to a multiple of four bytes.
func (a *archive) pad(n int64) {
	for ; n%4 != 0; n++ {
		a.w.WriteByte(0)
	}
}

func sorted(m map[string]string) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
