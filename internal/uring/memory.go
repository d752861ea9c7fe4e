package uring

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"
)

const (
	// MemoryPlaces is how many stretches of memory a ring's table has room for.
	MemoryPlaces = 64
	// MaxMemory is the most that one of them may have (SZ_1G).
	MaxMemory = 1 << 30
	// hugePage is the size of a huge page on most machines: memory that is made of such has fewer pieces for a disk.
	hugePage = 2 << 20
)

// A Memory is a stretch of Go memory whose pages the kernel holds: a transfer to or from it needn't look them up. It is
// pinned for as long as the ring lives.
type Memory struct {
	place      uint16
	start, end uint64
}

// Find is the address of b in an SQE, and the place in the table to go with it, if all of b lies in m.
func (m Memory) Find(b []byte) (a Addr, place uint16, ok bool) {
	v := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b))))
	if v < m.start || v > m.end || m.end-v < uint64(len(b)) {
		return Addr{}, 0, false
	}
	return Addr{v: v}, m.place, true
}

// Memories are stretches that don't overlap, in the order of their addresses.
type Memories []Memory

// With is ms and m.
func (ms Memories) With(m Memory) Memories {
	i := ms.behind(m.start)
	return slices.Insert(slices.Clone(ms), i, m)
}

// Find is Memory.Find of the one that has b, if any does.
func (ms Memories) Find(b []byte) (a Addr, place uint16, ok bool) {
	i := ms.behind(uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))))
	if i == 0 {
		return Addr{}, 0, false
	}
	return ms[i-1].Find(b)
}

// behind is how many of ms begin at the address v or before.
func (ms Memories) behind(v uint64) int {
	lo, hi := 0, len(ms)
	for lo < hi {
		if mid := (lo + hi) / 2; ms[mid].start <= v {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// Pages returns n bytes of Go memory that begins with a page; of huge ones, where they are to be had and n is large enough.
func Pages(n int) []byte {
	if n < hugePage {
		return Aligned(n, 4096)
	}
	b := Aligned(n, hugePage)
	collapse(b[:n&^(hugePage-1)])
	return b
}

// Register pins b and has the kernel hold its pages (IORING_REGISTER_BUFFERS2, with IORING_RSRC_REGISTER_SPARSE, which is
// Linux 5.19's). ENOMEM: more than may be locked (RLIMIT_MEMLOCK). One call at a time.
func (r *Ring) Register(b []byte) (Memory, error) {
	if r.kernel != nil || len(b) == 0 || len(b) > MaxMemory {
		return Memory{}, errors.ErrUnsupported
	}
	if len(r.memory) == MemoryPlaces {
		return Memory{}, fmt.Errorf("it holds those of %d calls already", MemoryPlaces)
	}
	pins := new(Pins)
	m := Memory{place: uint16(len(r.memory)), start: pins.Bytes(b).v}
	m.end = m.start + uint64(len(b))
	if err := r.setMemory(m.place, b); err != nil {
		pins.Release()
		return Memory{}, err
	}
	r.memory = append(r.memory, pins)
	return m, nil
}
