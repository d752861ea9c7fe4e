//go:build linux

package main

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/seed-9c58b644/rio"
	"golang.org/x/sys/unix"
)

const mebibyte = 1 << 20

// hugeBuffers are of huge pages, where these are to be had: a large write has fewer segments for the disk then, which
// is worth more than anything else in its row. The C program's are, too, and what Ring.Buffers makes.
func hugeBuffers(n, size int) (bufs [][]byte, unmap func(), err error) {
	const huge = 2 << 20
	mem, err := unix.Mmap(-1, 0, n*size+huge, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, nil, os.NewSyscallError("mmap", err)
	}
	unix.Madvise(mem, unix.MADV_HUGEPAGE) // or not
	first := -int(uintptr(unsafe.Pointer(&mem[0]))) & (huge - 1)
	for i := range n {
		buf := mem[first+i*size:][:size:size]
		for j := range buf {
			buf[j] = 'x'
		}
		bufs = append(bufs, buf)
	}
	return bufs, func() { unix.Munmap(mem) }, nil
}

// writeSides write to the end of a file, and begin again at its start; all of it has been written before.
func writeSides(s *Stage) ([]Side, error) {
	const inFlight = 8
	name, err := s.direct("written")
	if err != nil {
		return nil, err
	}
	bufs, unmap, err := hugeBuffers(inFlight, mebibyte)
	if err != nil {
		return nil, err
	}
	s.cleanup(unmap) // the files, opened later, are closed before
	f, err := os.OpenFile(name, os.O_RDWR|rio.O_DIRECT, 0)
	if err != nil {
		return nil, err
	}
	s.cleanup(func() { f.Close(); os.Remove(name) })
	ring, err := s.ring(nil)
	if err != nil {
		return nil, err
	}
	rf, err := ring.OpenFile(name, os.O_RDWR|rio.O_DIRECT, 0)
	if err != nil {
		return nil, err
	}
	registered, err := ring.Buffers(inFlight, mebibyte)
	if err != nil {
		return nil, err
	}
	s.cleanup(func() { rf.Close() })
	blocks := s.options.Size / mebibyte
	written := func(n int, err error) error {
		if err == nil && n != mebibyte {
			err = fmt.Errorf("a write of %d bytes", n)
		}
		return err
	}

	var next atomic.Int64
	pwrite := inGoroutines(inFlight, func(i int) load {
		return func(until time.Time) (n int, err error) {
			for ; time.Now().Before(until); n++ {
				off := (next.Add(1) - 1) % blocks * mebibyte
				if err := written(f.WriteAt(bufs[i], off)); err != nil {
					return n, err
				}
			}
			return n, nil
		}
	})
	ours := func(until time.Time) (n int, err error) {
		var started [inFlight]rio.Completion[int]
		at := int64(0)
		write := func(i int) {
			started[i] = ring.WriteAt(rf, registered[i], at%blocks*mebibyte)
			at++
		}
		for i := range started {
			write(i)
		}
		for more := true; more; {
			more = time.Now().Before(until)
			for i := range started {
				if e := written(started[i].Wait()); e != nil && err == nil {
					err, more = e, false
				}
				n++
				if more {
					write(i)
				}
			}
		}
		return n, err
	}
	return []Side{
		{Name: "pwrite", Turn: pwrite.turn(nil, nil)},
		s.programs.side("C", "file", "write", name, "direct", fmt.Sprint(mebibyte), fmt.Sprint(inFlight)),
		{Name: "rio", Turn: load(ours).turn(ring, nil)},
	}, nil
}
