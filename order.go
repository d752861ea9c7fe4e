package rio

// An Ordering says how an operation stands to those around it on the same Ring. The zero value is None.
type Ordering uint8

const (
	// None: the operation waits for nothing, and nothing for it.
	None Ordering = 0
	// Link: the next operation started on the same Ring begins only if this one succeeds in full (IOSQE_IO_LINK). If
	// this one fails, is refused, or is short, the next resolves with syscall.ECANCELED: whoever starts it, and whenever that is. So
	// Link is for a Ring that one goroutine uses, and a Chain for others. The methods of File, Conn and Listener are not the
	// next, nor is a Chain's first.
	Link Ordering = 1
	// Drain: this operation begins when all operations with a Completion that were started earlier on this Ring are
	// done, one that may wait for ever (Accept, Recv) included. Unlike IOSQE_IO_DRAIN it does not hold up later ones. Link and Drain
	// may be given both.
	Drain Ordering = 2
)

// A group is a train that may have to wait: for an operation to succeed, for an epoch to end. Where the kernel can't be
// trusted with a link (it ends a chain at a submission boundary; a failed fsync doesn't break one) the ring keeps the
// promise itself, with a group that hangs on the operation before it.
//
// Who reads the CQ has cq.mu alone: he settles what hangs on an operation that has ended, and hangs what the kernel had linked
// behind one that is started again on that (recouple). Whoever else ties one to another, or lets a group go, holds both locks.
// sq.follow and epoch.started are sq.mu's.
type group struct {
	train
	waits  int  // for how many things; 0: it may go
	doomed bool // one of them has failed
}

// link is the end of what the Ring's callers have linked: the operation whose successor is still to come.
type link struct {
	op     *op    // if it has not ended yet
	failed bool   // how it ended
	open   *group // held back for the successor, so that both go out in one piece
}

// order starts o, which has an Ordering or follows a Link. Under sq.mu.
func (l *lane) order(o *op, ord Ordering) {
	l.cq.mu.Lock()
	defer l.cqUnlock()
	g := &group{train: train{first: o, last: o, n: 1}}
	o.in = g
	if ord&Drain != 0 {
		if l.newEpoch(o, g) {
			g.waits++
		}
		for _, side := range l.ring.sides() {
			if side.gate(g) {
				g.waits++
			}
		}
	}
	if l.sq.follow {
		g = l.succeed(o, g)
		o.fate |= fateOrdered
	}
	if ord&Drain != 0 {
		o.fate |= fateOrdered
	}
	l.setFollow(ord&Link != 0)
	if l.sq.follow {
		l.link.op, l.link.failed = o, false
		if g.waits == 0 && !g.doomed && l.mayLink(g) {
			l.link.open = g
			l.heldBack.Store(true)
			return
		}
	}
	if l.link.open == g {
		l.link.open = nil
	}
	if g.waits == 0 {
		l.release(g)
	}
}

// succeed puts o, in g, behind the operation that waits for a successor. It returns the group that o is in then.
func (l *lane) succeed(o *op, g *group) *group {
	p := l.link.op
	l.link.op = nil
	switch {
	case p == nil: // it is gone already
		g.doomed = l.link.failed
	case p.in != nil && g.waits == 0 && l.mayLink(p.in):
		g = p.in
		g.last.next, g.last, o.in = o, o, g
		g.n++
	default:
		p.then = g
		g.waits++
		if l.link.open != nil {
			open := l.link.open
			l.link.open = nil
			l.release(open)
		}
	}
	return g
}

// missed keeps what Link promises where an operation could not be started: it has failed, and is nobody's successor but
// in the eyes of the one before it.
func (r *Ring) missed(ord Ordering) {
	if r == nil || r.k == nil {
		return
	}
	r.lock()
	if (ord&Link != 0 || r.sq.follow) && r.sq.refusal == nil {
		if open := r.link.open; open != nil {
			r.link.open = nil
			r.release(open)
		}
		r.link.op, r.link.failed = nil, true
		r.setFollow(ord&Link != 0)
	}
	r.unlock()
	r.started()
}

// setFollow says whether the next operation is a successor, which is started on the first lane then. Under sq.mu.
func (l *lane) setFollow(follow bool) {
	if l.sq.follow != follow {
		l.sq.follow = follow
		l.ring.following.Store(follow)
	}
}

// mayLink reports whether the kernel can be trusted with one more behind the last of g.
func (l *lane) mayLink(g *group) bool {
	return l.k.Links() && g.last.linkable() && g.n < l.k.SQ.Entries()
}

// settle tells g that one of the things it waits for has ended. Under cq.mu.
func (l *lane) settle(g *group, ok bool) {
	g.waits--
	g.doomed = g.doomed || !ok
	if g.waits == 0 {
		l.cq.work.ready = append(l.cq.work.ready, g)
	}
}

// release lets g go, which waits for nothing any more: to the kernel, or to its end.
func (l *lane) release(g *group) {
	if g.doomed && g.first != nil {
		l.cut(g, g.first)
	}
	for o := g.first; o != nil; o = o.next {
		if o.state.Load()&isCancelled != 0 {
			l.cut(g, o)
			break
		}
	}
	if g.first == nil {
		return
	}
	for o := g.first; o != nil; o = o.next {
		o.in = nil
	}
	t := g.train
	g.first = nil // it may be let go twice: as ready, and by a successor that came before follow had the locks
	l.send(t)
}

// cut ends o, and those linked behind it in g, with ECANCELED.
func (l *lane) cut(g *group, o *op) {
	n := uint32(0)
	var before *op
	for p := g.first; p != o; p = p.next {
		before = p
		n++
	}
	g.n, g.last = n, before
	if before == nil {
		g.first = nil
		if l.link.open == g {
			l.link.open = nil
		}
	} else {
		before.next = nil
	}
	for o != nil {
		next := o.next
		o.next, o.in = nil, nil
		o.bits &^= bitLinked
		l.finish(o, errCanceled)
		o = next
	}
}
