package rio

// A relay that has drawn all goroutines to one P keeps them: its lane does everything then, and other Ps nothing. Nobody but the
// sweeper sees that. It has the relay wake a few more at once; other Ps take those, each with who stands in line behind it, and what
// they start next is on other lanes.

// A balance is what the sweeper does about it, and how long it waits before it tries again: Ps that have other work to do take
// nobody, and then those who were woken for them wait in the queue of the P that they were to leave.
type balance struct {
	wait, fear int // ticks
}

// A tally is where a lane stood when the sweeper last looked: how much of what side lanes carry was begun there, and how many its
// relay had woken.
type tally struct {
	begun uint64
	wakes uint32
}

const (
	splitWakes = 4
	minSplit   = 2 // ticks
	maxSplit   = 1 << 10
)

// since is what has come since it was last asked.
func (l *lane) since() (begun, woken uint64) {
	var now tally
	l.sq.mu.Lock()
	now.begun = l.sq.loose - min(l.sq.direct, l.sq.loose)
	l.sq.mu.Unlock()
	l.relay.mu.Lock()
	now.wakes = l.relay.wakes
	l.relay.mu.Unlock()
	begun, woken = now.begun-min(l.tally.begun, now.begun), uint64(now.wakes-l.tally.wakes)
	l.tally = now
	return begun, woken
}

// gathers reports whether l had much to do since it was last asked, for goroutines that wait for each other: the relay keeps
// these on one P. It is asked once a tick.
func (l *lane) gathers() bool {
	begun, woken := l.since()
	return begun >= crowd && woken >= begun/8
}

// look is called once a tick, where there are side lanes.
func (b *balance) look(r *Ring) {
	var all, most uint64
	var busy *lane
	for l := range r.lanes() {
		begun, woken := l.since()
		if all += begun; begun > most && woken >= begun/2 {
			most, busy = begun, l
		}
	}
	b.wait = max(b.wait-1, 0)
	switch {
	case all < crowd || r.procs.Load() == 1:
	case busy == nil || most < all-all/8:
		b.fear = 0
	case b.wait == 0:
		b.fear = min(max(2*b.fear, minSplit), maxSplit)
		b.wait = b.fear
		busy.relay.forks.Store(splitWakes)
	}
}
