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

// tooMany are never too few. Who tries, and finds nobody, so often believes it.
const tooMany, maxTrials = 8, 8

// stint is that after 2^stint enters one of few lets the others run.
const stint = 6

// takeTurns does that. Its caller has just had a result: who is let run for a trial has something to start then, which counts.
// But not if that has taken long lately: there is somebody who computes, and would have the P for 10 ms each time.
func (l *lane) takeTurns() {
	s := &l.scheduler
	if !s.few.Load() || !oneIn(stint, l.flushed.Load()) {
		return
	}
	if n := s.shy.Load(); n > 0 {
		s.shy.Store(n - 1)
		return
	}
	s.timed(l)
}

// pays reports whether sharing an enter may, as far as is known: one in 2^probe tries anew.
func (s *scheduler) pays(l *lane) bool {
	if s.few.Load() {
		if !oneIn(probe, l.flushed.Load()) {
			return false
		}
		s.few.Store(false)
		s.trials.Add(1)
	}
	return true
}

// submitFor submits what others have left to the leader, and reads what ends. Each of n saves what the others of them pay for the
// enter, and sleeps for that: so if what they do ends in it few are better off with an enter each. Who was let run after before may have
// submitted what he had begun, and the leader's with it: he counts, too.
func (l *lane) submitFor(before uint32) {
	s, mine := &l.scheduler, l.flushed.Load()
	enter := time.Duration(s.enter.Load())
	timed, began := oneIn(sample, mine), time.Time{}
	if timed {
		began = time.Now()
	}
	l.flush()
	now := l.flushed.Load()
	n := now - before
	if timed && now != mine && n < tooMany {
		enter = min(time.Since(began), cmp.Or(enter+enter/8, time.Hour)) // sometimes others are in its way
		s.enter.Store(int64(enter))
	}
	l.reap()
	switch trials := s.trials.Load(); {
	case n <= 1 && trials%maxTrials != 0: // nobody was there just now
	case n > 1 && n < tooMany && enter > 0 && enter-enter/time.Duration(n) < handOver && l.allRead():
		s.trials.Store(0)
	default:
		s.trials.Store(0)
		return
	}
	s.gain.Store(0)
	s.few.Store(true)
}

// allRead reports whether all that has a Completion has ended.
func (l *lane) allRead() bool {
	l.lock()
	defer l.unlock()
	return l.sq.started == l.cq.completed
}
