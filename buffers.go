package rio

import (
	"strconv"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// From the call that starts an operation until its CQE has been read, the kernel owns the buffer: the op has it pinned,
// and the table holds the op. Nothing else does: whether anybody waits, or still knows the Completion, does not matter.

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

// misaligned reports whether o is a transfer on an O_DIRECT file that is not aligned to 4096.
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
			rc.Control(func(fd uintptr) { direct = uring.FileFlags(int(fd))&uring.FileDirect != 0 })
		}
	}
	return direct
}

// raceEdge is the address of the edge from a witness to whoever takes the result.
func (o *op) acquire() {
	if uring.Race {
		uring.RaceAcquire(&o.edge)
	}
}

// startWitness begins a goroutine that tells the race detector what the kernel does with c's buffer. It is born when
// the operation starts, and all it learns since is that the CQE is there: so whatever the program does to the buffer
// meanwhile is concurrent with it, and reported. Each operation has one of its own; one that is used again has seen
// later starts, and would keep quiet.
func (o *op) startWitness(c *call) {
	k := &kinds[c.kind]
	if !k.counts && c.kind != kindAccept {
		return
	}
	bufs := c.bufs
	if bufs == nil {
		bufs = [][]byte{c.buf}
	}
	seen := make(chan int32, 1)
	o.seen = seen
	stores, listens := k.stores, k.stores || c.kind == kindAccept
	go func() {
		var res int32
		uring.RaceBlind(func() { res = <-seen })
		for _, b := range bufs {
			uring.RaceAccess(b, stores)
		}
		if listens && res >= 0 {
			uring.RaceJoin()
		}
		uring.RaceRelease(&o.edge)
		o.resolve(res)
	}()
}

// raceStart makes the edge that package syscall makes of each Write: what a goroutine did before it sent is seen by
// whoever has received.
func raceStart(k kind) {
	switch k {
	case kindSend, kindWrite, kindWritev:
		uring.RacePublish()
	}
}
