package uring

import "syscall"

// A Loop is a kernel ring that one thread has for itself: it alone submits and waits, so completions are worked off on
// it, inside its own enter, and nobody else is woken for them (IORING_SETUP_SINGLE_ISSUER, IORING_SETUP_DEFER_TASKRUN).
type Loop struct {
	SQ *SQ
	CQ *CQ
	// Flags are the IORING_SETUP_* flags that the kernel took.
	Flags uint32
	// Restricted is whether the kernel refuses what this library doesn't use.
	Restricted bool

	ring *Ring
	loopOS
}

// OpenLoop sets a Loop up for the calling thread; the goroutine is locked to it. With plain, it is as an old kernel has it; with free, it may do whatever the kernel can. If on is not nil, it makes what the Loop runs on instead of Linux.
func OpenLoop(entries, cqEntries uint32, plain, free bool, on func(*Queues) Kernel) (*Loop, error) {
	if on == nil {
		return openLoopOS(entries, cqEntries, plain, free)
	}
	r := openOn(Config{Entries: entries, CQEntries: cqEntries, Kernel: on})
	return &Loop{SQ: &r.SQ, CQ: &r.CQ, Flags: r.Flags, ring: r}, nil
}

// Enter submits everything that is published, lets the kernel work off what it has for this thread, and waits until
// that many CQEs are there, unless a signal comes (EINTR).
func (l *Loop) Enter(wait uint32) syscall.Errno {
	if k := l.ring.kernel; k != nil {
		_, errno := k.Enter(l.SQ.Pending(), wait, EnterGetEvents, Forever)
		return errno
	}
	return l.enter(wait)
}

// Close unmaps and closes. It is for the thread that opened l, which has seen every CQE.
func (l *Loop) Close() error {
	if l.ring.kernel != nil {
		return l.ring.closeOn()
	}
	return l.closeOS()
}
