package rio

import (
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// A multishot recv can miss the end of its stream, and wait on. Behind a piece that has left nothing in the socket the
// kernel looks no further; if by then it was told of the end, or of a reset, together with the data, it is not told again.
// With unix sockets that is so since Linux 6.17, with TCP if it is a reset; 7.0 (a68ed2df7213) looks once more if it was woken
// twice, which covers neither a request that finds all that when it begins, nor one behind 33 pieces (seen on 6.18 and 7.3).
//
// An end that comes after a piece was read here wakes the request. So after one, before somebody relies on being woken,
// the socket is asked; if it is at its end, the request is ended, and the next recv is told.

// look ends the request if the stream has. The caller waits by way of w. It is called under cq.mu, and unlocks it.
func (in *inbox) look(h *handle, w *op) {
	in.unsure = false
	in.lane.cqUnlock()
	if !h.get() {
		return
	}
	ended := uring.Ended(h.fd)
	h.put()
	if ended {
		in.stop(w)
	}
}

// A lookout asks the sockets of the Streams that have received something, and then nothing for a while. That is longer
// than busy ones need for their next message: those are never asked.
type lookout struct {
	streams []*Stream // isWatched
	armed   bool      // its timer is in flight
	ts      *uring.Timespec
	tsAddr  uring.Addr
}

const lookoutTick = 100 * time.Millisecond

func (k *lookout) init(pins *uring.Pins) {
	k.ts = new(uring.Timespec)
	k.ts.Set(int64(lookoutTick))
	k.tsAddr = pins.Timespec(k.ts)
}

// watch is called when the multishot request of c has brought something, and goes on.
func (l *loop) watch(c *Stream) {
	if c.has |= isHeard; c.has&isWatched == 0 {
		c.has |= isWatched
		l.lookout.streams = append(l.lookout.streams, c)
	}
}

// armLookout is called in each round.
func (l *loop) armLookout() {
	if k := &l.lookout; !k.armed && !l.ending && len(k.streams) > 0 && l.room(1) {
		l.request().FillTimeout(k.tsAddr, doesLook<<doesShift)
		k.armed = true
	}
}

// look is called by the timer.
func (l *loop) look() {
	k := &l.lookout
	k.armed = false
	kept := k.streams[:0]
	for _, c := range k.streams {
		if c.has&(isReceiving|isRecvCancelled) == isReceiving {
			switch heard := c.has&isHeard != 0; {
			case heard, !l.room(1 + loopReserve):
				c.has &^= isHeard
				kept = append(kept, c)
				continue
			case uring.Ended(int(c.fd)):
				l.cancel(doesRecv<<doesShift | c.id)
				c.has |= isRecvCancelled // it is begun again, and told
			}
		}
		c.has &^= isWatched
	}
	clear(k.streams[len(kept):])
	if k.streams = kept; len(kept) == 0 {
		k.streams = nil // an idle Stream costs no place here
	}
}

// stopLookout is the end of it.
func (l *loop) stopLookout() {
	if l.lookout.armed && l.room(1) {
		l.cancel(doesLook << doesShift)
	}
}
