package rio

// arm makes sure that the reaper hears of the next CQE. The notification goes on before the queue is looked at once
// more: the other way round, a CQE could come in between, and nobody would hear of it.
func (l *lane) arm() {
	l.cq.mu.Lock()
	if !l.cq.gone {
		l.k.CQ.Notify(true)
		l.armed.Store(true)
	}
	l.drain()
	l.cqUnlock()
	l.follow()
}

// disarm ends that.
func (l *lane) disarm() {
	l.cq.mu.Lock()
	if !l.cq.gone {
		l.armed.Store(false)
		l.k.CQ.Notify(false)
	}
	l.cqUnlock()
}

// reaper reads the CQ when the eventfd says so, which lies on the netpoller: it costs no thread.
func (r *Ring) reaper() {
	defer close(r.reaperGone)
	var b [8]byte
	for {
		if _, err := r.k.Event.Read(b[:]); err != nil {
			return
		}
		for l := range r.lanes() {
			l.notified()
		}
	}
}

// notified reads the CQ for those who rely on that, if it may be l that has reported.
func (l *lane) notified() {
	if !l.armed.Load() {
		return // who has disarmed it looks
	}
	l.reap()
	if l.watchers.Load() > 0 || l.leaders.Load() > 0 {
		return
	}
	l.disarm()
	if l.watchers.Load() > 0 && l.leaders.Load() == 0 {
		l.arm()
	}
}

func (r *Ring) newChan() chan struct{} {
	if c, ok := <-r.fresh; ok {
		return c
	}
	return make(chan struct{}, 1) // the Ring is closed
}

// mint makes the channels that waiters sleep on. They come from a goroutine as old as the Ring: one that was made
// inside a synctest bubble may not be sent on by the reaper, outside.
func (r *Ring) mint() {
	defer close(r.fresh)
	for {
		select {
		case r.fresh <- make(chan struct{}, 1):
		case <-r.stop:
			return
		}
	}
}
