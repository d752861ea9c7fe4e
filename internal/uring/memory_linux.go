package uring

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// setMemory puts b, which is pinned, into a place of the table. The first one makes the table.
func (r *Ring) setMemory(place uint16, b []byte) error {
	if !r.hasTable {
		table := rsrcRegister{nr: MemoryPlaces, flags: rsrcRegisterSparse}
		if errno := r.register(regBuffers2, unsafe.Pointer(&table), uint32(unsafe.Sizeof(table))); errno != 0 {
			return os.NewSyscallError("io_uring_register", errno)
		}
		r.hasTable = true
	}
	var pins Pins
	defer pins.Release()
	_, iov := pins.Vector(nil, [][]byte{b})
	u := rsrcUpdate2{offset: uint32(place), data: iov.v, nr: 1}
	n, errno := register(r.fd, regBuffersUpdate, unsafe.Pointer(&u), uint32(unsafe.Sizeof(u)))
	switch {
	case errno != 0:
		return os.NewSyscallError("io_uring_register", errno)
	case n != 1:
		return os.NewSyscallError("io_uring_register", unix.EAGAIN)
	}
	return nil
}

// collapse has the kernel make huge pages of b (MADV_COLLAPSE, Linux 6.1), or not. Of memory that nobody has touched it says
// EINVAL.
func collapse(b []byte) {
	for i := 0; i < len(b); i += hugePage {
		b[i] = 0
	}
	unix.Madvise(b, unix.MADV_COLLAPSE)
}
