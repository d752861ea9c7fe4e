package rio

// A loop's mailbox is what other goroutines, and its own Handlers, leave for it: Streams that something is to be done for,
// connections that another loop has accepted. Whoever finds the loop asleep wakes it.

// post leaves c for the loop: something is to be done for it.
func (l *loop) post(c *Stream) {
	l.mu.Lock()
	l.inbox = append(l.inbox, c)
	l.wakeLocked()
}

// hand leaves an accepted connection; false if the loop is gone.
func (l *loop) hand(fd int32) bool {
	l.mu.Lock()
	if l.gone {
		l.mu.Unlock()
		return false
	}
	l.fresh = append(l.fresh, fd)
	l.wakeLocked()
	return true
}

func (l *loop) nudge() {
	l.mu.Lock()
	l.wakeLocked()
}

// wakeLocked wakes the loop if it sleeps, and unlocks mu. Under mu it can't go away.
func (l *loop) wakeLocked() {
	if l.asleep && !l.gone {
		l.asleep = false
		l.waker.Wake()
	}
	l.mu.Unlock()
}

func (l *loop) posted() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.inbox)
}
