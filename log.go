package rio

import (
	"log/slog"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// logTo makes cfg's Logger r's, or none, and says what r has to do without.
func (r *Ring) logTo(cfg *Config) {
	r.log = slog.New(slog.DiscardHandler)
	if cfg != nil && cfg.Logger != nil {
		r.log = cfg.Logger
	}
	if backend, why := r.Backend(); backend == Threads {
		r.log.Info("rio: no io_uring; on threads", "why", why)
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
