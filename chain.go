package rio

import (
	"errors"
	"fmt"
	"os"
	"sync"
)

// A Chain is a sequence of operations of which each begins only if the one before has succeeded in full, and that
// nothing gets in between of, whatever other goroutines start on the Ring. Nothing is held, and nothing starts, until
// Submit. Its operations are those of Ring, without an Ordering; see there. Each Chain is submitted once; who waits for one of its
// Completions before that is told so, and may wait again.
type Chain struct {
	r     *Ring
	mu    sync.Mutex
	calls []call
	ps    []*promise
	done  bool
	small [4]promise
}

// Chain returns an empty Chain on r.
func (r *Ring) Chain() *Chain { return &Chain{r: r} }

// add is what every operation of Chain comes down to.
func (c *Chain) add(call *call) pending {
	name := kinds[call.kind].name
	if c == nil {
		return failed(invalid(name, "nil Chain"))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		return failed(invalid(name, "the Chain has been submitted"))
	}
	var p *promise
	if n := len(c.ps); n < len(c.small) {
		p = &c.small[n]
	} else {
		p = new(promise)
	}
	p.r = c.r
	c.calls = append(c.calls, *call)
	c.ps = append(c.ps, p)
	return pending{p: p}
}

// refuse makes p stand for an operation that failed to start.
func (p *promise) refuse(err error) {
	if p.r != nil {
		p.r.doneMu.Lock()
		defer p.r.doneMu.Unlock()
	}
	p.err = err
	p.state.Store(refused)
	if p.done != nil {
		close(p.done)
	}
}

// Submit starts the operations, in their order, all or none. It takes all their tickets at once, and waits if there are
// too few. An error means that it has started nothing; every Completion of the Chain then resolves with it. A Chain that is
// empty, or longer than the submission queue, is refused; so is one that was submitted before, whose Completions go on.
func (c *Chain) Submit() error {
	if c == nil {
		return invalid("Chain.Submit", "nil Chain")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		return invalid("Chain.Submit", "the Chain has been submitted already")
	}
	c.done = true
	err := errOddControl // unless a Control panics, or ends its goroutine
	defer func() {
		if err != nil {
			for _, p := range c.ps {
				p.refuse(err)
			}
		}
		c.calls = nil
	}()
	err = c.r.submitChain(c)
	return err
}

// errOddControl is why a Chain was not submitted whose Submit has not returned.
var errOddControl = errors.New("rio: Chain.Submit: a RawConn's Control has not returned")

func (r *Ring) submitChain(c *Chain) error {
	if err := r.made("Chain.Submit"); err != nil {
		return err
	}
	switch n := len(c.calls); {
	case n == 0:
		return badArg("Chain.Submit", "the Chain is empty")
	case n > int(r.k.SQ.Entries()):
		return badArg("Chain.Submit", fmt.Sprintf("%d operations do not fit into a submission queue of %d", n, r.k.SQ.Entries()))
	}
	c.calls[len(c.calls)-1].mode &^= c.calls[len(c.calls)-1].waitAll() // nothing hangs on the last one
	targets := make([]target, len(c.calls))
	files := uint32(0)
	for i := range c.calls {
		k := &c.calls[i]
		err := k.check(None)
		if err == nil {
			targets[i], err = r.find(k)
		}
		if err != nil {
			return fmt.Errorf("rio: Chain.Submit: operation %d: %w", i+1, err)
		}
		if targets[i].lent {
			files++
		}
	}
	ops, err := r.prepareChain(c, targets, files)
	if err != nil {
		return err
	}
	coupled := false
	defer func() {
		if !coupled { // an error; or a Control has panicked, or ended its goroutine
			for _, o := range ops {
				r.abandon(o, o.gen())
			}
		}
	}()
	for i, t := range targets {
		if !t.lent {
			continue
		}
		if err := r.lend(ops[i], t.raw); err != nil {
			return fmt.Errorf("rio: Chain.Submit: operation %d: %w", i+1, foreignError(kinds[c.calls[i].kind].name, err))
		}
	}
	coupled = true
	r.couple(c, ops)
	r.started()
	return nil
}

// prepareChain takes all tickets, and every handle, at once, as beginOn does for one.
func (r *Ring) prepareChain(c *Chain, targets []target, files uint32) ([]*op, error) {
	if err := r.admit(uint32(len(targets)), files); err != nil {
		return nil, err
	}
	for i, t := range targets {
		if t.h == nil || t.h.get() {
			continue
		}
		for _, got := range targets[:i] {
			got.h.put()
		}
		r.sq.mu.Unlock()
		r.tickets.put(uint32(len(targets)))
		r.grant()
		err := os.NewSyscallError(kinds[c.calls[i].kind].name, t.h.closedError())
		return nil, fmt.Errorf("rio: Chain.Submit: operation %d: %w", i+1, err)
	}
	ops := make([]*op, len(targets))
	for i := range targets {
		ops[i] = r.prepare(&c.calls[i], targets[i].h)
		if targets[i].lent {
			ops[i].setForeign(r, &targets[i])
		}
	}
	r.sq.mu.Unlock()
	return ops, nil
}

// couple starts the Chain's operations: as few groups as can be, each hanging on the last one of the group before.
func (r *Ring) couple(c *Chain, ops []*op) {
	r.lock()
	defer r.unlock()
	var head, g *group
	for i, o := range ops {
		r.join(o)
		if i > 0 {
			o.fate |= fateOrdered
		}
		p := c.ps[i]
		p.begin(o)
		if g != nil && r.mayLink(g) {
			g.last.next, g.last, o.in = o, o, g
			g.n++
			continue
		}
		next := &group{train: train{first: o, last: o, n: 1}}
		o.in = next
		if g != nil {
			next.waits = 1
			g.last.then = next
		} else {
			head = next
		}
		g = next
	}
	r.release(head)
}
