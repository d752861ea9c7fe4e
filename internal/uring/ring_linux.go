package uring

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// openOS sets a ring up (io_uring_setup(2)), maps it, registers an eventfd and a table for files, takes from it what is not
// needed, and sends one NOP through it: a seccomp filter may allow setup and forbid the rest.
func openOS(c Config) (*Ring, error) {
	p := params{flags: c.Flags, cqEntries: c.CQEntries, sqThreadCPU: uint32(c.PollCPU), sqThreadIdle: uint32(c.PollIdle.Milliseconds())}
	if c.CQEntries != 0 {
		p.flags |= SetupCQSize
	}
	r := &Ring{fd: -1}
	if err := r.setup(&c, &p); err != nil {
		if err == unix.EINVAL && plainFeatures() != "" {
			return nil, lacking(plainFeatures()) // 5.1 to 5.4 know no IORING_SETUP_CQSIZE either
		}
		return nil, setupError(err, c.Flags)
	}
	if err := r.init(&c, &p); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// setups are what a ring is asked to be, from the newest kernels to the oldest.
var setups = []uint32{
	SetupRDisabled | SetupSubmitAll | SetupNoSQArray | SetupCoopTaskrun | SetupTaskrunFlag,
	SetupRDisabled | SetupSubmitAll | SetupNoSQArray,
	SetupRDisabled | SetupSubmitAll | SetupCoopTaskrun | SetupTaskrunFlag,
	SetupRDisabled | SetupSubmitAll,
	SetupRDisabled,
	0,
}

// setup asks for what newer kernels have and older ones refuse, and does without where it must.
func (r *Ring) setup(c *Config, p *params) error {
	asked := *p
	for _, extra := range setups {
		if extra&SetupCoopTaskrun != 0 && !c.Coop {
			continue
		}
		*p = asked
		p.flags |= extra
		if c.Free {
			p.flags &^= SetupRDisabled
		}
		fd, waited, errno := setUp(c.Entries, p)
		r.Waited += waited
		if errno == 0 {
			r.fd, r.Flags = fd, p.flags
			return nil
		}
		if errno != unix.EINVAL || extra == 0 {
			return errno
		}
	}
	return unix.EINVAL
}

// setUp is io_uring_setup(2). 6.16 to 7.1 charge the ring's memory to the user and give it back late, so ENOMEM may pass.
func setUp(entries uint32, p *params) (fd int, waited time.Duration, errno syscall.Errno) {
	asked := *p
	for wait := time.Millisecond; ; wait *= 2 {
		*p = asked
		fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(entries), uintptr(unsafe.Pointer(p)), 0)
		if errno != unix.ENOMEM || wait >= 100*time.Millisecond {
			return int(fd), waited, errno
		}
		time.Sleep(wait)
		waited += wait
	}
}

func (r *Ring) init(c *Config, p *params) error {
	if miss := missing(p.features); miss != "" {
		return lacking(miss)
	}
	if err := r.mapQueues(p); err != nil {
		return err
	}
	r.wait, r.longWait = r.span(c.Wait), r.span(c.LongWait)
	if err := r.registerEvent(c.Event); err != nil {
		return err
	}
	if err := r.registerFiles(c.Files); err != nil {
		return err
	}
	if err := r.restrict(false); err != nil {
		return err
	}
	return r.probe()
}

// span is d, and how the kernel is told of it.
func (r *Ring) span(d time.Duration) span {
	ts := &timespec{nsec: int64(d)}
	r.pins.p.Pin(ts)
	arg := &geteventsArg{ts: uint64(uintptr(unsafe.Pointer(ts)))}
	r.pins.p.Pin(arg)
	return span{d, arg}
}

// registerEvent has the kernel write to shared, or to an eventfd of the ring's own, when there are completions. The
// notification is off for now.
func (r *Ring) registerEvent(shared io.ReadCloser) error {
	event, ok := shared.(*os.File)
	r.shares = ok
	if !ok {
		fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
		if err != nil {
			return eventfdError(err)
		}
		event = os.NewFile(uintptr(fd), "eventfd")
	}
	r.Event = event
	r.CQ.Notify(false)
	raw, err := event.SyscallConn()
	if err != nil {
		return err
	}
	var errno syscall.Errno
	err = raw.Control(func(fd uintptr) {
		ev := int32(fd)
		errno = r.register(regEventfd, unsafe.Pointer(&ev), 1)
	})
	if err == nil && errno != 0 {
		err = fmt.Errorf("rio: io_uring_register(EVENTFD): %w%s", errno, hint(errno))
	}
	return err
}

// probe sends one NOP. IOPOLL rings of some kernels refuse it, which is an answer too.
func (r *Ring) probe() error {
	r.SQ.Claim().Fill(OpNop, 0, -1, 0, Addr{}, 0, 0, 0)
	r.SQ.Publish()
	tail := r.SQ.Tail()
	for range 1000 {
		var errno syscall.Errno
		if !r.SQ.Passed(tail) {
			_, errno = r.Submit()
		}
		if errno == 0 {
			_, errno = r.Wait(false)
		}
		switch errno {
		case 0, unix.EINTR, unix.ETIME, unix.EAGAIN, unix.EBUSY:
		default: // a polling thread may have answered all the same
			return fmt.Errorf("rio: io_uring_enter: %w%s", errno, hint(errno))
		}
		if r.CQ.Ready() > 0 {
			r.CQ.Next()
			r.CQ.Done()
			return nil
		}
	}
	return errors.New("rio: io_uring_enter: a NOP did not come back")
}

// registerFiles makes a table of empty places. Its size may not exceed RLIMIT_NOFILE (EMFILE).
func (r *Ring) registerFiles(n int) error {
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &lim) == nil {
		n = int(min(uint64(n), lim.Cur))
	}
	if n == 0 {
		return nil
	}
	fds := make([]int32, n)
	for i := range fds {
		fds[i] = -1
	}
	if errno := r.register(regFiles, unsafe.Pointer(&fds[0]), uint32(n)); errno != 0 {
		return fmt.Errorf("rio: io_uring_register(FILES): %w%s", errno, hint(errno))
	}
	r.Files = n
	return nil
}

func (r *Ring) setFile(place uint32, fd int) error {
	v := int32(fd)
	var pins Pins
	pins.p.Pin(&v)
	defer pins.Release()
	u := filesUpdate{offset: place, fds: uint64(uintptr(unsafe.Pointer(&v)))}
	for {
		errno := r.register(regFilesUpdate, unsafe.Pointer(&u), 1)
		if errno == unix.EINTR || errno == unix.EAGAIN {
			continue
		}
		if errno != 0 {
			return os.NewSyscallError("io_uring_register", errno)
		}
		return nil
	}
}

func (r *Ring) register(op uint32, arg unsafe.Pointer, n uint32) syscall.Errno {
	_, errno := register(r.fd, op, arg, n)
	return errno
}

// register is io_uring_register(2). Kernels before 6.0 wait for the ring to come to rest, and a signal, Go's own for
// preemption above all, ends that.
func register(fd int, op uint32, arg unsafe.Pointer, count uint32) (int, syscall.Errno) {
	for {
		n, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(fd), uintptr(op), uintptr(arg), uintptr(count), 0, 0)
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}

// Submit hands what is published to the kernel. It always offers a whole queue: an exact count could end in the middle
// of a chain, which the kernel would then take for its end.
func (r *Ring) Submit() (int, syscall.Errno) {
	if r.kernel != nil {
		return r.kernel.Enter(r.SQ.mask+1, 0, 0, 0)
	}
	var flags uintptr
	if r.Flags&SetupSQPoll != 0 {
		if !r.SQ.NeedWakeup() {
			return 0, 0
		}
		flags = enterSQWakeup
	}
	n, _, errno := syscall.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(r.SQ.mask+1), 0, flags, 0, 0)
	return int(n), errno
}

// Enter is Submit where Plain: so short that it becomes part of its caller. After a system call the processor has forgotten where
// to return to, and each return is slow.
func (r *Ring) Enter() syscall.Errno {
	_, _, errno := syscall.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), r.all, 0, 0, 0, 0)
	return errno
}

// EnterBriefly is Enter that offers no more than n, and that the runtime isn't told of: it holds its P.
func (r *Ring) EnterBriefly(n uint32) syscall.Errno {
	_, _, errno := syscall.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(n), 0, 0, 0, 0)
	return errno
}

func (r *Ring) waitOne(most *span) (int, syscall.Errno) {
	flags := uintptr(EnterGetEvents | enterExtArg)
	if r.Flags&SetupSQPoll != 0 && r.SQ.NeedWakeup() {
		flags |= enterSQWakeup
	}
	n, _, errno := syscall.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), 0, 1, flags,
		uintptr(unsafe.Pointer(most.arg)), unsafe.Sizeof(geteventsArg{}))
	return int(n), errno
}

func (r *Ring) events() syscall.Errno {
	_, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), 0, 0, EnterGetEvents, 0, 0)
	return errno
}

func (r *Ring) waitRoom() syscall.Errno {
	_, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), 0, 0, enterSQWait|enterSQWakeup, 0, 0)
	return errno
}

func (r *Ring) close() error {
	r.unmap()
	r.pins.Release()
	for _, p := range r.memory {
		p.Release()
	}
	if r.Event != nil && !r.shares {
		r.Event.Close()
	}
	if r.fd < 0 {
		return nil
	}
	err := unix.Close(r.fd)
	r.fd = -1
	return os.NewSyscallError("close", err)
}

func missing(features uint32) string {
	for _, f := range []struct {
		bit  uint32
		name string
	}{
		{featSingleMmap, "IORING_FEAT_SINGLE_MMAP"}, {featNoDrop, "IORING_FEAT_NODROP"},
		{featSubmitStable, "IORING_FEAT_SUBMIT_STABLE"}, {featExtArg, "IORING_FEAT_EXT_ARG"},
	} {
		if features&f.bit == 0 {
			return f.name
		}
	}
	return ""
}

func lacking(feature string) error {
	return fmt.Errorf("rio: this kernel's io_uring lacks %s (Linux 5.11 has it): %w", feature, ErrLacks)
}

// plainFeatures is missing for a ring that nothing is asked of; "" if there is none.
func plainFeatures() string {
	var p params
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return ""
	}
	unix.Close(int(fd))
	return missing(p.features)
}

func setupError(err error, flags uint32) error {
	if err == unix.EPERM && flags&SetupSQPoll != 0 {
		return fmt.Errorf("rio: io_uring_setup: %w%s; before Linux 5.13 SQPoll also needs CAP_SYS_NICE", err, hint(unix.EPERM))
	}
	if errno, ok := err.(syscall.Errno); ok {
		return fmt.Errorf("rio: io_uring_setup: %w%s", err, hint(errno))
	}
	return fmt.Errorf("rio: io_uring_setup: %w", err)
}
