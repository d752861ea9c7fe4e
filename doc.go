// Package rio is io_uring for Go: reads, writes, syncs, accepts, sends and receives that any number of goroutines start
// on one Ring, and wait for when they like.
//
//	ring, err := rio.New(nil)
//	...
//	f, err := ring.OpenFile("log", os.O_RDWR|os.O_CREATE, 0o644)
//	...
//	write := ring.WriteAt(f, record, off, rio.Link)
//	sync := ring.Fdatasync(f)
//	_, err = sync.Wait()
//
// Where there is no io_uring, or it is forbidden, a Ring does the same with threads: see Backend.
//
// # What it promises
//
// A buffer can't go away under the kernel: from the call until the Completion resolves the ring keeps it alive and in
// place. A descriptor can't either: an operation never reaches a file other than the one it was given. A completion can't
// be lost: at most as many operations are in flight as the completion queue has entries; a further one blocks. Submission
// takes care of itself: waiting submits, and what nobody waits for goes out within a millisecond or two. Forgetting a
// Completion is harmless.
//
// Built with -race, a program that touches a buffer while the kernel has it gets a DATA RACE report.
//
// # Who owns the buffer
//
// The kernel, from the call until the Completion resolves. Afterwards it is the caller's again.
//
// # Order
//
// Operations run in any order, unless they are linked (Link), drained (Drain) or in a Chain.
//
// # Errors
//
// An operation's error is an *os.SyscallError that names the system call it stands for: errors.Is(err, syscall.EIO),
// errors.Is(err, fs.ErrPermission) and errors.Is(err, errors.ErrUnsupported) work. ErrClosed is what a closed Ring says,
// ErrWaited what a Completion says that has been waited for. A bad argument is an error that names the operation and the
// cause. Nothing panics but Aligned, as make does.
package rio
