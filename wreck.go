package rio

import (
	"runtime"
	"sync"
)

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

// exiting reports whether the deferred call that asks was made by runtime.Goexit, and not by a panic, which is to end the
// process in its own words.
func exiting() bool {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for {
		f, more := frames.Next()
		if f.Function == "runtime.Goexit" {
			return true
		}
		if !more {
			return false
		}
	}
}
