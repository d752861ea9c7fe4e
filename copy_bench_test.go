package rio_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkCopy copies a file of 64 MiB in the page cache with io.Copy: with ReadFrom's buffer, and with io.Copy's own.
func BenchmarkCopy(b *testing.B) {
	dir := b.TempDir()
	const size = 64 << 20
	if err := os.WriteFile(filepath.Join(dir, "src"), make([]byte, size), 0o600); err != nil {
		b.Fatal(err)
	}
	r := newRing(b, nil)
	for _, via := range []struct {
		name string
		to   func(io.Writer) io.Writer
	}{
		{"via=ReadFrom", func(w io.Writer) io.Writer { return w }},
		{"via=Write", func(w io.Writer) io.Writer { return struct{ io.Writer }{w} }},
	} {
		b.Run(via.name, func(b *testing.B) {
			src, dst := openOn(b, r, filepath.Join(dir, "src"), os.O_RDONLY), openOn(b, r, filepath.Join(dir, "dst"), os.O_RDWR|os.O_CREATE)
			b.SetBytes(size)
			for b.Loop() {
				src.Seek(0, io.SeekStart)
				dst.Seek(0, io.SeekStart)
				if n, err := io.Copy(via.to(dst), src); n != size || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}
