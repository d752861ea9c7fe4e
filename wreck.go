package rio

import "sync"

// wreck is the end of a loop whose ring the kernel refuses to serve: its memory stays, for the kernel may have some of it.
func (l *loop) wreck(err error) {
	l.wrecked = true
	l.mu.Lock()
	l.gone = true
	fresh := l.fresh
	l.mu.Unlock()
	l.v.end(err)
	for _, fd := range fresh {
		l.refuse(fd)
	}
	for _, s := range l.seats.all {
		if c := s.c; c != nil {
			c.err = err
			l.finish(c)
		}
	}
	brokenLoops.mu.Lock()
	defer brokenLoops.mu.Unlock()
	brokenLoops.all = append(brokenLoops.all, l)
}

var brokenLoops struct {
	mu  sync.Mutex
	all []*loop
}
