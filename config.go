package rio

import (
	"fmt"
	"io"
	"log/slog"
	"math/bits"
	"runtime"
	"strings"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// A Config says how a Ring is to be. The zero value is the default.
type Config struct {
	// Backend is what carries out the operations: see Auto, which it is if not set. The environment variable RIO_BACKEND
	// (auto, iouring, threads) overrides it.
	Backend Backend

	// Depth is the number of submission queue entries, 1 to 32768, rounded up to a power of two. If 0, it is 256.
	// So many operations a Chain may have.
	Depth int

	// CQDepth is the number of completion queue entries (IORING_SETUP_CQSIZE), Depth to 65536, rounded up to a power of
	// two: as many operations can be in flight. If 0, it is twice Depth.
	CQDepth int

	// If SQPoll is set, a thread of the kernel watches the submission queue (IORING_SETUP_SQPOLL), and takes a CPU for
	// it. SQPollCPU is the one that it is bound to, if not nil (IORING_SETUP_SQ_AFF). After SQPollIdle without anything
	// to do it sleeps; if 0, after a second. Whole milliseconds.
	//
	// That thread acts for whoever made the Ring: after setuid(2) or the loss of a capability it still does what the process
	// no longer may. Who gives up rights makes polling Rings afterwards, and closes those from before. An ordinary Ring has
	// the rights of who submits.
	SQPoll     bool
	SQPollCPU  *int
	SQPollIdle time.Duration

	// If IOPoll is set, completions are polled for (IORING_SETUP_IOPOLL). That works for files opened with O_DIRECT on a
	// device with poll queues; any other operation but Nop resolves with an error (EOPNOTSUPP, EINVAL).
	IOPoll bool

	// SetupFlags are further IORING_SETUP_* bits. Those that the Ring can't live with are an error that names them.
	SetupFlags uint32

	// If Unrestricted is set, the kernel takes whatever it knows from the Ring. If not, only what this library uses: anything
	// else, such as opening files, setting their attributes or commands to devices, ends with EACCES, whoever manages to
	// write to the Ring's memory (IORING_SETUP_R_DISABLED, IORING_REGISTER_RESTRICTIONS, IORING_REGISTER_ENABLE_RINGS).
	Unrestricted bool

	// If Profile is not nil, Close writes a table to it: for each kind of operation how many there were and their
	// latency, from start to the completion's reading, then submissions, batch sizes and waits for a place.
	Profile io.Writer

	// If Logger is not nil, it hears of what no error tells: that there is no io_uring, an option that this kernel doesn't have and the Ring does
	// without, fewer places for lent descriptors than operations, memory that had to be waited for, a Ring that broke; and, once a
	// minute at most, that somebody has waited for a place for a second, and what holds them. Nothing else is logged of single operations.
	Logger *slog.Logger
}

// refusedFlags are those that the engine can't live with, and why.
var refusedFlags = []struct {
	bit       uint32
	name, why string
}{
	{uring.SetupSQAff, "SQ_AFF", "use SQPollCPU"},
	{uring.SetupCQSize, "CQSIZE", "use CQDepth"},
	{uring.SetupAttachWQ, "ATTACH_WQ", "there is no other ring to attach to"},
	{uring.SetupRDisabled, "R_DISABLED", "the Ring is set up so anyhow, and enables itself"},
	{uring.SetupSQE128, "SQE128", "entries have 64 bytes here"},
	{uring.SetupCQE32, "CQE32", "entries have 16 bytes here"},
	{uring.SetupSingleIssuer, "SINGLE_ISSUER", "goroutines submit from any thread"},
	{uring.SetupDeferTaskrun, "DEFER_TASKRUN", "goroutines wait on any thread"},
	{uring.SetupNoMmap, "NO_MMAP", "the kernel allocates the queues"},
	{uring.SetupRegFDOnly, "REGISTERED_FD_ONLY", "a registered descriptor belongs to one thread"},
	{uring.SetupCQEMixed, "CQE_MIXED", "entries have 16 bytes here"},
	{uring.SetupSQEMixed, "SQE_MIXED", "entries have 64 bytes here"},
	{uring.SetupSQRewind, "SQ_REWIND", "the queue is a ring here"},
}

// kernel checks c and says it in the kernel's terms.
func (c *Config) kernel() (k uring.Config, err error) {
	if c == nil {
		c = &Config{}
	}
	depth := c.Depth
	if depth == 0 {
		depth = 256
	}
	if depth < 1 || depth > 32768 {
		return k, badArg("New", fmt.Sprintf("Depth is %d, not 1 to 32768", c.Depth))
	}
	asked := depth
	depth = roundUp(depth)
	cq := 2 * depth
	if c.CQDepth != 0 {
		if c.CQDepth < asked || c.CQDepth > 65536 {
			return k, badArg("New", fmt.Sprintf("CQDepth is %d, not %d (Depth) to 65536", c.CQDepth, asked))
		}
		cq = roundUp(c.CQDepth)
	}
	var bad []string
	for _, f := range refusedFlags {
		if c.SetupFlags&f.bit != 0 {
			bad = append(bad, "IORING_SETUP_"+f.name+" ("+f.why+")")
		}
	}
	if bad != nil {
		return k, badArg("New", "SetupFlags: can't use "+strings.Join(bad, ", "))
	}
	k = uring.Config{Entries: uint32(depth), CQEntries: uint32(cq), Flags: c.SetupFlags, Wait: lead, LongWait: longLead, Files: cq, Free: c.Unrestricted}
	if c.IOPoll {
		k.Flags |= uring.SetupIOPoll
	}
	if c.SQPoll {
		k.Flags |= uring.SetupSQPoll
	}
	switch poll := k.Flags&uring.SetupSQPoll != 0; {
	case !poll && (c.SQPollCPU != nil || c.SQPollIdle != 0):
		return k, badArg("New", "SQPollCPU and SQPollIdle need SQPoll")
	case c.SQPollIdle < 0 || c.SQPollIdle > 0 && c.SQPollIdle < time.Millisecond || c.SQPollIdle.Milliseconds() >= 1<<32:
		return k, badArg("New", fmt.Sprintf("SQPollIdle is %v, not 1ms to 1<<32 ms", c.SQPollIdle))
	}
	// With one P no other goroutine can run before the thread lets go of it: an interrupt would only cost time. It lets go while
	// it is in C, and there may be more Ps later: what a thread has begun that computes then completes at the tick of the
	// kernel's clock.
	k.Coop = k.Flags == 0 && runtime.GOMAXPROCS(0) == 1
	k.PollIdle = c.SQPollIdle
	if c.SQPollCPU != nil {
		k.PollCPU = *c.SQPollCPU
		k.Flags |= uring.SetupSQAff
		if !uring.OnlineCPU(k.PollCPU) {
			return k, badArg("New", fmt.Sprintf("SQPollCPU: there is no CPU %d for this process", k.PollCPU))
		}
	}
	return k, nil
}

func roundUp(n int) int { return 1 << bits.Len(uint(n-1)) }
