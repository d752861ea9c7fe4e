package rio

// Stats are a Ring's figures: places in use, and totals since New.
type Stats struct {
	InFlight  int    // operations started whose completion has not been read
	Capacity  int    // how many that may be
	Started   uint64 // operations
	Completed uint64 // operations
	Enters    uint64 // io_uring_enter system calls
	Submitted uint64 // SQEs the kernel took in them; not those an SQPOLL thread took
	Waits     uint64 // how often somebody had to wait for a place
	Overflows uint64 // how often the kernel had to keep completions back
}

// Stats returns the Ring's figures. What a Conn or Listener waits for by itself counts in Started and Completed only.
func (r *Ring) Stats() Stats {
	if r == nil || r.k == nil {
		return Stats{}
	}
	r.lock()
	defer r.unlock()
	written := r.sq.written
	if !r.cq.gone {
		written -= uint64(r.k.SQ.Pending())
	}
	return Stats{
		InFlight: int(r.sq.started - r.cq.completed), Capacity: len(r.tickets.places),
		Started: r.sq.started + r.sq.quiet, Completed: r.cq.completed + r.cq.quiet,
		Enters: r.calls.Load() >> callShift, Submitted: written, Waits: r.tickets.waits, Overflows: r.overflows.Load(),
	}
}

// inFlight counts all that is in flight, with or without a Completion.
func (r *Ring) inFlight() uint64 {
	r.lock()
	defer r.unlock()
	return r.inFlightLocked()
}

func (r *Ring) inFlightLocked() uint64 {
	return r.sq.started + r.sq.quiet - r.cq.completed - r.cq.quiet
}
