package uring

import (
	"structs"
	"time"
	"unsafe"
)

// What a loop of its own thread asks for, beyond what any Ring does.
const (
	OpTimeout          Opcode   = 11
	sqeBufferSelect    SQEFlags = 1 << 5
	acceptMultishot             = 1 << 0 // IORING_ACCEPT_MULTISHOT, in sqe.ioprio
	recvMultishot               = 1 << 1 // IORING_RECV_MULTISHOT, likewise
	cqeBuffer                   = 1 << 0 // IORING_CQE_F_BUFFER
	cqeMore                     = 1 << 1 // IORING_CQE_F_MORE
	cqeBufferShift              = 16     // IORING_CQE_BUFFER_SHIFT
	regRingFDs                  = 20     // IORING_REGISTER_RING_FDS
	unregRingFDs                = 21     // IORING_UNREGISTER_RING_FDS
	regPbufRing                 = 22     // IORING_REGISTER_PBUF_RING
	unregPbufRing               = 23     // IORING_UNREGISTER_PBUF_RING
	enterRegistered             = 1 << 4 // IORING_ENTER_REGISTERED_RING
	maxProvidedBuffers          = 1 << 15
)

// More reports whether the request goes on, and will have further CQEs (IORING_CQE_F_MORE).
func (c *CQE) More() bool { return c.Flags&cqeMore != 0 }

// Buffer is the provided buffer that the kernel has taken for this CQE, if it has.
func (c *CQE) Buffer() (id uint16, ok bool) {
	return uint16(c.Flags >> cqeBufferShift), c.Flags&cqeBuffer != 0
}

// Plus is the address n bytes further on in what was pinned.
func (a Addr) Plus(n int) Addr { return Addr{v: a.v + uint64(n)} }

// FillAccept makes s a request that accepts a connection of the listener fd, or, with multi, one after the other until a
// CQE says otherwise (IORING_ACCEPT_MULTISHOT).
func (s *SQE) FillAccept(fd int32, flags OpFlags, multi bool, userData uint64) {
	s.Fill(OpAccept, 0, fd, 0, Addr{}, 0, flags, userData)
	if multi {
		s.ioprio = acceptMultishot
	}
}

// FillRecvMulti makes s a request that receives, again and again, into buffers of the group that the kernel takes itself
// (IORING_RECV_MULTISHOT, IOSQE_BUFFER_SELECT).
func (s *SQE) FillRecvMulti(fd int32, group uint16, userData uint64) {
	s.Fill(OpRecv, sqeBufferSelect, fd, 0, Addr{}, 0, 0, userData)
	s.ioprio = recvMultishot
	s.bufIndex = group
}

// A Timespec is a struct __kernel_timespec that can be pinned.
type Timespec struct {
	_  structs.HostLayout
	ts timespec
}

// Set makes t so many nanoseconds.
func (t *Timespec) Set(ns int64) { t.ts = timespec{sec: ns / 1e9, nsec: ns % 1e9} }

// Timespec pins t.
func (p *Pins) Timespec(t *Timespec) Addr {
	p.p.Pin(t)
	return Addr{v: uint64(uintptr(unsafe.Pointer(&t.ts)))}
}

// Timeout is how long a request that FillTimeout has made waits, to a Kernel in this process.
func (a Addr) Timeout() time.Duration {
	v := uintptr(a.v)
	ts := *(**timespec)(unsafe.Pointer(&v))
	return time.Duration(ts.sec)*time.Second + time.Duration(ts.nsec)
}

// FillTimeout makes s a request that ends with ETIME after t, which lies at addr (IORING_OP_TIMEOUT).
func (s *SQE) FillTimeout(addr Addr, userData uint64) {
	s.Fill(OpTimeout, 0, -1, 0, addr, 1, 0, userData)
}

// pbufEntry is a struct io_uring_buf. In the first one of a ring the last field is the ring's tail.
type pbufEntry struct {
	_    structs.HostLayout
	addr uint64
	len  uint32
	bid  uint16
	tail uint16
}

// pbufReg is a struct io_uring_buf_reg.
type pbufReg struct {
	_       structs.HostLayout
	addr    uint64
	entries uint32
	group   uint16
	flags   uint16
	resv    [3]uint64
}

// rsrcUpdate is a struct io_uring_rsrc_update.
type rsrcUpdate struct {
	_      structs.HostLayout
	offset uint32
	resv   uint32
	data   uint64
}
