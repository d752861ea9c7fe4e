package rio

import "sync/atomic"

// closedChan is what Done returns for what is over.
var closedChan = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Done returns a channel that is closed once the operation is done, for use in a select; Wait does not block then. It
// submits the operation, unless that is part of a Chain that has not been submitted.
func (c Completion[T]) Done() <-chan struct{} { return c.doneSoon() }

func (c pending) doneSoon() <-chan struct{} {
	o, gen, err := c.find(false)
	if err == errUnsubmitted {
		if ch := c.p.doneChan(); ch != nil {
			return ch
		}
		o, gen, err = c.find(false)
	}
	if err != nil {
		return closedChan
	}
	l := o.lane
	ch := o.doneChan(gen, l.ring)
	l.flush()
	if l.leaders.Load() == 0 {
		l.arm()
	}
	return ch
}

// doneChan returns the channel that the end of what p stands for will close; nil if p stands for something by now.
func (p *promise) doneChan() chan struct{} {
	if p.r.made("Done") != nil {
		return closedChan
	}
	p.r.doneMu.Lock()
	defer p.r.doneMu.Unlock()
	if p.state.Load() != promised {
		return nil
	}
	if p.done == nil {
		p.done = p.r.newChan()
	}
	return p.done
}

// doneChan returns the channel that o's end in this generation closes.
func (o *op) doneChan(gen uint64, r *Ring) chan struct{} {
	r.doneMu.Lock()
	defer r.doneMu.Unlock()
	var fresh chan struct{}
	for {
		s := o.state.Load()
		switch {
		case s>>genShift != gen:
			return closedChan
		case s&hasDone != 0:
			return o.done
		case s&isDone != 0:
			return closedChan
		}
		if fresh == nil {
			fresh = r.newChan()
			o.done = fresh
		}
		o.lane.watchers.Add(1) // before its end can take that back
		if o.state.CompareAndSwap(s, s|hasDone) {
			return fresh
		}
		o.lane.watchers.Add(-1)
	}
}

// begin makes p stand for o. Under both locks.
func (p *promise) begin(o *op) {
	p.r.doneMu.Lock()
	defer p.r.doneMu.Unlock()
	p.o, p.gen = o, o.gen()
	switch {
	case p.done == nil:
	case o.isDone(): // the ring broke meanwhile
		close(p.done)
	default:
		o.done = p.done
		o.lane.watchers.Add(1)
		o.state.Or(hasDone)
	}
	p.state.Store(begun)
}

// A promise stands in for an operation that has not been started: one of a Chain before Submit, or one that could not be.
type promise struct {
	state atomic.Int32
	err   error // if refused
	o     *op   // if begun
	gen   uint64
	r     *Ring
	done  chan struct{} // what Done returned before; under Ring.doneMu
}

const (
	promised int32 = iota
	begun
	refused
	refusedTaken
)

func failed(err error) pending {
	p := &promise{err: err}
	p.state.Store(refused)
	return pending{p: p}
}
