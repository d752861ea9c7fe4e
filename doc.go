// Package rio is io_uring for Go: reads, writes, syncs, accepts, sends and receives that any number of goroutines start
// on one Ring, and wait for when they like.
//
//	ring, err := rio.New(nil)
//	...
//	f, err := ring.OpenFile("log", os.O_RDWR|os.O_CREATE, 0o644)
//	...
//	n, err := ring.WriteAt(f, record, off).Wait()
//	...
//	chain := ring.Chain() // each begins if the one before has succeeded
//	write := chain.WriteAt(f, record, off)
//	sync := chain.Fdatasync(f)
//	if err := chain.Submit(); err != nil {
//		...
//	}
//	_, err = sync.Wait() // ECANCELED: write failed, or was short; write.Wait says which
//
// Where there is no io_uring, or it is forbidden, a Ring does the same with threads: see Backend.
//
// # What it promises
//
// A buffer can't go away under the kernel: from the call until the Completion resolves the ring keeps it alive and in
// place. A descriptor can't either: an operation never reaches a file other than the one it was given. A completion can't
// be lost: at most as many operations are in flight as the completion queue has entries; a further one blocks, in the call that
// starts it. What the methods of Conns, Listeners and pipes' Files wait for comes on top: what finds no room the kernel keeps
// (IORING_FEAT_NODROP). Submission takes care of itself: waiting submits, and what nobody waits for goes out within a millisecond or
// two, later only if goroutines that compute have all Ps. Forgetting a Completion is harmless.
//
// Built with -race, a program that touches a buffer while the kernel has it gets a DATA RACE report.
//
// # Places
//
// An operation has one of the completion queue's places (Stats.Capacity), its ticket, from the call that starts it until it has
// ended; a Chain has one for each of its operations. An Accept or Recv of Ring, or a ReadAt of a pipe, that nobody answers holds its place
// for as long as that goes on, and when all are held nothing begins: use Listener.Accept and Conn.Read for what may be idle, which
// take none. A context is no help there, for it comes with the waiting; Config.Logger tells who holds them.
//
// # Who owns the buffer
//
// The kernel, from the call until the Completion resolves. Afterwards it is the caller's again. ErrWaited says nothing about it:
// somebody else has waited for the Completion, or still does. Done tells both.
//
// # Order
//
// Operations run in any order, unless they are linked (Link), drained (Drain) or in a Chain. Where several goroutines use a Ring
// it is Chains that they need.
//
// # Tests with testing/synctest
//
// Make the Ring outside of all bubbles: one that is made inside never lets its bubble be idle, and time.Sleep and synctest.Wait don't
// return. In a bubble time stands still while an operation waits. Do without deadlines of Conns and Listeners there, and without
// NewFile of regular files: their timers and goroutines belong to the bubble. The runtime ends the program if they are used
// outside, the bubble doesn't end before the File is closed, and who waits inside may wait for his deadline for ever.
//
// # Errors
//
// An operation's error is, or wraps, an *os.SyscallError that names the system call it stands for: errors.Is(err, syscall.EIO),
// errors.Is(err, fs.ErrPermission) and errors.Is(err, errors.ErrUnsupported) work. ErrClosed is what a closed Ring says,
// ErrWaited what a Completion says that has been waited for. A bad argument is an error that names the operation and the
// cause, and no panic, but Aligned's, as make's are.
package rio
