package rio

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"github.com/seed-9c58b644/rio/internal/uring"
	"github.com/seed-9c58b644/rio/internal/uring/threads"
)

// A Backend is what carries out a Ring's operations. The Ring on top of it is the same: order, buffers, backpressure.
type Backend uint8

const (
	// Auto is IOUring where that can be had, and Threads where io_uring is forbidden (EPERM, EACCES), isn't there (ENOSYS,
	// or another system than Linux), or lacks what a Ring needs. Anything else is an error of New's, want of memory or of
	// descriptors above all: that passes, and a program should not be slower ever after because of it.
	Auto Backend = iota

	// IOUring is Linux's io_uring(7), and an error of New's where that can't be had; RIO_BACKEND overrides it.
	IOUring

	// Threads is plain system calls, on every system: a bounded pool of goroutines for what ends by itself (64, or four for
	// each P), and Go's poller for what has to wait, which takes none of these. A read or write that a goroutine has begun
	// can't be cancelled, as with IOUring. SQPoll, IOPoll and SetupFlags are errors.
	//
	// On Linux that is all. On other systems operations go by way of packages os and net: a foreign descriptor has to be an
	// *os.File, a net.Conn or a net.Listener, and what was begun on it ends with an error if it is closed meanwhile; to cancel
	// what waits on one moves its deadlines, and ends what another Ring waits for there; a listener that has no SetDeadline ends no
	// Accept before a connection comes, and whatever is begun on an *os.File that is a pipe takes its read deadline. NewFile
	// duplicates, and so drops fcntl locks. SyncFileRange is an fsync;
	// Fallocate is errors.ErrUnsupported, since setting a file's size might cut off what another write is appending to it. So
	// are Connect on Windows, and NewConn where net.FileConn is; CloseRead doesn't end a Read that waits there, errors have
	// Windows's numbers, and to cancel what waits on a pipe interrupts whoever reads from it, or writes to it: how much of an
	// interrupted write was sent isn't known.
	Threads
)

var backendNames = [...]string{Auto: "auto", IOUring: "iouring", Threads: "threads"}

// String is the Backend's name, as the environment variable RIO_BACKEND has it.
func (b Backend) String() string {
	if int(b) < len(backendNames) {
		return backendNames[b]
	}
	return fmt.Sprintf("Backend(%d)", uint8(b))
}

// Backend tells what r runs on, IOUring or Threads, and why: who asked for it, or what kept Auto from io_uring.
func (r *Ring) Backend() (Backend, string) {
	if r == nil || r.k == nil {
		return Auto, "no Ring that New has made"
	}
	return r.backend, r.because
}

// backendVariable is the environment variable that overrides Config.Backend.
const backendVariable = "RIO_BACKEND"

// open sets up what r is to run on.
func (r *Ring) open(cfg *Config, kc *uring.Config) error {
	backend, by, err := cfg.choose()
	if err != nil {
		return err
	}
	if backend != Threads {
		if r.k, err = uring.Open(*kc); err == nil {
			r.backend, r.because, r.linux = IOUring, "io_uring can be had", true
			if backend == IOUring {
				r.because = by
			}
			return nil
		}
		if backend == IOUring || !absent(err) {
			return err
		}
		by = err.Error()
	}
	if need := kc.NeedIOUring(); need != "" {
		if err == nil {
			return badArg("New", need+" needs io_uring, which "+by+" rules out")
		}
		return fmt.Errorf("rio: New: %s needs io_uring: %w", need, err)
	}
	kc.Kernel, r.portable = threads.New, portable
	if portable {
		kc.Kernel = threads.NewPortable
	}
	r.backend, r.because, r.loopKernel = Threads, by, kc.Kernel
	r.k, err = uring.Open(*kc)
	return err
}

// portable says that Rings on threads work on what packages os and net make of descriptors. On Linux only tests do that.
var portable = runtime.GOOS != "linux"

// absent reports whether err says that io_uring is forbidden, isn't there, or lacks something.
func absent(err error) bool {
	for _, e := range []error{syscall.EPERM, syscall.EACCES, syscall.ENOSYS, uring.ErrLacks} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// choose is the Backend that c and the environment ask for, and which of the two did.
func (c *Config) choose() (b Backend, by string, err error) {
	if name := os.Getenv(backendVariable); name != "" {
		for b, n := range backendNames {
			if n == name {
				return Backend(b), backendVariable + "=" + name, nil
			}
		}
		return 0, "", fmt.Errorf("rio: New: %s is %q, not auto, iouring or threads: %w", backendVariable, name, syscall.EINVAL)
	}
	if c == nil {
		return Auto, "", nil
	}
	if int(c.Backend) >= len(backendNames) {
		return 0, "", badArg("New", fmt.Sprintf("Backend is %d, not Auto, IOUring or Threads", c.Backend))
	}
	return c.Backend, "Config.Backend is " + c.Backend.String(), nil
}
