package rio

import "context"

// Waiters help: who waits for an operation submits what everybody has queued, reads everybody's completions, and for a
// moment waits in the kernel on everybody's behalf. Only then does it park, and the reaper takes over.

// await returns when o, which the caller has claimed, is done; or, false, when ctx (which may be nil) has ended.
func (l *lane) await(o *op, ctx context.Context) bool {
	if o.isDone() {
		return true
	}
	switch {
	case !l.shared():
		l.help(o, o.gen())
	case l.yielding.Load(): // the leader submits it, when all of these are there
	case l.leaders.Load() > 0:
		if l.scheduler.yield(l, o, last) {
			l.passOn()
		}
		l.help(o, o.gen())
	}
	return l.linger(o, ctx)
}

// shared reports whether others are on l, who might have something to submit too if they were let run first: one enter for all.
func (l *lane) shared() bool {
	return l.parked.Load() > 0 || l.scheduler.pays(l) && (l.relay.active.Load() || l.yielding.Load() || l.scheduler.gains(l))
}

// help submits what everybody has queued, and reads everybody's completions, of which that of o may be one. The caller
// needn't have claimed it.
func (l *lane) help(o *op, gen uint64) {
	if o.over(gen) {
		return
	}
	l.mindOthers()
	l.flush()
	l.reap()
}

// submitting is how many are about to submit, or at it.
func (l *lane) submitting() int {
	return l.users() - int(l.leaders.Load())
}

// linger is the rest of await: it leads, or parks.
func (l *lane) linger(o *op, ctx context.Context) bool {
	if o.isDone() {
		return true
	}
	if !o.isHandedOver() && l.leaders.CompareAndSwap(0, 1) {
		l.lead(o, ctx)
	}
	if o.isDone() {
		return true
	}
	return l.park(o, ctx)
}

// isHandedOver reports whether o's CQE has been read already, and only follow, or the witness, is still to resolve it.
func (o *op) isHandedOver() bool { return o.state.Load()&isHanded != 0 }

// park sleeps until o is done. Who parks switches the notification on unless there is a leader, who does it at its
// end: of "parked is counted" and "there is no leader" one is seen first, so one of the two does it.
func (l *lane) park(o *op, ctx context.Context) bool {
	l.wakeable(o)
	l.parked.Add(1)
	l.watchers.Add(1)
	if l.leaders.Load() == 0 {
		l.flush() // it may have been left to a leader who has gone
		l.arm()
	}
	for {
		s := o.state.Load()
		if s&isDone != 0 {
			l.unpark()
			return true
		}
		if o.state.CompareAndSwap(s, s|isParked) {
			break // from here on who resolves it unparks it
		}
	}
	if ctx == nil {
		return l.sleep(o)
	}
	return l.sleepUntil(o, ctx)
}

// sleepUntil is sleep until ctx ends.
func (l *lane) sleepUntil(o *op, ctx context.Context) bool {
	select {
	case <-o.wake:
		l.passOn()
		return true
	case <-ctx.Done():
	}
	for {
		s := o.state.Load()
		if s&isDone != 0 {
			return l.sleep(o)
		}
		if o.state.CompareAndSwap(s, s&^isParked) {
			l.unpark()
			return false
		}
	}
}

// wakeable gives o a channel to be woken by.
func (l *lane) wakeable(o *op) {
	if o.wake == nil {
		o.wake = l.ring.newChan()
	}
}

// sleep returns when o's owner has been woken, who then sees to it that the next is.
func (l *lane) sleep(o *op) bool {
	<-o.wake
	l.passOn()
	return true
}

// passOn is what everybody does who was woken: it wakes the next. The last one of a relay stands in for a leader who has
// gone meanwhile: one of the two sees the other.
func (l *lane) passOn() {
	if l.relay.active.Load() && l.relay.pass() {
		l.entrust()
	}
}

// watch submits what is queued, reads what is there, and has the reaper read what comes, until watchers is counted down.
func (l *lane) watch() {
	l.flush()
	l.reap()
	l.watchers.Add(1)
	if l.leaders.Load() == 0 {
		l.arm()
	}
}

func (l *lane) unpark() {
	l.watchers.Add(-1)
	l.parked.Add(-1)
}
