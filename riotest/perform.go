package riotest

import (
	"os"
	"syscall"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// maxSize is where the simulated disk ends: files lie in memory.
const maxSize = 1 << 30

func (f *openFile) bounded() bool { return true }
func (f *openFile) release()      {}
func (f *openFile) writes() bool  { return f.flag&(os.O_WRONLY|os.O_RDWR) != 0 }
func (f *openFile) reads() bool   { return f.flag&os.O_WRONLY == 0 }

// perform does what r asks for. Under Sim.mu.
func (f *openFile) perform(r *request) (int32, bool) {
	s := f.s
	if r.Op == uring.OpPollAdd {
		return int32(r.OpFlags & (uring.PollIn | uring.PollOut)), false
	}
	if _, ok := opNames[r.Op]; !ok {
		return -int32(syscall.ENOTSOCK), false
	}
	s.count++
	errno := s.faults.fails(s.rand, s.count)
	if s.off {
		errno = syscall.EIO
	}
	off, n, res := int64(r.Off), 0, int32(0)
	switch r.Op {
	case uring.OpRead, uring.OpReadv, uring.OpWrite, uring.OpWritev:
		off, n, res = f.transfer(r, errno)
	default:
		res = f.settle(r, errno)
	}
	s.logf(r, f.name, off, n, res)
	return res, false
}

// transfer is a read or a write.
func (f *openFile) transfer(r *request, errno syscall.Errno) (off int64, n int, res int32) {
	s := f.s
	bufs := r.buffers()
	for _, b := range bufs {
		n += len(b)
	}
	write := r.Op == uring.OpWrite || r.Op == uring.OpWritev
	off = int64(r.Off)
	current := off == -1
	switch {
	case write && f.flag&os.O_APPEND != 0:
		off = int64(len(f.data))
	case current:
		off = f.pos
	}
	switch {
	case write && !f.writes() || !write && !f.reads():
		return off, n, -int32(syscall.EBADF)
	case !write && off >= int64(len(f.data)) && errno == 0: // the end, however it lies: so Linux reads it
		return off, n, 0
	case f.misaligned(bufs, off):
		return off, n, -int32(syscall.EINVAL)
	case write && off > maxSize-int64(n):
		return off, n, -int32(syscall.EFBIG)
	case errno != 0:
		if write && !s.off && n > 0 {
			f.put(bufs, off, s.rand.IntN(n))
		}
		return off, n, -int32(errno)
	}
	m := s.faults.short(s.rand, n, f.block())
	if write {
		f.put(bufs, off, m)
	} else {
		m = f.get(bufs, off, m)
	}
	if current && (m > 0 || !write) { // an empty write does nothing, with O_APPEND too
		f.pos = off + int64(m)
	}
	return off, n, int32(m)
}

// block is what the length of a transfer is a multiple of.
func (f *openFile) block() int {
	if uring.FileDirect != 0 && f.flag&uring.FileDirect != 0 {
		return sectorSize
	}
	return 1
}

func (f *openFile) misaligned(bufs [][]byte, off int64) bool {
	if f.block() == 1 {
		return false
	}
	for _, b := range bufs {
		if uring.Misaligned(b, off) {
			return true
		}
	}
	return false
}

// put writes the first n bytes of bufs.
func (f *openFile) put(bufs [][]byte, off int64, n int) {
	for _, b := range bufs {
		b = b[:min(n, len(b))]
		f.write(int(off), b)
		off, n = off+int64(len(b)), n-len(b)
	}
}

// get reads n bytes, or as many as there are.
func (f *openFile) get(bufs [][]byte, off int64, n int) (m int) {
	for _, b := range bufs {
		if off >= int64(len(f.data)) || n == 0 {
			break
		}
		c := uring.KernelCopy(b[:min(n, len(b))], f.data[off:])
		m, off, n = m+c, off+int64(c), n-c
	}
	return m
}

// settle is a sync, or fallocate.
func (f *openFile) settle(r *request, errno syscall.Errno) int32 {
	s := f.s
	sync := r.Op == uring.OpFsync
	switch {
	case errno != 0 && sync && !s.off:
		f.lose(s.rand)
		return -int32(errno)
	case errno != 0:
		return -int32(errno)
	case sync:
		f.sync()
		s.names.commit(f.inode)
		return 0
	case r.Op == uring.OpSyncFileRange:
		return 0 // it promises nothing for a power cut
	}
	return f.allocate(r.Len, int64(r.Off), int64(r.Addr.Uint64()))
}

// Modes of fallocate(2).
const (
	keepSize  = 0x01
	punchHole = 0x02
	zeroRange = 0x10
)

func (f *openFile) allocate(mode uint32, off, n int64) int32 {
	switch {
	case off < 0 || n <= 0:
		return -int32(syscall.EINVAL)
	case mode&^(keepSize|punchHole|zeroRange) != 0 || mode&(punchHole|zeroRange) == punchHole|zeroRange || mode&(punchHole|keepSize) == punchHole:
		return -int32(syscall.EOPNOTSUPP)
	case !f.writes():
		return -int32(syscall.EBADF)
	case off > maxSize-n:
		return -int32(syscall.EFBIG)
	}
	if mode&keepSize == 0 && off+n > int64(len(f.data)) {
		f.resize(int(off + n))
	}
	if end := min(off+n, int64(len(f.data))); mode&(punchHole|zeroRange) != 0 && off < end {
		f.touch(int(off), int(end-off))
		clear(f.data[off:end])
	}
	return 0
}

// tear does some of r, a write that a power cut ends.
func (f *openFile) tear(r *request) {
	if r.Op != uring.OpWrite && r.Op != uring.OpWritev || !f.writes() {
		return
	}
	n := 0
	bufs := r.buffers()
	for _, b := range bufs {
		n += len(b)
	}
	off := int64(r.Off)
	switch {
	case f.flag&os.O_APPEND != 0:
		off = int64(len(f.data))
	case off == -1:
		off = f.pos
	}
	if off <= maxSize-int64(n) && !f.misaligned(bufs, off) {
		f.put(bufs, off, f.s.rand.IntN(n+1))
	}
}
