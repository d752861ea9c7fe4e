package uring

import (
	"testing"

	"golang.org/x/sys/unix"
)

// A transfer of more than MaxTransfer bytes is one of MaxTransfer: its result wouldn't fit a CQE's.
func TestAVectorIsAsLongAsOneTransfer(t *testing.T) {
	const size = 1 << 30
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		t.Skip(err)
	}
	defer unix.Munmap(mem)
	for _, c := range []struct {
		bufs [][]byte
		n    int // buffers that are left
		last int // bytes of the last one
	}{
		{[][]byte{mem, mem, mem}, 2, MaxTransfer - size},
		{[][]byte{mem, mem[:MaxTransfer-size], mem[:1]}, 3, 0},
		{[][]byte{mem, mem[:1]}, 2, 1},
		{[][]byte{{}}, 1, 0},
	} {
		var pins Pins
		_, addr := pins.Vector(nil, c.bufs)
		r := Request{Op: OpWritev, Addr: addr, Len: uint32(len(c.bufs))}
		got := r.Vector()
		if len(got) != c.n || len(got[c.n-1]) != c.last {
			t.Errorf("%d buffers, want %d; the last one: %d bytes, want %d", len(got), c.n, len(got[len(got)-1]), c.last)
		}
		pins.Release()
	}
}
