// Package riotest lets programs that use rio be tested on a machine that is simulated: a Ring on a kernel in ordinary
// memory, and a disk that loses in a power cut what was not synced. What goes wrong, and when, is drawn from a seed.
//
//	sim, err := riotest.New(seed, &riotest.Options{Faults: riotest.Everything})
//	f, err := sim.OpenFile("wal", os.O_CREATE|os.O_RDWR, 0o644)
//	... // whatever the program does, with f and sim.Ring(), whose own OpenFile opens the process's files
//	disk := sim.Crash()
//	sim, err = riotest.New(seed, &riotest.Options{Disk: disk}) // and see what it makes of that
//
// The Ring is the one that programs run on otherwise: all of its code but the system calls. Operations end in any order
// that io_uring(7) allows, late or at once; see Faults for the rest.
//
// # What a seed repeats
//
// With Options.Lockstep, and one goroutine that starts operations and waits for them (Wait, WaitContext, the methods of File),
// a seed repeats everything: each result, the order of all effects, what a crash leaves. Nothing happens but in that
// goroutine's calls; under the race detector, which has goroutines of its own, that is not exact. So what it starts goes nowhere until it waits for something, Done is for others, and a File is
// closed when what was started on it has ended.
//
// Without it the Ring works as ever, in its own time, for any number of goroutines. A seed then repeats the kinds of
// faults and their rates, but the scheduler and the clock decide whom they meet.
//
// # What is not simulated
//
// Descriptors of the process itself work on a simulated Ring, too, sockets and pipes among them, on Linux; only
// completions and interruptions of those are drawn, nothing of theirs is lost. Listener.Serve has kernel rings of its own,
// of Linux. Options that need a thread or a queue of the kernel's (SQPoll, IOPoll) are an error.
package riotest

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"

	"github.com/seed-9c58b644/rio"
	"github.com/seed-9c58b644/rio/internal/hook"
	"github.com/seed-9c58b644/rio/internal/uring"
)

// Options say what to simulate. The zero value is an empty disk, and no faults.
type Options struct {
	Config *rio.Config // of the Ring
	Disk   *Disk       // to begin with
	Faults Faults

	// If Lockstep is set, nothing happens but in calls of the program's, so that a seed repeats what one goroutine does.
	Lockstep bool

	// If Trace is not nil, a line for each operation on a file is written to it, when it takes effect.
	Trace io.Writer
}

// A Sim is a machine with a disk and a Ring. Its methods are for any goroutine.
type Sim struct {
	ring     *rio.Ring
	seed     uint64
	lockstep bool
	trace    io.Writer

	mu      sync.Mutex
	rand    *rand.Rand
	faults  Faults
	count   uint64 // operations on files
	names   names
	kernels []*kernel
	off     bool
	left    *Disk // what Crash has left
}

// New starts a machine; nil Options are the zero value.
func New(seed uint64, o *Options) (*Sim, error) {
	if o == nil {
		o = &Options{}
	}
	if c := o.Config; c != nil && (c.SQPoll || c.IOPoll || c.SetupFlags != 0) {
		return nil, fmt.Errorf("riotest: SQPoll, IOPoll and SetupFlags need a kernel: %w", errors.ErrUnsupported)
	}
	s := newSim(seed)
	s.faults, s.lockstep, s.trace, s.names = o.Faults, o.Lockstep, o.Trace, newNames(o.Disk)
	r, err := hook.NewRing(o.Config, hook.Kernel{Make: s.newKernel, Manual: o.Lockstep})
	if err != nil {
		return nil, err
	}
	s.ring = r.(*rio.Ring)
	return s, nil
}

func newSim(seed uint64) *Sim {
	return &Sim{seed: seed, rand: rand.New(rand.NewPCG(seed, 0)), names: newNames(nil)}
}

func init() {
	hook.Simulate = func(seed uint64) hook.Kernel {
		s := newSim(seed)
		s.faults = Everything
		s.faults.Short = 0 // files of the process are what they are
		return hook.Kernel{Make: s.newKernel}
	}
}

// Ring is the machine's Ring. Its OpenFile opens the process's own files, which no fault or Crash touches: for those of the
// simulated disk use Sim.OpenFile.
func (s *Sim) Ring() *rio.Ring { return s.ring }

// Seed is what New was given, to be printed where a test fails.
func (s *Sim) Seed() uint64 { return s.seed }

// Operations is how many operations on files there have been: FailAt goes up to it.
func (s *Sim) Operations() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// SetFaults says what goes wrong from here on.
func (s *Sim) SetFaults(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
}

// Crash cuts the power, and returns what is on the disk then. Of what was written since the last sync of a file any
// sector may be there or not, of writes in flight too; a file's size is the old one, the new one, or one in between; of
// changes to names the first few are there. Whatever is in flight, or begun later, fails with EIO. Called again it returns the
// same. Close is still to be called.
func (s *Sim) Crash() *Disk {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.off {
		s.tear()
		s.left = s.names.cut(s.rand)
	}
	s.off = true
	return s.left.clone()
}

// PowerCut returns what a Crash just now could leave, and goes on. Calls with other seeds return other possibilities.
// Writes in flight don't count. After Crash it is what that has left.
func (s *Sim) PowerCut(seed uint64) *Disk {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.off {
		return s.left.clone()
	}
	return s.names.cut(rand.New(rand.NewPCG(s.seed, seed)))
}

// tear lets some of the writes in flight get as far as they get.
func (s *Sim) tear() {
	for _, k := range s.kernels {
		for _, r := range k.ready {
			if f, ok := r.file.(*openFile); ok && s.rand.IntN(2) == 0 {
				f.tear(r)
			}
		}
	}
}

// Close closes the Ring, and returns when nothing is in flight. A File that is left open keeps the disk's memory.
func (s *Sim) Close() error { return s.ring.Close() }

// logf writes to the trace. Under mu.
func (s *Sim) logf(r *request, name string, off int64, n int, res int32) {
	if s.trace != nil {
		fmt.Fprintf(s.trace, "%d %s %s %d at %d = %d\n", s.count, opNames[r.Op], name, n, off, res)
	}
}

var opNames = map[uring.Opcode]string{
	uring.OpRead: "read", uring.OpReadv: "readv", uring.OpWrite: "write", uring.OpWritev: "writev", uring.OpFsync: "fsync",
	uring.OpSyncFileRange: "sync_file_range", uring.OpFallocate: "fallocate",
}
