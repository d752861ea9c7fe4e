package uring

import (
	"fmt"
	"structs"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// restriction is a struct io_uring_restriction.
type restriction struct {
	_    structs.HostLayout
	kind uint16 // IORING_RESTRICTION_*
	what uint8  // an opcode, or SQE flags
	resv [13]uint8
}

var _ [16]byte = [unsafe.Sizeof(restriction{})]byte{}

// IORING_RESTRICTION_*.
const (
	restrictRegister = 0 // IORING_RESTRICTION_REGISTER_OP: this one is allowed
	restrictOp       = 1 // IORING_RESTRICTION_SQE_OP: likewise
	restrictFlags    = 2 // IORING_RESTRICTION_SQE_FLAGS_ALLOWED: these, and no others
)

// What is registered after a ring was enabled.
var (
	ringRegisters = []uint8{regFilesUpdate, regBuffers2, regBuffersUpdate, regPbufRing, unregPbufRing}
	loopRegisters = []uint8{regRingFDs, unregRingFDs, regPbufRing, unregPbufRing}
)

// restrictions are the ones of a Ring, or of a Loop.
func restrictions(loop bool, registers []uint8) []restriction {
	flags := ringSQEFlags
	if loop {
		flags = loopSQEFlags
	}
	rs := []restriction{{kind: restrictFlags, what: uint8(flags)}}
	for _, o := range Operations {
		if loop && o.Loop || !loop && o.Ring {
			rs = append(rs, restriction{kind: restrictOp, what: uint8(o.Op)})
		}
	}
	for _, n := range registers {
		rs = append(rs, restriction{kind: restrictRegister, what: n})
	}
	return rs
}

// restrict takes from the ring, which was set up with IORING_SETUP_R_DISABLED, everything that this library does not use
// (IORING_REGISTER_RESTRICTIONS), for good, and then enables it. Without that flag there is nothing to be done: the kernel
// is older than 5.10, or the caller wants it so.
//
// A kernel that doesn't know the number of a later registration refuses the whole list (EINVAL), and gets one without them.
func (r *Ring) restrict(loop bool) error {
	if r.Flags&SetupRDisabled == 0 {
		return nil
	}
	lists := [][]uint8{ringRegisters, ringRegisters[:1]}
	if loop {
		lists = [][]uint8{loopRegisters, nil}
	}
	errno := syscall.Errno(unix.EINVAL)
	for _, registers := range lists {
		rs := restrictions(loop, registers)
		if errno = r.register(regRestrictions, unsafe.Pointer(&rs[0]), uint32(len(rs))); errno != unix.EINVAL {
			break
		}
	}
	if errno != 0 && errno != unix.EINVAL {
		return fmt.Errorf("rio: io_uring_register(RESTRICTIONS): %w%s", errno, hint(errno))
	}
	r.Restricted = errno == 0
	if errno = r.register(regEnableRings, nil, 0); errno != 0 {
		return fmt.Errorf("rio: io_uring_register(ENABLE_RINGS): %w%s", errno, hint(errno))
	}
	r.Flags &^= SetupRDisabled
	return nil
}
