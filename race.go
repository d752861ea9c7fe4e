package rio

import (
	"slices"
	"sync"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// The race detector sees nothing of what the kernel does to a buffer, so under -race each operation has a witness: a
// goroutine that is born when the operation starts, and tells the detector of the kernel's access once the CQE is there.
// All that it learns in between is that: so whatever the program does to the buffer meanwhile is concurrent with it, and
// reported. A witness that is used again has seen later starts, and would keep quiet.

// A verdict is what a witness is told: the result, and its turn. Results are told in the order of their CQEs, so that
// whoever waits for the end of a chain has waited for the witnesses of all of it.
type verdict struct {
	res     int32
	ordered bool            // it began when others had ended: their accesses come before its own
	before  <-chan struct{} // closed when the witness before has spoken; may be nil
	turn    chan struct{}
}

// startWitness begins o's witness. Under sq.mu.
func (o *op) startWitness(c *call) {
	if c.kind >= kindAccepts {
		return // who takes what it brings tells the detector
	}
	k := &kinds[c.kind]
	bufs := slices.Clone(c.bufs) // that slice is the caller's
	if bufs == nil {
		bufs = [][]byte{c.buf}
	}
	seen := o.lane.ring.newSeen()
	o.seen = seen
	stores, listens := k.stores, k.stores || c.kind == kindAccept
	go func() {
		var v verdict
		uring.RaceBlind(func() {
			if v = <-seen; v.ordered && v.before != nil {
				<-v.before
			}
		})
		if v.ordered {
			uring.RaceAcquire(&o.lane.ring.ordered)
		}
		if k.counts {
			for _, b := range bufs {
				uring.RaceAccess(b, stores)
			}
		}
		if listens && v.res >= 0 {
			uring.RaceJoin() // what the sender did before it sent is seen, as with package net
		}
		uring.RaceRelease(&o.edge)
		uring.RaceRelease(&o.lane.ring.ordered)
		uring.RaceBlind(func() {
			if v.before != nil {
				<-v.before
			}
			close(v.turn)
		})
		o.resolve(v.res)
	}()
}

// raceStart makes the edge that package syscall makes of each Write: what a goroutine did before it sent is seen by
// whoever has received.
func raceStart(k kind) {
	switch k {
	case kindSend, kindWrite, kindWritev:
		uring.RacePublish()
	}
}

// tell resolves o, by way of its witness if it has one. Under cq.mu.
func (l *lane) tell(o *op, res int32) {
	if o.kind >= kindAccepts {
		o.x.in.end(o, res)
		return
	}
	if o.seen == nil {
		o.resolve(res)
		return
	}
	o.state.Or(isHanded)
	v := verdict{res: res, ordered: o.fate&fateOrdered != 0, turn: l.ring.newChan()}
	v.before = l.ring.turns.take(v.turn)
	l.cq.work.handed = append(l.cq.work.handed, handed{o.seen, v})
	o.seen = nil
}

// turns is the line that the witnesses of all lanes stand in.
type turns struct {
	mu   sync.Mutex
	last chan struct{} // of the witness before the next one
}

func (t *turns) take(turn chan struct{}) (before chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, t.last = t.last, turn
	return before
}

// newSeen returns a channel that was made where the Ring was; see mint.
func (r *Ring) newSeen() (c chan verdict) {
	uring.RaceBlind(func() {
		select {
		case c = <-r.seens:
		case <-r.stop:
			c = make(chan verdict, 1)
		}
	})
	return c
}

// mintSeen is mint for the witnesses.
func (r *Ring) mintSeen() {
	for {
		select {
		case r.seens <- make(chan verdict, 1):
		case <-r.stop:
			return
		}
	}
}

// acquire is the other end of the edge from o's witness, and from those of what o follows.
func (o *op) acquire() {
	if uring.Race {
		uring.RaceAcquire(&o.edge)
		if o.fate&fateOrdered != 0 {
			uring.RaceAcquire(&o.lane.ring.ordered)
		}
	}
}
