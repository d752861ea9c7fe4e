package rio

// Stats are a Ring's figures: places in use, and totals since New.
type Stats struct {
	InFlight  int    // operations started whose completion has not been read
	Capacity  int    // how many that may be; in one Chain, Depth
	Started   uint64 // operations
	Completed uint64 // operations
	Enters    uint64 // io_uring_enter system calls; with Threads, of what stands in for them
	Submitted uint64 // SQEs the kernel took in them, or by itself (SQPoll)
	Waits     uint64 // how often somebody had to wait for a place
	Overflows uint64 // how often the kernel had to keep completions back
}

// Stats returns the Ring's figures. What a Conn or Listener, or a pipe's File, waits for by itself counts in Started and Completed, and not in InFlight, what
// it can do without waiting in none. What a File does by a system call of its own counts when it has ended. A loop's request
// (Received, Conns) counts once, however much it brings.
func (r *Ring) Stats() Stats {
	if r == nil || r.k == nil {
		return Stats{}
	}
	r.sq.mu.Lock()
	s := Stats{Capacity: int(r.tickets.all), Waits: r.tickets.waits}
	r.sq.mu.Unlock()
	for l := range r.lanes() {
		l.add(&s)
	}
	r.waits.count(&s)
	n := r.atOnce.count() + r.hands.done.Load()
	s.Started += n
	s.Completed += n
	return s
}

func (l *lane) add(s *Stats) {
	l.lock()
	defer l.unlock()
	written := l.sq.written
	if !l.cq.gone {
		written -= uint64(l.k.SQ.Pending())
	}
	s.InFlight += int(l.sq.started - l.cq.completed)
	s.Started += l.sq.started + l.sq.quiet + l.sq.instant
	s.Completed += l.cq.completed + l.cq.quiet + l.sq.instant
	s.Enters += l.calls.Load() >> callShift
	s.Submitted += written
	s.Overflows += l.overflows.Load()
}

// inFlight counts all that is in flight, with or without a Completion.
func (r *Ring) inFlight() (n uint64) {
	for l := range r.lanes() {
		l.lock()
		n += l.inFlightLocked()
		l.unlock()
	}
	return n
}

func (l *lane) inFlightLocked() uint64 {
	return l.sq.started + l.sq.quiet - l.cq.completed - l.cq.quiet
}
