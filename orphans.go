package rio

import (
	"runtime"
	"sync"
	"weak"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// orphans are accepted connections that nobody has taken. It does not keep them alive.
type orphans struct {
	mu   sync.Mutex
	last uint64
	m    map[uint64]weak.Pointer[Conn]
}

func (s *orphans) add(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil {
		s.m = map[uint64]weak.Pointer[Conn]{}
	}
	s.last++
	c.id = s.last
	s.m[c.id] = weak.Make(c)
}

func (s *orphans) remove(c *Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.m[c.id]
	delete(s.m, c.id)
	return ok
}

func (s *orphans) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.m {
		if c := w.Value(); c != nil {
			c.once.Do(func() { c.err = uring.CloseFD(c.fd) })
		}
	}
	s.m = nil
}

// own makes fd c's. Should c be forgotten, it is closed: no operation is in flight then, for those hold c.
func (c *Conn) own(r *Ring, fd int) {
	c.init(r, fd)
	c.socket = true
	runtime.SetFinalizer(c, func(c *Conn) {
		c.r.orphans.remove(c)
		c.once.Do(func() { c.closeFD() })
	})
}

// arrive makes fd, which o has accepted, c's. Until somebody takes it, it is an orphan. Under cq.mu.
func (c *Conn) arrive(r *Ring, fd int, o *op) {
	c.own(r, fd)
	c.foreign = o.h == nil
	r.orphans.add(c)
}

// accepted is what the taker of an accept gets: c, unless the Ring has closed it.
func (c *Conn) accepted(sa *uring.Sockaddr) (*Conn, error) {
	if !c.r.orphans.remove(c) {
		return nil, ErrClosed
	}
	c.sotype, _ = uring.SocketType(c.fd)
	c.remote = c.addr(sa)
	if c.foreign && c.sotype == uring.SockStream && sa.Family() != uring.AFUnix {
		uring.TuneTCP(c.fd) // a Listener has told its connections already
	}
	return c, nil
}
