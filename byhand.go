package rio

import (
	"io/fs"
	"math"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// What io_uring would only hand to a worker of the kernel's is cheaper as a system call of the caller's own: two threads less
// have to be woken. That is a read from a file system that can't say beforehand whether it would wait (overlayfs), a write to the
// page cache of such a one (ext4), a sync, and a write that is one too (O_DSYNC), with O_DIRECT as well. A File's methods wait
// anyway, and so make these calls themselves, as long as nothing is in flight: what a thread has submitted may complete only on
// that thread, and not while it waits for a device in another system call.
//
// Not more than hands, because each that waits for a device has a thread; of those with O_DIRECT, which need a worker only in the
// end, none where there are as many as Ps. With one P nothing that waits for a device: a system call keeps the P until
// the runtime's monitor comes by. Under the race detector everything goes through the ring, as with what is done at once
// (instant.go), and with a Profile and in the profile rio.inflight, which want to see it.

// hands is how many are done by hand at once, at most.
const hands = 64

// byHand counts what is done so.
type byHand struct {
	now  atomic.Int32
	done atomic.Uint64
	idle chan struct{} // gets a token when none is left, for Close
}

// begin reports whether there are less than so many, and one more may be, until leave.
func (b *byHand) begin(r *Ring, most int32) bool {
	if b.now.Add(1) <= most && !r.closing.Load() { // in this order: Close looks at now after it has set closing
		return true
	}
	b.leave(r)
	return false
}

func (b *byHand) leave(r *Ring) {
	if b.now.Add(-1) == 0 && r.closing.Load() {
		select {
		case b.idle <- struct{}{}:
		default:
		}
	}
}

// settle returns when none is left, after closing was set.
func (b *byHand) settle() {
	for b.now.Load() > 0 {
		<-b.idle
	}
}

// punted reports whether the kernel would hand c to a worker: then most says how many may be done by hand.
func (f *File) punted(c *call) (most int32) {
	procs := f.r.procs.Load()
	switch write := c.kind == kindWrite; {
	case c.kind == kindRead && (len(c.buf) == 0 || f.cold.Load() != blind), write && (len(c.buf) == 0 || f.direct && !f.durable),
		!write && c.kind != kindRead && c.kind != kindFsync && c.kind != kindFdatasync:
		return 0
	case write && !f.durable:
		return hands
	case procs == 1: // the rest waits for a device
		return 0
	case write && f.direct:
		return procs
	}
	return hands
}

// byHand makes the system call that c stands for, if that is cheaper.
func (f *File) byHand(c *call) (n int, done bool, err error) {
	r := f.r
	most := f.punted(c)
	if most == 0 || !f.bounded || f.remote || !r.linux || uring.Race || r.profile != nil || inflight.on.Load() {
		return 0, false, nil
	}
	if oneIn(glance, uint32(r.hands.done.Load())) {
		r.takeBreak()
	}
	if !r.hands.begin(r, most) {
		return 0, false, nil
	}
	defer r.hands.leave(r)
	if r.k.Flags&uring.SetupIOPoll != 0 || r.busy() || !f.get() { // begin says what is wrong
		return 0, false, nil
	}
	defer f.put()
	var errno syscall.Errno
	off := int64(c.offset())
	switch c.kind {
	case kindRead:
		n, errno = uring.Read(f.fd, c.buf, off)
	case kindWrite:
		if n, errno = uring.WriteOut(f.fd, c.buf, off); errno == syscall.EINVAL {
			return 0, false, nil // the ring knows why, if O_DIRECT is
		}
	default:
		if errno = uring.Sync(f.fd, c.kind == kindFdatasync); errno != 0 {
			f.noteSync(errno)
		}
	}
	r.hands.done.Add(1)
	if errno != 0 {
		return 0, true, errno
	}
	return n, true, nil
}

// readRemote reads without the ring. After a short read of a FUSE file that bypasses the page cache io_uring reads on from the
// same offset (seen on Linux 6.18): at the end of the file it would give the beginning of the data once more.
func (f *File) readRemote(c *call) (n int, err error) {
	r := f.r
	if err = r.usable("read"); err == nil && !r.reads.begin(r, math.MaxInt32) {
		err = ErrClosed
	}
	if err == nil {
		defer r.reads.leave(r)
		if !f.get() {
			err = errFileClosed
		}
	}
	if err == nil {
		defer f.put()
		if inflight.on.Load() {
			key := new(byte)
			inflight.Add(key, 2)
			defer inflight.Remove(key)
		}
		began := time.Since(r.born)
		n, errno := uring.Read(f.fd, c.buf[:min(len(c.buf), maxTransfer)], int64(c.offset()))
		r.hands.done.Add(1)
		if r.profile != nil {
			r.profile.add(kindRead, time.Since(r.born)-began)
		}
		if errno == 0 {
			return n, nil
		}
		err = errno
	}
	return 0, &fs.PathError{Op: "read", Path: f.Name(), Err: err}
}

// busy reports whether anything is in flight, with or without a Completion.
func (r *Ring) busy() bool {
	for l := range r.lanes() {
		if l.busy() {
			return true
		}
	}
	return false
}
