package rio

import (
	"strconv"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// From the call that starts an operation until its CQE has been read, the kernel owns the buffer: the op has it pinned
// (the Ring has what lies in Buffers, until Close), and the table holds the op. Nothing else does: whether anybody waits, or
// still knows the Completion, does not matter.

// Aligned returns n bytes of memory whose address is a multiple of align, a power of two; 0 means 4096. It is for files
// opened with O_DIRECT, whose buffers, offsets and lengths have to be aligned (File.Alignment says to what). It is Go
// memory, so that the race detector sees it. Like make it panics if n is negative; also if align is no power of two.
func Aligned(n, align int) []byte {
	if align == 0 {
		align = 4096
	}
	if n < 0 {
		panic("rio: Aligned: negative size " + strconv.Itoa(n))
	}
	if align < 0 || align&(align-1) != 0 {
		panic("rio: Aligned: " + strconv.Itoa(align) + " is not a power of two")
	}
	return uring.Aligned(n, align)
}

// alignmentError says what the kernel's EINVAL for an O_DIRECT transfer most likely means.
type alignmentError struct{ error }

func (e alignmentError) Error() string {
	return e.error.Error() + " (O_DIRECT: check the alignment of the buffer, the offset and the length; see File.Alignment)"
}

func (e alignmentError) Unwrap() error { return e.error }

// misaligned reports, while o has its handle or somebody else's file, whether it is a transfer on an O_DIRECT file that is not
// aligned to 4096; of a vectored one it doesn't look.
func (o *op) misaligned() bool {
	switch o.kind {
	case kindRead, kindWrite:
		if (o.addr.Uint64()|o.off|uint64(o.n))&4095 == 0 {
			return false
		}
	case kindReadv, kindWritev:
	default:
		return false
	}
	if o.h != nil {
		return o.h.direct
	}
	direct := false
	if o.x != nil && o.x.file != nil {
		if rc, err := o.x.file.SyscallConn(); err == nil {
			uring.Control(rc, func(fd uintptr) { direct = uring.FileFlags(int(fd))&uring.FileDirect != 0 })
		}
	}
	return direct
}
