package uring

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	offRings = 0          // IORING_OFF_SQ_RING; with IORING_FEAT_SINGLE_MMAP the CQ is in there too
	offSQEs  = 0x10000000 // IORING_OFF_SQES
)

// mapQueues maps what p describes and points the queues into it.
func (r *Ring) mapQueues(p *params) (err error) {
	size := p.cqOff.cqes + p.cqEntries*uint32(unsafe.Sizeof(CQE{}))
	if p.flags&SetupNoSQArray == 0 {
		size = max(size, p.sqOff.array+p.sqEntries*4)
	}
	prot, flags := unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE
	if r.rings, err = unix.Mmap(r.fd, offRings, int(size), prot, flags); err != nil {
		return mmapError(err)
	}
	if r.sqes, err = unix.Mmap(r.fd, offSQEs, int(p.sqEntries)*int(unsafe.Sizeof(SQE{})), prot, flags); err != nil {
		return mmapError(err)
	}
	sq, cq := &p.sqOff, &p.cqOff
	r.all = uintptr(p.sqEntries)
	r.SQ = SQ{
		head: word(r.rings, sq.head), tail: word(r.rings, sq.tail), flags: word(r.rings, sq.flags),
		mask: *word(r.rings, sq.mask),
		sqes: unsafe.Slice((*SQE)(unsafe.Pointer(&r.sqes[0])), p.sqEntries),
	}
	r.CQ = CQ{
		head: word(r.rings, cq.head), tail: word(r.rings, cq.tail), flags: word(r.rings, cq.flags),
		mask: *word(r.rings, cq.mask), overflow: word(r.rings, cq.overflow),
		cqes: unsafe.Slice((*CQE)(unsafe.Pointer(&r.rings[cq.cqes])), p.cqEntries),
	}
	if p.flags&SetupNoSQArray == 0 {
		// SQE i always lies in place i, so the indirection is filled in once.
		array := unsafe.Slice(word(r.rings, sq.array), p.sqEntries)
		for i := range array {
			array[i] = uint32(i)
		}
	}
	return nil
}

// mmapError names mmap(2), whose ENOMEM has nothing to do with locked memory.
func mmapError(err error) error {
	why := ""
	if err == unix.ENOMEM {
		why = " (the limit on address space: ulimit -v, RLIMIT_AS; or on mappings: sysctl vm.max_map_count)"
	}
	return fmt.Errorf("rio: a ring's memory: %w%s", os.NewSyscallError("mmap", err), why)
}

func (r *Ring) unmap() {
	if r.sqes != nil {
		unix.Munmap(r.sqes)
	}
	if r.rings != nil {
		unix.Munmap(r.rings)
	}
	r.sqes, r.rings = nil, nil
}

func word(b []byte, off uint32) *uint32 { return (*uint32)(unsafe.Pointer(&b[off])) }
