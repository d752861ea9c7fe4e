package rio

import (
	"log/slog"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// logTo makes cfg's Logger r's, or none, and says what r has to do without.
func (r *Ring) logTo(cfg *Config) {
	r.log = slog.New(slog.DiscardHandler)
	if cfg != nil && cfg.Logger != nil {
		r.log, r.logs = cfg.Logger, true
	}
	if backend, why := r.Backend(); backend == Threads {
		r.log.Info("rio: on threads, not io_uring", "why", why)
	}
	if r.k.Waited > 0 {
		r.log.Warn("rio: the kernel had no memory for a ring (RLIMIT_MEMLOCK?)", "waited", r.k.Waited)
	}
	if r.k.Flags&uring.SetupSubmitAll == 0 {
		r.log.Info("rio: this kernel has no IORING_SETUP_SUBMIT_ALL; linked operations are submitted one by one")
	}
	if r.backend == IOUring && r.side.config.Kernel == nil && !r.side.config.Free && !r.k.Restricted {
		r.log.Info("rio: this kernel has no IORING_REGISTER_RESTRICTIONS; the ring can do whatever the kernel can")
	}
	if n := r.k.Files; n < len(r.table) {
		r.log.Warn("rio: RLIMIT_NOFILE leaves fewer places for lent descriptors than operations", "places", n, "operations", len(r.table))
	}
}

// lineSaid is how often at most the Logger hears of a line for places.
const lineSaid = time.Minute

// lineStands is after how long in line it does. Tests change it.
var lineStands = time.Second

// watchLine tells the Logger that the caller is in line, and what holds the places, unless it is stopped before.
func (r *Ring) watchLine() *time.Timer {
	stands := lineStands
	return time.AfterFunc(stands, func() {
		now, told := int64(time.Since(r.born))+1, r.told.Load()
		if told != 0 && now-told < int64(lineSaid) || !r.told.CompareAndSwap(told, now) {
			return
		}
		r.log.Warn("rio: an operation waits for a place", "waited", stands, "places", r.tickets.all, "line", r.tickets.waiting.Load(),
			"held", slog.GroupValue(r.holders()...))
	})
}

// holders counts what has a ticket, by kind.
func (r *Ring) holders() (attrs []slog.Attr) {
	var counts [numKinds]int
	for l := range r.lanes() {
		l.lock()
		for _, e := range l.table {
			if e.op != nil && e.op.bits&bitQuiet == 0 {
				counts[e.op.kind.told()]++
			}
		}
		l.unlock()
	}
	for k, n := range counts {
		if n > 0 {
			attrs = append(attrs, slog.Int(kinds[k].name, n))
		}
	}
	return attrs
}
