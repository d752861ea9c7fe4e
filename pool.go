package rio

// An opPool has a lane's ops, used again in the order they were made in, as many as are in use at a time. Whether one is free
// its state says, so that giving it back is no more than taking the result. Those that are in use for long make room for
// others, and are loose then: they come back by way of the lane's returned list. Under sq.mu.
type opPool struct {
	ops  []*op
	next int
	free *op // loose ones to be used again
}

// newOp returns an op of a fresh generation. A loose one is reachable from nowhere but the table and its Completion: with
// a result that somebody must be seen to have dropped. Under sq.mu.
func (l *lane) newOp(loose bool) *op {
	if o := l.sq.pool.take(loose); o != nil {
		return o
	}
	return l.seekOp(loose)
}

// take returns the next op, if that is free, as it is mostly. It is short enough to become part of its caller.
func (p *opPool) take(loose bool) *op {
	if i := p.next; !loose && i < len(p.ops) {
		if o := p.ops[i]; o.isFree() {
			p.next = i + 1
			o.born++
			return o
		}
	}
	return nil
}

// isFree reports whether o, one of a lane's ops, may be used again.
func (o *op) isFree() bool { return o.state.Load() == uint64(o.born+1)<<genShift && o.born+1 < lastGen }

// seekOp is newOp where the next one is not free. Under sq.mu.
func (l *lane) seekOp(loose bool) *op {
	p := &l.sq.pool
	if loose {
		o := l.looseOp()
		o.state.Or(isLoose)
		return o
	}
	for range tries {
		if p.next >= len(p.ops) {
			p.next = 0
			if len(p.ops) == 0 {
				break
			}
		}
		o := p.ops[p.next]
		p.next++
		s := o.state.Load()
		if s&isHeld != 0 || uint32(s>>genShift) != o.born+1 {
			continue
		}
		if o.born++; o.born == lastGen {
			o = l.looseOp()
			p.ops[p.next-1] = o
		}
		return o
	}
	o := l.looseOp()
	if len(p.ops) < max(len(l.places.free), minPool) {
		p.ops = append(p.ops, o)
		return o
	}
	p.ops[p.next-1].loosen(l)
	p.ops[p.next-1] = o
	return o
}

// tries is how many ops are looked at before one is made, and minPool how many a lane keeps at least.
const tries, minPool = 8, 64

// loosen has o, which is no longer among the lane's ops, given back when its result is taken.
func (o *op) loosen(l *lane) {
	for {
		s := o.state.Load()
		if s&isHeld == 0 && uint32(s>>genShift) == o.born+1 {
			l.giveUp(o)
			return
		}
		if o.state.CompareAndSwap(s, s|isLoose) {
			return
		}
	}
}

// looseOp returns one that is not among the lane's ops. Under sq.mu.
func (l *lane) looseOp() *op {
	p := &l.sq.pool
	if p.free == nil {
		if p.free = l.returned.Swap(nil); p.free == nil {
			return &op{lane: l}
		}
	}
	o := p.free
	p.free, o.next = o.next, nil
	o.born = uint32(o.gen())
	return o
}

// recycle gives o, which is retired, back for the next operation.
func (l *lane) recycle(o *op) {
	if o.fate&fateLost != 0 {
		return // the kernel may still write to what it has pinned
	}
	if o.x != nil {
		o.x.clear()
		o.x.conn = nil
	}
	for {
		s := o.state.Load()
		if s&isLoose != 0 {
			l.giveUp(o)
			return
		}
		if o.state.CompareAndSwap(s, s&^isHeld) {
			return
		}
	}
}

// giveUp puts o, which is loose and retired, where looseOp finds it.
func (l *lane) giveUp(o *op) {
	gen := o.gen()
	if gen >= lastGen {
		return
	}
	o.state.Store(gen << genShift)
	for {
		top := l.returned.Load()
		o.next = top
		if l.returned.CompareAndSwap(top, o) {
			return
		}
	}
}
