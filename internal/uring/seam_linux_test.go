package uring

import (
	"syscall"
	"testing"
)

// What the question costs whether a ring has a Kernel: an enter for nothing, with and without it.
func BenchmarkSeam(b *testing.B) {
	r, err := Open(Config{Entries: 8, CQEntries: 16})
	if err != nil {
		b.Skip(err)
	}
	defer r.Close()
	for _, v := range []struct {
		name  string
		enter func() syscall.Errno
	}{{"via=syscall", r.events}, {"via=ring", r.Events}} {
		b.Run(v.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if errno := v.enter(); errno != 0 {
					b.Fatal(errno)
				}
			}
		})
	}
}
