package rio

// A request that is cancelled because its Stream has too much unsent may have brought hundreds of pieces by then, all that there
// were buffers for, and each may be worth a long answer. They are held back, in memory that is the Stream's: the buffers are for
// everybody. Nothing is received before they are handed over.

// hold keeps p for later.
func (l *loop) hold(c *Stream, p []byte, provided bool) {
	c.has |= isHolding
	last := c.in
	switch {
	case !provided: // it lies in there
		last.w, last.next = len(p), last
		return
	case last == nil:
		c.in = l.spare.take(smallChunk)
		c.in.next = c.in
	case len(last.buf)-last.w < len(p):
		c.in = l.spare.take(smallChunk)
		c.in.next, last.next = last.next, c.in
	}
	c.in.w += copy(c.in.buf[c.in.w:], p)
}

// handOver calls Data with what c holds, until that has too much unsent again.
func (l *loop) handOver(c *Stream) {
	for c.has&isHolding != 0 && c.has&(isOver|isLast) == 0 {
		closing, full := c.stands()
		if closing {
			l.drop(c)
		} else if full {
			c.has |= isHeldUp
			return
		} else {
			l.handOne(c)
		}
	}
	if c.has&(isEnding|isOver|isLast) == isEnding {
		c.has &^= isEnding
		l.ended(c)
	}
}

// handAll calls Data with all that c holds, which is about to fail: nobody takes the answers any more, but what was received is not lost.
func (l *loop) handAll(c *Stream) {
	for c.has&(isHolding|isOver|isLast) == isHolding && !c.closing() {
		l.handOne(c)
	}
}

// handOne calls Data with the first of what c holds.
func (l *loop) handOne(c *Stream) {
	k := c.pop()
	c.data(k.buf[:k.w:k.w])
	l.spare.put(k)
}

// pop takes the first of what c holds.
func (c *Stream) pop() *chunk {
	k := c.in.next
	if c.in.next = k.next; k == c.in {
		c.in = nil
		c.has &^= isHolding
	}
	return k
}

// drop gives back what c's in is.
func (l *loop) drop(c *Stream) {
	for c.has&isHolding != 0 {
		l.spare.put(c.pop())
	}
	if c.in != nil {
		l.spare.put(c.in)
		c.in = nil
	}
}
