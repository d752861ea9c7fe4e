//go:build linux

package main

import (
	"runtime"
	"sync"

	"github.com/seed-9c58b644/rio"
)

// A journal makes records durable, in their order; append may be called by many at once.
type journal interface {
	append(record []byte) error
}

// A group is the records of those that share a write and a sync.
type group struct {
	buf  []byte
	done chan struct{} // closed when it is durable, or has failed
	err  error
}

func newGroup() *group {
	return &group{buf: rio.Aligned(appenders*recordSize, 0)[:0], done: make(chan struct{})}
}

// yields is how often who is about to close a group lets others run. The goroutines of the group before have just been
// woken, and would miss this one: with 1 all sides do more than with none, with 3 more than with 1.
const yields = 3

func gather() {
	for range yields {
		runtime.Gosched()
	}
}

// collector is the group that is open, and where the next one goes.
type collector struct {
	mu    sync.Mutex
	open  *group // nil if nobody waits
	end   int64
	grows bool
	align int // a group is padded to a multiple of this; 0: not at all
}

// join adds a record to the open group, and says whether it is the first in there: who then has to commit the group.
func (c *collector) join(record []byte) (g *group, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open, first = newGroup(), true
	}
	g = c.open
	g.buf = append(g.buf, record...)
	return g, first
}

// seal closes the open group and says where it goes. The lock must be held.
func (c *collector) seal() (at int64) {
	if c.align > 0 {
		b := c.open.buf
		c.open.buf = b[:(len(b)+c.align-1)/c.align*c.align] // with zeros: the memory is new
	}
	size := int64(len(c.open.buf))
	if !c.grows && c.end+size > segmentSize {
		c.end = 0
	}
	at = c.end
	c.end += size
	c.open = nil
	return at
}

// A groupLog is the bar: while one group is written and synced, the next one gathers. Who comes first commits it.
type groupLog struct {
	write func(p []byte, at int64) (int, error)
	sync  func() error
	c     collector
	busy  sync.Mutex // held by who commits
}

func (l *groupLog) append(record []byte) error {
	g, first := l.c.join(record)
	if !first {
		<-g.done
		return g.err
	}
	l.busy.Lock()
	gather()
	l.c.mu.Lock()
	at := l.c.seal()
	l.c.mu.Unlock()
	if _, g.err = l.write(g.buf, at); g.err == nil {
		g.err = l.sync()
	}
	l.busy.Unlock()
	close(g.done)
	return g.err
}

// A rioLog has several groups on their way: commit makes one durable. It counts when those before it are, too.
type rioLog struct {
	commit func(p []byte, at int64) error
	slots  chan struct{} // as many as groups may be on their way
	c      collector
	last   *group // the one sealed last
}

// newChainLog commits a group with a chain, a write and its fdatasync, in a file to be recycled.
func newChainLog(ring *rio.Ring, file *rio.File) *rioLog {
	return &rioLog{slots: make(chan struct{}, 4), commit: func(p []byte, at int64) error {
		chain := ring.Chain()
		write, synced := chain.WriteAt(file, p, at), chain.Fdatasync(file)
		if err := chain.Submit(); err != nil {
			return err
		}
		_, err := synced.Wait()
		if err == nil {
			return nil
		}
		if _, cause := write.Wait(); cause != nil {
			return cause
		}
		return err
	}}
}

func (l *rioLog) append(record []byte) error {
	g, first := l.c.join(record)
	if !first {
		<-g.done
		return g.err
	}
	l.slots <- struct{}{}
	gather()
	l.c.mu.Lock()
	before := l.last
	l.last = g
	at := l.c.seal()
	l.c.mu.Unlock()
	g.err = l.commit(g.buf, at)
	<-l.slots
	if before != nil {
		<-before.done
		if g.err == nil {
			g.err = before.err
		}
	}
	close(g.done)
	return g.err
}
