package threads

import (
	"fmt"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed-9c58b644/rio/internal/uring"
	"github.com/seed-9c58b644/rio/internal/uring/calls"
)

// On Linux a descriptor is one of the process's. What waits for one waits in an epoll(7) instance, which itself is on Go's
// poller: that takes no goroutine for each, and no O_NONBLOCK.

// kernelOS is Linux's part of a kernel.
type kernelOS struct {
	epoll *os.File // nil: there is none yet
	fd    int      // its
	gone  chan error

	crowded []*request // of which the instance takes no more
}

// requestOS is Linux's part of a request.
type requestOS struct {
	d     calls.Descriptor
	armed int  // the descriptor in the epoll instance: d's, or a duplicate
	file  file // if it is crowded
}

// descriptors are the targets that have a descriptor, which the request remembers.
type descriptors struct{}

// A lentDescriptor is one in the table.
type lentDescriptor struct {
	descriptors
	d calls.Descriptor
}

// descriptor is r's target, a descriptor of the Ring's own: it stays open until r's CQE.
func (r *request) descriptor() target {
	r.d = calls.DescribeFor(int(r.FD), r.Op)
	return descriptors{}
}

func (l *lentDescriptor) begin(r *request) {
	r.d = l.d
	l.descriptors.begin(r)
}

func (descriptors) begin(r *request) {
	k := r.k
	switch {
	case r.d.Bounded:
		k.pool.do(r)
	case !r.d.MayBlock(&r.Request):
		if res, blocked := r.d.Perform(&r.Request, &r.progress); !blocked {
			k.complete(r, res)
			return
		}
		k.arm(r)
	case r.d.Ready(&r.Request):
		k.pool.do(r)
	default:
		k.arm(r)
	}
}

func (descriptors) perform(r *request) (int32, bool) { return r.d.Perform(&r.Request, &r.progress) }

// arm has r wait for its descriptor.
func (k *kernel) arm(r *request) {
	err := k.openPoller()
	if err == nil {
		err = k.os.add(r)
	}
	switch err {
	case nil:
		k.wait(r, (*request).disarm)
	case unix.EINVAL: // five hundred wait for the same pipe or socket, which is as many as an epoll instance that lies in another takes
		k.crowd(r)
	case unix.EPERM: // there is nothing to wait for
		r.d.Bounded = true
		k.pool.do(r)
	default:
		errno, ok := err.(syscall.Errno)
		if !ok {
			errno = unix.EIO
		}
		k.complete(r, -int32(errno))
	}
}

// crowd has r wait until one that waits for the same file no longer does.
func (k *kernel) crowd(r *request) {
	r.file = fileOf(r.d.FD)
	k.os.crowded = append(k.os.crowded, r)
	k.wait(r, func(r *request) bool {
		i := slices.Index(k.os.crowded, r)
		k.os.crowded = slices.Delete(k.os.crowded, i, i+1)
		return true
	})
}

// uncrowd arms one of those, if there is any, for fd's file. Under mu.
func (k *kernel) uncrowd(fd int) {
	if len(k.os.crowded) == 0 {
		return
	}
	file := fileOf(fd)
	if i := slices.IndexFunc(k.os.crowded, func(r *request) bool { return r.file == file }); i >= 0 {
		r := k.os.crowded[i]
		k.stop(r)
		k.arm(r)
	}
}

// fileOf tells one pipe or socket from another.
func fileOf(fd int) (f file) {
	var st unix.Stat_t
	unix.Fstat(fd, &st)
	return file{uint64(st.Dev), st.Ino}
}

type file struct{ dev, ino uint64 }

// add puts r's descriptor into the epoll instance. Of one that is there already, a duplicate.
func (o *kernelOS) add(r *request) error {
	ev := unix.EpollEvent{Events: uint32(calls.Events(&r.Request)), Fd: int32(r.data), Pad: int32(r.data >> 32)}
	r.armed = r.d.FD
	err := unix.EpollCtl(o.fd, unix.EPOLL_CTL_ADD, r.armed, &ev)
	if err != unix.EEXIST {
		return err
	}
	if r.armed, err = unix.FcntlInt(uintptr(r.d.FD), unix.F_DUPFD_CLOEXEC, 0); err != nil {
		return err
	}
	if err = unix.EpollCtl(o.fd, unix.EPOLL_CTL_ADD, r.armed, &ev); err != nil {
		unix.Close(r.armed)
	}
	return err
}

// disarm takes it out.
func (r *request) disarm() bool {
	unix.EpollCtl(r.k.os.fd, unix.EPOLL_CTL_DEL, r.armed, nil)
	if r.armed != r.d.FD {
		unix.Close(r.armed)
	}
	r.k.uncrowd(r.d.FD)
	return true
}

// init makes the epoll instance; if that fails, the first one that waits tries again, and hears of it.
func (k *kernel) init() { k.openPoller() }

// openPoller makes the epoll instance, and starts its goroutine.
func (k *kernel) openPoller() error {
	if k.os.epoll != nil {
		return nil
	}
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	unix.SetNonblock(fd, true) // or Go wouldn't poll it
	k.os.fd, k.os.epoll = fd, os.NewFile(uintptr(fd), "epoll")
	raw, err := k.os.epoll.SyscallConn()
	if err != nil {
		return err
	}
	k.os.gone = k.outside.newChan()
	k.outside.run(func() {
		events := make([]unix.EpollEvent, 128)
		k.os.gone <- raw.Read(func(uintptr) bool {
			for k.poll(events) {
			}
			return false
		})
	})
	return nil
}

// poll sees to what waits no longer. It reports whether there was anything.
func (k *kernel) poll(events []unix.EpollEvent) bool {
	n, err := unix.EpollWait(k.os.fd, events, 0)
	if err == unix.EINTR {
		return true
	}
	if n <= 0 {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, ev := range events[:n] {
		if r := k.waiting[uint64(uint32(ev.Fd))|uint64(uint32(ev.Pad))<<32]; r != nil && r.Op != uring.OpTimeout {
			k.awake(r)
		}
	}
	return true
}

// awake tries r, which has waited.
func (k *kernel) awake(r *request) {
	if r.d.MayBlock(&r.Request) {
		k.stop(r)
		k.pool.do(r)
		return
	}
	if res, blocked := r.d.Perform(&r.Request, &r.progress); !blocked {
		k.stop(r)
		k.complete(r, res)
	}
}

func (k *kernel) closeOS() {
	if k.os.epoll != nil {
		k.os.epoll.Close()
		<-k.os.gone
	}
}

// hold keeps f open. Closing a pipe or a socket would wait for who is in its Control, so of these there is a duplicate.
// Closing one of a regular file would drop the process's fcntl locks, so a goroutine stays in there for it.
func (k *kernel) hold(f syscall.Conn) (lent, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return lent{}, err
	}
	l := &lentDescriptor{}
	var dupErr error
	err = uring.Control(raw, func(fd uintptr) {
		if l.d = calls.Describe(int(fd)); !l.d.Bounded {
			l.d.FD, dupErr = uring.Dup(int(fd))
		}
	})
	if err == nil {
		err = dupErr
	}
	if err != nil {
		return lent{}, err
	}
	if !l.d.Bounded {
		return lent{l, func() { unix.Close(l.d.FD) }}, nil
	}
	began, end, gone := k.outside.newChan(), k.outside.newChan(), k.outside.newChan()
	k.outside.run(func() {
		held, err := false, uring.ErrUncalled // unless Control panics, or ends this goroutine
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("RawConn.Control panicked: %v", p)
			}
			if !held {
				began <- err // it was closed meanwhile
			}
			gone <- nil
		}()
		err = uring.Control(raw, func(fd uintptr) {
			l.d.FD, held = int(fd), true
			began <- nil
			<-end
		})
	})
	if err := <-began; err != nil {
		return lent{}, err
	}
	return lent{l, func() {
		end <- nil
		<-gone
	}}, nil
}
