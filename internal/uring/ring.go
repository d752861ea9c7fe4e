package uring

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"
)

// A Config says what Open should ask the kernel for.
type Config struct {
	Entries   uint32
	CQEntries uint32 // 0: twice Entries
	Flags     uint32 // IORING_SETUP_*
	PollCPU   int    // with IORING_SETUP_SQ_AFF
	PollIdle  time.Duration
	Wait      time.Duration // how long Ring.Wait may block
	LongWait  time.Duration // how long it may if told so
	Files     int           // size of the table of registered files
	Free      bool          // the ring may do whatever the kernel can, not only what this library does
	Coop      bool          // completions needn't interrupt the thread that began them (IORING_SETUP_COOP_TASKRUN, from 5.19)
	Event     io.ReadCloser // what another ring has for an eventfd, to share, and whose it stays; nil: one of its own

	Kernel func(*Queues) Kernel // makes what stands in for Linux; nil: Linux
	Manual bool                 // for who made that: the engine does nothing by itself, only what somebody waits for
}

// ErrLacks is in what Open returns if io_uring, or what a Ring needs of it, isn't there.
var ErrLacks error = lacks{}

type lacks struct{}

func (lacks) Error() string        { return errors.ErrUnsupported.Error() }
func (lacks) Is(target error) bool { return target == errors.ErrUnsupported }

// NeedIOUring names the options of c that only io_uring has; "" if there are none.
func (c *Config) NeedIOUring() string {
	switch {
	case c.Flags&SetupSQPoll != 0:
		return "SQPoll"
	case c.Flags&SetupIOPoll != 0:
		return "IOPoll"
	case c.Flags != 0:
		return "SetupFlags"
	}
	return ""
}

// A Ring is one kernel ring: its queues and its descriptors. Enter and register are for any goroutine; the queues have
// their own rules.
type Ring struct {
	SQ SQ
	CQ CQ

	// Event is the eventfd that is registered for completions, on the netpoller; of a ring with a Kernel, a Bell. It is the
	// caller's to read.
	Event io.ReadCloser
	// Flags are the IORING_SETUP_* flags that the kernel took.
	Flags uint32
	// Files is how many places the table of registered files has; 0 if there is none.
	Files int
	// Restricted is whether the kernel refuses what this library doesn't use.
	Restricted bool
	// Waited is how long Open has waited for memory.
	Waited time.Duration

	fd          int
	all         uintptr // SQ.Entries: a whole queue
	rings, sqes []byte  // the mappings
	pins        Pins
	memory      []*Pins // of what lies in the table of registered memory, by place
	hasTable    bool    // there is one
	shares      bool    // Event is another ring's
	wait        span
	longWait    span
	kernel      Kernel // nil: Linux
}

// Links reports whether a chain survives a bad SQE in front of it (IORING_SETUP_SUBMIT_ALL): without that an enter may
// stop in the middle of a batch, and with it end a chain.
func (r *Ring) Links() bool { return r.Flags&SetupSubmitAll != 0 }

// FewBytes is how many bytes at most are moved without telling the runtime that it is a system call (RawSyscall6): no device and no
// peer is waited for there, copying so many takes no longer than a Go program's own copies do, and telling costs more than
// that gains. Memory that has to be fetched first, a mapped file's, holds the P meanwhile, as it does when Go code touches it.
const FewBytes = 64 << 10

// Plain reports whether Linux takes what is published when it is told to: Enter will do for Submit.
func (r *Ring) Plain() bool { return r.kernel == nil && r.Flags&SetupSQPoll == 0 }

// Open sets a ring up: see openOS. With Config.Kernel it makes one whose queues lie in ordinary memory.
func Open(c Config) (*Ring, error) {
	if c.Kernel != nil {
		if c.Flags&(SetupSQPoll|SetupIOPoll) != 0 {
			return nil, fmt.Errorf("rio: a simulated kernel has no thread to poll: %w", errors.ErrUnsupported)
		}
		return openOn(c), nil
	}
	return openOS(c)
}

// Wait waits for one CQE, at most Config.Wait or LongWait long (ETIME). It submits nothing: an enter that takes less than it is
// offered returns before it waits, and a whole queue has to be offered.
func (r *Ring) Wait(long bool) (int, syscall.Errno) {
	most := &r.wait
	if long {
		most = &r.longWait
	}
	if r.kernel != nil {
		return r.kernel.Enter(0, 1, EnterGetEvents, most.d)
	}
	return r.waitOne(most)
}

// A span is how long an enter may wait.
type span struct {
	d   time.Duration
	arg *geteventsArg // the kernel's form
}

// Events lets the kernel finish what it has ready: task work, CQEs that had no place, polled completions.
func (r *Ring) Events() syscall.Errno {
	if r.kernel != nil {
		_, errno := r.kernel.Enter(0, 0, EnterGetEvents, 0)
		return errno
	}
	return r.events()
}

// WaitRoom blocks until an SQPOLL thread has made room in the SQ (IORING_ENTER_SQ_WAIT).
func (r *Ring) WaitRoom() syscall.Errno {
	if r.kernel != nil {
		return syscall.EINVAL // it has no such thread
	}
	return r.waitRoom()
}

// SetFile puts fd into a place of the table of registered files; -1 empties it (IORING_REGISTER_FILES_UPDATE).
func (r *Ring) SetFile(place uint32, fd int) error {
	if r.kernel != nil {
		return r.kernel.SetFile(place, fd)
	}
	return r.setFile(place, fd)
}

// Lender is r's Kernel, if that is one; nil otherwise.
func (r *Ring) Lender() Lender {
	l, _ := r.kernel.(Lender)
	return l
}

// Close unmaps and closes. It takes both: a ring whose memory stays mapped is never torn down. The caller has seen
// every CQE: closing does not stop the kernel.
func (r *Ring) Close() error {
	if r.kernel != nil {
		return r.closeOn()
	}
	return r.close()
}
