package rio

import "context"

// A Completion is the result-to-be of an operation. It is a small value, copied freely; all copies stand for the same
// operation. The first Wait, WaitContext or successful TryWait uses it up: any later one returns ErrWaited. Forgetting
// it is harmless: the operation runs, and its buffer is held until the kernel is done with it.
//
// T is int for a number of bytes, *Conn for Accept, struct{} where there is only success.
type Completion[T any] struct{ pending }

// pending is what of a Completion does not depend on T.
type pending struct {
	o   *op
	gen uint64
	p   *promise
}

// start is what every operation of Ring comes down to.
func (r *Ring) start(c *call, order []Ordering) pending {
	var ord Ordering
	for _, o := range order {
		ord |= o
	}
	var p pending
	var err error
	if c.kind == kindNop && ord == None && r.isMade() {
		p.o, p.gen, err = r.route(c.kind, nil, None).beginOn(nil, c, None) // there is nothing to check or to find
	} else {
		p.o, p.gen, err = r.begin(c, ord)
	}
	if err != nil {
		r.missed(ord)
		return failed(err)
	}
	return p
}

// find returns the operation that c stands for. An error is c's result, which take uses up.
func (c pending) find(take bool) (o *op, gen uint64, err error) {
	p := c.p
	if p == nil {
		if c.o == nil {
			return nil, 0, invalid("Completion", "it is the zero value, of no operation")
		}
		return c.o, c.gen, nil
	}
	switch p.state.Load() {
	case begun:
		return p.o, p.gen, nil
	case promised:
		return nil, 0, errUnsubmitted
	}
	if take && !p.state.CompareAndSwap(refused, refusedTaken) {
		return nil, 0, ErrWaited
	}
	return nil, 0, p.err
}

// Wait returns the operation's result when the kernel is done with it, and with its buffer. It submits the operation
// if that has not happened yet.
func (c Completion[T]) Wait() (v T, err error) {
	o, gen := c.o, c.gen
	if o == nil {
		if o, gen, err = c.find(true); err != nil {
			return v, err
		}
	}
	res, ok := o.snatch(gen)
	helped := false
	if !ok && !o.over(gen) && !o.lane.shared() {
		o.lane.mindOthers()
		o.lane.flush() // not in help: see uring.Ring.Enter
		o.lane.reap()
		res, ok = o.snatch(gen)
		helped = true
	}
	if ok {
		if helped {
			o.lane.takeTurns()
		}
		if p, ok := any(&v).(*int); ok {
			*p = int(res)
		}
		return v, nil
	}
	phase, done := o.seize(gen)
	if !done {
		if !o.claim(gen) { // before more of o is looked at: by now it may be another operation
			return v, ErrWaited
		}
		if helped {
			o.lane.linger(o, nil) // the rest of it
		} else {
			o.lane.await(o, nil)
		}
		phase = o.retire()
	}
	return take[T](o, phase)
}

// WaitContext is Wait that gives up when ctx ends: it cancels the operation, waits until the kernel has let go of it,
// and returns the context's error, unless the operation was faster. The operation was started before, so a context that
// has ended already may still find it done, or on its way: only what is held back, behind a Link or Drain, is sure not to
// begin any more. On a regular file hardly anything can be cancelled once it has begun: there it is Wait (see Cancel).
func (c Completion[T]) WaitContext(ctx context.Context) (v T, err error) {
	if ctx == nil {
		return v, invalid("WaitContext", "nil context")
	}
	if ctx.Done() == nil { // it never ends
		return c.Wait()
	}
	o, gen, err := c.find(true)
	if err != nil {
		return v, err
	}
	if !o.claim(gen) {
		return v, ErrWaited
	}
	if ctx.Err() != nil || !o.lane.await(o, ctx) {
		o.lane.cancel(o, gen, 0) // what is held back still never reaches the kernel
		o.lane.await(o, nil)
		if o.res == errCanceled && o.state.Load()&(isCancelled|isRingClosed|isFileClosed) == isCancelled {
			take[T](o, o.retire())
			return v, ctx.Err()
		}
	}
	return take[T](o, o.retire())
}

// TryWait returns the result if the operation is done; ok says whether it is, or another has waited for it (ErrWaited). It submits
// and reads completions, so that a loop around it ends, but never blocks. An operation of a Chain is not done, and err says why, until
// Submit.
func (c Completion[T]) TryWait() (v T, ok bool, err error) {
	o, gen, err := c.find(true)
	if err != nil {
		return v, err != errUnsubmitted, err
	}
	phase, same := o.current(gen)
	if same && phase&isDone == 0 {
		o.lane.flush()
		o.lane.catchUp()
		o.lane.reap()
		phase, same = o.current(gen)
	}
	if same && phase&(isDone|isClaimed) == 0 {
		return v, false, nil
	}
	if !same || !o.claim(gen) {
		return v, true, ErrWaited
	}
	v, err = take[T](o, o.retire())
	return v, true, err
}

// Cancel asks the kernel to stop the operation (IORING_OP_ASYNC_CANCEL). The Completion still resolves: with
// syscall.ECANCELED, or with its result if that was faster; an operation on a regular file usually is. Cancelling what
// is done returns nil.
func (c Completion[T]) Cancel() error { return c.cancel() }

func (c pending) cancel() error {
	o, gen, err := c.find(false)
	if err == errUnsubmitted || o == nil && c.p == nil {
		return err
	}
	if err == nil {
		o.lane.cancel(o, gen, 0)
	}
	return nil
}

// take takes the result out of o, which is retired, and lets go of it.
func take[T any](o *op, phase uint64) (v T, err error) {
	o.acquire()
	if o.res < 0 {
		err = o.error(phase)
	} else if kinds[o.kind].counts || o.kind == kindAccept {
		switch p := any(&v).(type) {
		case *int:
			*p = int(o.res)
		case **Conn:
			*p, err = o.x.conn.accepted(&o.x.sa)
		}
	}
	o.lane.recycle(o)
	return v, err
}
