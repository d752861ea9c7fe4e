package rio

import (
	"strconv"
	"syscall"
)

// The operations on files. f is an *os.File, a *File, anything with a descriptor. Each is one literal: what Ring and
// Chain start is the same call.

// nop is every Nop's call: there is nothing to say.
var nop = call{kind: kindNop}

// Nop does nothing, through the kernel and back (IORING_OP_NOP).
func (r *Ring) Nop(order ...Ordering) Completion[struct{}] {
	return Completion[struct{}]{r.start(&nop, order)}
}

// Nop is Ring.Nop.
func (c *Chain) Nop() Completion[struct{}] { return Completion[struct{}]{c.add(&call{kind: kindNop})} }

// ReadAt reads into p from offset off of f, as pread(2) does (IORING_OP_READ). The result may be short, and is 0 at the
// end of the file; an empty p gives 0 and no error. On pipes, sockets and terminals the offset is ignored. More than
// 0x7ffff000 bytes are a short transfer. It is not io.ReaderAt; File.ReadAt is.
//
// The kernel may write to p until the Completion resolves: don't touch it before. The ring keeps it alive and in place.
func (r *Ring) ReadAt(f syscall.Conn, p []byte, off int64, order ...Ordering) Completion[int] {
	return Completion[int]{r.start(&call{kind: kindRead, file: f, buf: p, off: off}, order)}
}

// ReadAt is Ring.ReadAt.
func (c *Chain) ReadAt(f syscall.Conn, p []byte, off int64) Completion[int] {
	return Completion[int]{c.add(&call{kind: kindRead, file: f, buf: p, off: off})}
}

// WriteAt writes p at offset off of f, as pwrite(2) does (IORING_OP_WRITE). The result may be short. On pipes, sockets and
// terminals the offset is ignored, on a file opened with O_APPEND too: Linux appends. More than 0x7ffff000 bytes are a
// short transfer. It is not io.WriterAt; File.WriteAt is.
//
// The kernel may read from p until the Completion resolves: don't change it before. The ring keeps it alive and in place.
func (r *Ring) WriteAt(f syscall.Conn, p []byte, off int64, order ...Ordering) Completion[int] {
	return Completion[int]{r.start(&call{kind: kindWrite, file: f, buf: p, off: off}, order)}
}

// WriteAt is Ring.WriteAt.
func (c *Chain) WriteAt(f syscall.Conn, p []byte, off int64) Completion[int] {
	return Completion[int]{c.add(&call{kind: kindWrite, file: f, buf: p, off: off})}
}

// ReadvAt reads into bufs, one after the other, as preadv(2) does (IORING_OP_READV); otherwise it is ReadAt. More than
// 1024 buffers are an error.
//
// The kernel may write to the buffers until the Completion resolves: don't touch them before. The ring keeps them alive
// and in place. The slice bufs itself may be used again at once.
func (r *Ring) ReadvAt(f syscall.Conn, bufs [][]byte, off int64, order ...Ordering) Completion[int] {
	return Completion[int]{r.start(&call{kind: kindReadv, file: f, bufs: bufs, off: off}, order)}
}

// ReadvAt is Ring.ReadvAt. The slice bufs itself must not change before Submit.
func (c *Chain) ReadvAt(f syscall.Conn, bufs [][]byte, off int64) Completion[int] {
	return Completion[int]{c.add(&call{kind: kindReadv, file: f, bufs: bufs, off: off})}
}

// WritevAt writes bufs, one after the other, as pwritev(2) does (IORING_OP_WRITEV); otherwise it is WriteAt. More than
// 1024 buffers are an error.
//
// The kernel may read from the buffers until the Completion resolves: don't change them before. The ring keeps them
// alive and in place. The slice bufs itself may be used again at once.
func (r *Ring) WritevAt(f syscall.Conn, bufs [][]byte, off int64, order ...Ordering) Completion[int] {
	return Completion[int]{r.start(&call{kind: kindWritev, file: f, bufs: bufs, off: off}, order)}
}

// WritevAt is Ring.WritevAt. The slice bufs itself must not change before Submit.
func (c *Chain) WritevAt(f syscall.Conn, bufs [][]byte, off int64) Completion[int] {
	return Completion[int]{c.add(&call{kind: kindWritev, file: f, bufs: bufs, off: off})}
}

// Fsync makes what was written to f durable, with its metadata, as fsync(2) does (IORING_OP_FSYNC). It says nothing about
// writes that are still in flight: wait for them first, or use a Chain. After an error what was written may be lost, and
// a later Fsync may report success all the same.
func (r *Ring) Fsync(f syscall.Conn, order ...Ordering) Completion[struct{}] {
	return Completion[struct{}]{r.start(&call{kind: kindFsync, file: f}, order)}
}

// Fsync is Ring.Fsync.
func (c *Chain) Fsync(f syscall.Conn) Completion[struct{}] {
	return Completion[struct{}]{c.add(&call{kind: kindFsync, file: f})}
}

// Fdatasync is Fsync without the metadata that reading the data back doesn't need, as fdatasync(2) does
// (IORING_FSYNC_DATASYNC).
func (r *Ring) Fdatasync(f syscall.Conn, order ...Ordering) Completion[struct{}] {
	return Completion[struct{}]{r.start(&call{kind: kindFdatasync, file: f}, order)}
}

// Fdatasync is Ring.Fdatasync.
func (c *Chain) Fdatasync(f syscall.Conn) Completion[struct{}] {
	return Completion[struct{}]{c.add(&call{kind: kindFdatasync, file: f})}
}

// SyncFileRange starts writing the dirty pages of n bytes from off on, 0 for all up to the end, and waits for that, as
// sync_file_range(2) does with WRITE and WAIT_AFTER (IORING_OP_SYNC_FILE_RANGE). It is no Fdatasync: neither metadata nor
// the disk's cache are written. A range of 4 GiB or more goes to the end of the file.
func (r *Ring) SyncFileRange(f syscall.Conn, off, n int64, order ...Ordering) Completion[struct{}] {
	return Completion[struct{}]{r.start(&call{kind: kindSyncRange, file: f, off: off, n: n}, order)}
}

// SyncFileRange is Ring.SyncFileRange.
func (c *Chain) SyncFileRange(f syscall.Conn, off, n int64) Completion[struct{}] {
	return Completion[struct{}]{c.add(&call{kind: kindSyncRange, file: f, off: off, n: n})}
}

// Fallocate allocates, or with the FALLOC_FL_* bits in mode frees or shifts, n bytes of f from off on, as fallocate(2)
// does (IORING_OP_FALLOCATE).
func (r *Ring) Fallocate(f syscall.Conn, mode uint32, off, n int64, order ...Ordering) Completion[struct{}] {
	return Completion[struct{}]{r.start(&call{kind: kindFallocate, file: f, off: off, n: n, mode: mode}, order)}
}

// Fallocate is Ring.Fallocate.
func (c *Chain) Fallocate(f syscall.Conn, mode uint32, off, n int64) Completion[struct{}] {
	return Completion[struct{}]{c.add(&call{kind: kindFallocate, file: f, off: off, n: n, mode: mode})}
}

// check finds what is wrong with c before anything is started.
func (c *call) check(ord Ordering) error {
	name := kinds[c.kind].name
	switch {
	case ord&^(Link|Drain) != 0:
		return badArg(name, "there is no Ordering "+strconv.Itoa(int(ord)))
	case c.off < 0:
		return badArg(name, "the offset is negative: "+strconv.FormatInt(c.off, 10))
	case c.n < 0:
		return badArg(name, "the length is negative: "+strconv.FormatInt(c.n, 10))
	case len(c.bufs) > maxVector:
		return badArg(name, strconv.Itoa(len(c.bufs))+" buffers are more than the kernel takes at once, "+strconv.Itoa(maxVector))
	case c.kind == kindConnect:
		return c.checkAddr()
	}
	return nil
}
