package uring

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Buffers is a ring of provided buffers (IORING_REGISTER_PBUF_RING): the kernel takes the next one when it has
// something to receive, and says in the CQE which it was; whoever has read it gives it back. Callers serialise all of it.
//
//	the kernel's head <= tail <= head + entries   (as differences, of 16 bits)
//
// so a buffer may be given back only once, which the caller sees to.
type Buffers struct {
	entries []pbufEntry
	mapping []byte
	memory  []byte // all buffers, one after the other; pinned
	addr    Addr
	pins    Pins
	size    int
	mask    uint16
	tail    uint16
	group   uint16
}

// Buffers makes a group of n buffers, a power of two, of size bytes each, and gives them all to the kernel.
func (l *Loop) Buffers(group uint16, n, size int) (*Buffers, error) {
	if n > maxProvidedBuffers || n&(n-1) != 0 {
		panic("uring: a ring of provided buffers has a power of two of them, at most 32768")
	}
	if l.ring.kernel != nil {
		return nil, errors.ErrUnsupported
	}
	mapping, err := unix.Mmap(-1, 0, n*int(unsafe.Sizeof(pbufEntry{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("rio: mmap: %w", err)
	}
	b := &Buffers{
		entries: unsafe.Slice((*pbufEntry)(unsafe.Pointer(&mapping[0])), n), mapping: mapping,
		memory: Aligned(n*size, 4096), size: size, mask: uint16(n - 1), group: group,
	}
	reg := pbufReg{addr: uint64(uintptr(unsafe.Pointer(&mapping[0]))), entries: uint32(n), group: group}
	if errno := l.ring.register(regPbufRing, unsafe.Pointer(&reg), 1); errno != 0 {
		unix.Munmap(mapping)
		return nil, fmt.Errorf("rio: io_uring_register(PBUF_RING): %w", errno)
	}
	b.addr = b.pins.Bytes(b.memory)
	for i := range n {
		b.Give(uint16(i))
	}
	b.Publish()
	return b, nil
}

// Bytes is the first n bytes of a buffer that the kernel has filled: nothing behind them can be reached.
func (b *Buffers) Bytes(id uint16, n int) []byte {
	at := int(id) * b.size
	if id > b.mask || n > b.size {
		panic("uring: the kernel names a buffer that there is none of")
	}
	return b.memory[at : at+n : at+n]
}

// Give gives a buffer back; the kernel sees it after Publish.
func (b *Buffers) Give(id uint16) {
	e := &b.entries[b.tail&b.mask]
	e.addr, e.len, e.bid = b.addr.Plus(int(id)*b.size).v, uint32(b.size), id
	b.tail++
}

// Publish shows the kernel what was given back. The tail is the upper half of a word whose lower half is the first entry's
// number, which is written too, unchanged: there is no atomic store of 16 bits.
func (b *Buffers) Publish() {
	e := &b.entries[0]
	halves := [2]uint16{e.bid, b.tail}
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&e.bid)), *(*uint32)(unsafe.Pointer(&halves)))
}

// Close takes the group from the kernel. No request that could take a buffer is in flight.
func (b *Buffers) Close(l *Loop) syscall.Errno {
	reg := pbufReg{group: b.group}
	errno := l.ring.register(unregPbufRing, unsafe.Pointer(&reg), 1)
	b.pins.Release()
	unix.Munmap(b.mapping)
	b.entries, b.mapping = nil, nil
	return errno
}
