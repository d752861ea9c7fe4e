package uring

import (
	"runtime"
	"structs"
	"unsafe"
)

// An Addr is a number in an SQE that the kernel may take for an address. It can only be made by pinning, or from a
// number that the kernel does not take for an address: an address of memory that may go away can't be written down.
type Addr struct {
	_ structs.HostLayout
	v uint64
}

// Number is for operations that keep a plain number in sqe.addr (fallocate's length, the target of a cancel).
func Number(n uint64) Addr { return Addr{v: n} }

// Uint64 is for SQE fields that are addresses in some operations only (accept's addrlen lies in sqe.off).
func (a Addr) Uint64() uint64 { return a.v }

// Bytes is the memory behind the address of n bytes in an SQE: a Kernel in this process reads and writes it where Linux
// would. It is pinned until the CQE.
func (a Addr) Bytes(n int) []byte {
	if a.v == 0 || n == 0 {
		return nil
	}
	v := uintptr(a.v)
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&v)), n)
}

// Buffers is what an array of n struct iovec at a describes.
func (a Addr) Buffers(n int) [][]byte {
	if a.v == 0 || n == 0 {
		return nil
	}
	v := uintptr(a.v)
	bufs := make([][]byte, n)
	for i, iov := range unsafe.Slice(*(**Iovec)(unsafe.Pointer(&v)), n) {
		bufs[i] = Addr{v: uint64(iov.base)}.Bytes(int(iov.len))
	}
	return bufs
}

// MaxTransfer is as much as one transfer moves (the kernel's MAX_RW_COUNT), in bytes.
const MaxTransfer = 0x7ffff000

// Vector is the memory that r, a READV or WRITEV, is about, as far as one transfer can be.
func (r *Request) Vector() [][]byte {
	bufs, left := r.Addr.Buffers(int(r.Len)), MaxTransfer
	for i, b := range bufs {
		if len(b) > left {
			bufs[i] = b[:left]
			return bufs[:i+1]
		}
		left -= len(b)
	}
	return bufs
}

// A Pins keeps memory where it is, and alive, until Release.
type Pins struct{ p runtime.Pinner }

// Bytes pins b. Memory that is not Go's (mmap) stays where it is anyway: Pin ignores it.
func (p *Pins) Bytes(b []byte) Addr {
	if len(b) == 0 {
		return Addr{}
	}
	d := unsafe.SliceData(b)
	p.p.Pin(d)
	return Addr{v: uint64(uintptr(unsafe.Pointer(d)))}
}

// Release ends all pins. An abandoned Pins that still holds some ends the process.
func (p *Pins) Release() { p.p.Unpin() }

// An Iovec is a struct iovec.
type Iovec struct {
	_    structs.HostLayout
	base uintptr
	len  uintptr
}

// Vector pins bufs and, into v, an array that describes them; v is grown if it has to be, and returned.
func (p *Pins) Vector(v []Iovec, bufs [][]byte) ([]Iovec, Addr) {
	v = v[:0]
	for _, b := range bufs {
		v = append(v, Iovec{base: uintptr(p.Bytes(b).v), len: uintptr(len(b))})
	}
	if len(v) == 0 {
		return v, Addr{}
	}
	d := unsafe.SliceData(v)
	p.p.Pin(d)
	return v, Addr{v: uint64(uintptr(unsafe.Pointer(d)))}
}

// Sockaddr pins s; the second address is that of its length.
func (p *Pins) Sockaddr(s *Sockaddr) (addr, length Addr) {
	p.p.Pin(s)
	return Addr{v: uint64(uintptr(unsafe.Pointer(&s.buf)))}, Addr{v: uint64(uintptr(unsafe.Pointer(&s.len)))}
}

// Aligned returns n bytes of Go memory whose address is a multiple of align, a power of two.
func Aligned(n, align int) []byte {
	b := make([]byte, n+align-1)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (align - 1)
	return b[skip : skip+n : skip+n]
}

// Misaligned reports whether b's address, its length or off is no multiple of 512, the smallest logical block.
func Misaligned(b []byte, off int64) bool {
	return (int64(uintptr(unsafe.Pointer(unsafe.SliceData(b))))|int64(len(b))|off)&511 != 0
}
