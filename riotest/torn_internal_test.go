package riotest

import (
	"bytes"
	"os"
	"testing"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// write is a request of that kind to write p, of a length that the kernel would take in any number of pieces.
func (r *request) write(t *testing.T, op uring.Opcode, off int64, p []byte) {
	t.Helper()
	pins := new(uring.Pins)
	t.Cleanup(pins.Release)
	r.Op, r.Off = op, uint64(off)
	if op == uring.OpWritev {
		var vec []uring.Iovec
		vec, r.Addr = pins.Vector(nil, [][]byte{p[:len(p)/2], p[len(p)/2:]})
		r.Len = uint32(len(vec))
		return
	}
	r.Addr, r.Len = pins.Bytes(p), uint32(len(p))
}

// aligned is n bytes as O_DIRECT wants them.
func aligned(n int) []byte {
	for b := make([]byte, n+2*sectorSize); ; b = b[1:] {
		if !uring.Misaligned(b[:n], 0) {
			return b[:n]
		}
	}
}

// Of a write that a power cut ends any piece may be there, from the first byte on, where it would be if it had gone on; but nothing of
// one that would have been refused.
func TestTornWritesBeginWhereTheyBelong(t *testing.T) {
	const was = "0123456789"
	block := aligned(sectorSize)
	copy(block, "abcdef")
	odd := append([]byte{0}, block...)[1:7]
	for _, c := range []struct {
		name string
		op   uring.Opcode
		flag int
		off  int64
		p    []byte
		at   int // where it is to begin; -1: nowhere
	}{
		{"in the middle", uring.OpWrite, os.O_RDWR, 3, []byte("abcdef"), 3},
		{"in pieces", uring.OpWritev, os.O_WRONLY, 3, []byte("abcdef"), 3},
		{"at the end", uring.OpWrite, os.O_RDWR, 10, []byte("abcdef"), 10},
		{"with O_APPEND", uring.OpWrite, os.O_WRONLY | os.O_APPEND, 3, []byte("abcdef"), 10},
		{"at the position", uring.OpWrite, os.O_RDWR, -1, []byte("abcdef"), 4},
		{"with O_DIRECT", uring.OpWrite, os.O_RDWR | uring.FileDirect, 0, block, 0},
		{"misaligned", uring.OpWrite, os.O_RDWR | uring.FileDirect, 3, odd, -1},
		{"of nothing", uring.OpWrite, os.O_RDWR, 20, nil, -1},
		{"behind the end of the disk", uring.OpWrite, os.O_RDWR, maxSize - 5, []byte("abcdef"), -1},
		{"for reading only", uring.OpWrite, os.O_RDONLY, 3, []byte("abcdef"), -1},
		{"a read", uring.OpRead, os.O_RDWR, 3, []byte("abcdef"), -1},
	} {
		if c.flag&uring.FileDirect == 0 && (c.name == "with O_DIRECT" || c.name == "misaligned") {
			continue // there is none here
		}
		most := len(c.p)
		if c.at < 0 {
			most = 0
		}
		seen := make([]bool, len(c.p)+1)
		for seed := range uint64(100) {
			f := &openFile{s: newSim(seed), flag: c.flag, pos: 4, inode: &inode{data: []byte(was), dirty: map[int][][]byte{}}}
			var r request
			r.write(t, c.op, c.off, c.p)
			f.tear(&r)
			n := 0
			for want := []byte(was); !bytes.Equal(f.data, want); n++ {
				if n == most {
					t.Fatalf("%s: %q", c.name, f.data)
				}
				if want = []byte(was); c.at+n+1 > len(want) {
					want = append(want, make([]byte, c.at+n+1-len(want))...)
				}
				copy(want[c.at:], c.p[:n+1])
			}
			seen[n] = true
		}
		for n, ok := range seen[:most+1] {
			if !ok && most < sectorSize {
				t.Errorf("%s: never %d bytes", c.name, n)
			}
		}
	}
}

// What is in flight when the power is cut may have been written in part, but nothing is afterwards.
func TestTornWritesAreThoseInFlight(t *testing.T) {
	torn := 0
	for seed := range uint64(40) {
		s := newSim(seed)
		f := &openFile{s: s, name: "f", flag: os.O_RDWR, inode: &inode{dirty: map[int][][]byte{}}}
		r := &request{file: f}
		r.write(t, uring.OpWrite, 0, []byte("abcdef"))
		s.kernels = []*kernel{{s: s, ready: []*request{r}}}
		s.Crash()
		n := len(f.data)
		if n > 0 {
			torn++
		}
		for range 10 {
			s.Crash()
		}
		if len(f.data) != n {
			t.Errorf("seed %d: %d bytes, and then %d", seed, n, len(f.data))
		}
	}
	if torn == 0 || torn == 40 {
		t.Errorf("%d of 40 are torn", torn)
	}
}
