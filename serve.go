package rio

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
)

// A Server says what becomes of a Listener's connections when Listener.Serve runs them: a few loops, each a thread with
// a kernel ring of its own, receive for all of them and call the handlers themselves. No goroutine belongs to a
// connection, and no buffer while it is idle; a message costs no switch between goroutines. It is for servers of many
// connections whose handlers don't wait for anything. Where they do, or where straight code is worth more, use Accept
// and a goroutine for each connection.
//
// A Server is not changed while it serves. It may serve several Listeners.
type Server struct {
	// Open is called for each connection, on the loop that it belongs to from then on. What it returns is told what
	// happens to the connection; the same Handler may be returned for all of them. If it is nil, the connection is closed.
	Open func(c *Stream) Handler

	// Loops is how many threads there are. If 0, it is half of GOMAXPROCS, rounded up: most of what a loop does is the
	// kernel's work of sending and receiving, and a loop that has enough of it does so in batches; the other half is for
	// other goroutines. A Handler that computes a lot may want as many as GOMAXPROCS.
	Loops int

	// MaxUnsent bounds what a slow reader costs: while more bytes of a Stream than that have not been taken by its socket,
	// nothing is received from it, but 2 MiB at most that were on their way, and Data is not called. If 0, it is 256 KiB.
	// What Data hands to a goroutine isn't counted: a Handler that does so bounds it, and Aborts a Stream that goes beyond.
	MaxUnsent int
}

// A Handler is told what happens to a Stream. The calls for one Stream come one after the other, always from the same
// thread; those for others wait meanwhile. So a Handler doesn't block: what takes long goes to a goroutine, which may
// write to the Stream later.
//
// A Handler that panics ends the process: as in any goroutine that doesn't recover, nobody knows what it has left half
// done. runtime.Goexit (testing.T.FailNow calls it) is a panic here too. A Handler doesn't wait for the end of Serve, so
// it doesn't close the Listener or the Ring, either.
type Handler interface {
	// Data is called with what was received. p is valid until Data returns, and not longer: copy what is to be kept.
	// Until then it is the Handler's to change; built with -race, it is overwritten afterwards.
	Data(c *Stream, p []byte)

	// Closed is the last call. err is nil if the peer has ended its stream, or Close was called, and the socket has taken
	// everything that was written: a peer whose last bytes nobody has read may be reset all the same, and lose what it has not read yet.
	// err is a net.ErrClosed after Abort and at the end of Serve.
	Closed(c *Stream, err error)
}

// An Ender is a Handler that goes on when the peer has ended its stream: End is called then, and the Stream stays open
// for writing until it is closed. Without it, what was written by then is sent, and the Stream closed.
type Ender interface {
	Handler
	End(c *Stream)
}

// Serve accepts connections, and runs them as s says, until ctx ends, which is no error, or l or its Ring is closed, or
// the kernel can't go on. Then all Streams are closed: what the sockets take at once of what was written is still sent, and no more, of
// those too that Stream.Close was called for. To drain: have Open return nil for new ones, Close each Stream, wait for their Handlers'
// last calls, and end ctx then.
// When Serve returns, every Handler has had its last call.
//
// While it runs, l belongs to it: connections that somebody else accepts are lost to s.
func (l *Listener) Serve(ctx context.Context, s *Server) error {
	if l == nil || l.r == nil {
		return invalid("serve", "nil Listener")
	}
	switch {
	case ctx == nil:
		return invalid("serve", "nil context")
	case s == nil || s.Open == nil:
		return invalid("serve", "a Server without Open")
	case s.Loops < 0 || s.MaxUnsent < 0:
		return invalid("serve", "Loops or MaxUnsent is negative")
	}
	if err := l.r.usable("serve"); err != nil {
		return err
	}
	if ctx.Err() != nil && !l.closed() {
		return nil // nothing is accepted, lest it be closed at once
	}
	v := newService(l, s)
	if err := l.r.services.add(v); err != nil {
		return l.opError("serve", err)
	}
	defer close(v.gone) // whatever happens: Ring.Close may wait for it
	defer l.r.services.remove(v)
	if !l.get() {
		return l.opError("serve", l.closedError())
	}
	defer l.put()
	defer restartAccepts() // its own have ended
	defer context.AfterFunc(ctx, func() { v.end(nil) })()
	if err := v.run(); err != nil {
		return l.opError("serve", err)
	}
	return nil
}

// A service is one call of Serve: its loops, and why it ends.
type service struct {
	l        *Listener
	open     func(*Stream) Handler
	limit    int // MaxUnsent
	loops    []*loop
	running  []*loop // those that have got what they need; the first one accepts
	once     sync.Once
	err      error
	stopping atomic.Bool // err is written
	gone     chan struct{}
}

func newService(l *Listener, s *Server) *service {
	n, limit := s.Loops, s.MaxUnsent
	if n == 0 {
		n = (runtime.GOMAXPROCS(0) + 1) / 2
	}
	if limit == 0 {
		limit = 256 << 10
	}
	v := &service{l: l, open: s.Open, limit: limit, gone: l.r.newChan()}
	for range n {
		v.loops = append(v.loops, &loop{v: v})
	}
	return v
}

// run runs the loops until the last one is over. None accepts before all have what they need, or can't: many loops' queues may be more
// than may be locked (RLIMIT_MEMLOCK), and fewer serve, too.
func (v *service) run() error {
	var over sync.WaitGroup
	ready, start := make(chan error), make(chan bool)
	for _, lp := range v.loops {
		over.Go(func() { lp.run(ready, start) })
	}
	var failed error
	for range v.loops {
		if err := <-ready; err != nil && (failed == nil || errors.Is(failed, syscall.ENOMEM)) {
			failed = err
		}
	}
	for _, lp := range v.loops {
		if lp.k != nil {
			v.running = append(v.running, lp)
		}
	}
	if len(v.running) > 0 && errors.Is(failed, syscall.ENOMEM) {
		v.l.r.log.Warn("rio: no memory for all of Serve's loops", "error", failed, "loops", len(v.running), "wanted", len(v.loops))
		failed = nil
	}
	for range v.loops {
		start <- failed == nil
	}
	over.Wait()
	if failed != nil {
		return failed
	}
	return v.err
}

// end makes run return err, unless another reason came first.
func (v *service) end(err error) {
	v.once.Do(func() {
		v.err = err
		v.stopping.Store(true)
		for _, lp := range v.loops {
			lp.nudge()
		}
	})
}

// lightest is the loop with the fewest connections.
func (v *service) lightest() *loop {
	best := v.running[0]
	for _, lp := range v.running[1:] {
		if lp.load.Load() < best.load.Load() {
			best = lp
		}
	}
	return best
}
