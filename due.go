package rio

// eager is how many operations are queued before one on a device has them submitted, though nobody waits yet: it may as well
// begin, and has its own more evenly then. Where the kernel has fewer than that, as many as it has are enough, but not fewer than
// few: a device that has run dry begins soon, and one that is busy costs no more calls.
const eager, few = 16, 4

// due reports whether to submit what is queued for a device now. With several Ps not while a leader lets others run: it is about
// to submit what they start, and a call among them would hand the P over. Under sq.mu.
func (l *lane) due() bool {
	queued := uint64(l.k.SQ.Claimed() - l.flushed.Load())
	if queued < few || l.heldBack.Load() || l.yielding.Load() && l.ring.procs.Load() > 1 {
		return false
	}
	return queued >= eager || 2*queued >= l.sq.direct-l.served.Load()
}

// feed is behind how many others the leader, who waits for o, submits what they have started. A device ends all that it has before
// it says so, often: then it begins with few, and is given twice as many each time, before it stands still again.
func (l *lane) feed(o *op) int {
	switch o.kind {
	case kindRead, kindWrite, kindReadv, kindWritev:
	default:
		return last
	}
	l.sq.mu.Lock()
	started, queued := l.sq.direct, uint64(l.k.SQ.Claimed()-l.flushed.Load())
	has := started - l.served.Load()
	l.sq.mu.Unlock()
	if started == l.fed {
		return 2 * eager // nothing for a device since
	}
	l.fed = started
	behind := int(min(max(has-min(queued, has), few), 2*eager))
	if l.onFeed != nil {
		behind = l.onFeed(behind)
	}
	return behind
}

// plenty is after how many operations of any kind what is queued is submitted, though nobody waits yet, and what has ended is
// read: a call among so many costs next to nothing, and more than that leave the processor's cache before the kernel sees them.
const plenty = 1024

// plentyLeft is how many must be queued for that, lest it is done for a few that are left over.
var plentyLeft uint32 = plenty / 2

// many reports whether to do so now. Under sq.mu.
func (l *lane) many() bool {
	claimed := l.k.SQ.Claimed()
	if claimed%plenty != 0 {
		return false
	}
	l.stayNear(claimed)
	return claimed-l.flushed.Load() >= plentyLeft
}
