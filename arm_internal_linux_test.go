package rio

import "testing"

// What has ended before the notification was switched on would otherwise never be heard of.
func TestArmingLooksAtTheQueueOnceMore(t *testing.T) {
	firstLaneOnly(t)
	r := openRing(t, &Config{Depth: 2})
	for range 100 {
		c := r.Nop()
		r.flush()
		r.submit(r.k.SQ.Tail()) // also what another flush has only undertaken to: its CQE is there now
		r.arm()
		if s := c.o.state.Load(); s&(isDone|isHanded) == 0 {
			t.Fatal("a CQE from before the notification was left unread")
		}
		if _, err := c.Wait(); err != nil {
			t.Fatal(err)
		}
	}
}

// Who parked while there was a leader relies on its switching the notification on when it ends.
func TestLeaderSwitchesTheNotificationOnForTheParked(t *testing.T) {
	firstLaneOnly(t)
	r := openRing(t, &Config{Depth: 2})
	p, w := pipeOn(t, r)
	c := r.ReadAt(p, make([]byte, 1), 0)
	r.flush()
	r.leaders.Store(1)
	r.watchers.Add(1)
	r.lead(c.o, nil)
	if !r.armed.Load() {
		t.Error("nobody will hear of the next CQE")
	}
	if r.leaders.Load() > 0 {
		t.Error("it leads still")
	}
	r.watchers.Add(-1)
	w.Write([]byte("x"))
	if n, err := c.Wait(); n != 1 || err != nil {
		t.Error(n, err)
	}
}
