package rio

import (
	"cmp"
	"time"
)

// Who shares an enter saves a part of it, and sleeps until it is his turn. What many save is more than that costs; what a few do
// depends on the machine, so their enters are timed. If they are better off with one each, they have that, and let each other run after
// some; one in 2^probe then tries anew, as who is alone does.

// handOver is about what it costs to sleep and be woken. Tests change it.
var handOver = 400 * time.Nanosecond

// tooMany are never too few.
const tooMany = 8

// pays reports whether sharing an enter may, as far as is known: one in 2^probe tries anew.
func (s *scheduler) pays(l *lane) bool {
	if s.few.Load() {
		if !oneIn(probe, l.flushed.Load()) {
			return false
		}
		s.few.Store(false)
	}
	return true
}

// submitFor submits what others have left to the leader, and reads what ends. Each of n saves what the others of them pay for the
// enter, and sleeps for that: so if what they do ends in it few are better off with an enter each.
func (l *lane) submitFor() {
	s, before := &l.scheduler, l.flushed.Load()
	enter := time.Duration(s.enter.Load())
	timed, began := oneIn(sample, before), time.Time{}
	if timed {
		began = time.Now()
	}
	l.flush()
	n := l.flushed.Load() - before
	if timed && n > 0 && n < tooMany {
		enter = min(time.Since(began), cmp.Or(enter+enter/8, time.Hour)) // sometimes others are in its way
		s.enter.Store(int64(enter))
	}
	l.reap()
	if n > 1 && n < tooMany && enter > 0 && enter-enter/time.Duration(n) < handOver && l.allRead() {
		s.gain.Store(0)
		s.few.Store(true)
	}
}

// allRead reports whether all that has a Completion has ended.
func (l *lane) allRead() bool {
	l.lock()
	defer l.unlock()
	return l.sq.started == l.cq.completed
}
