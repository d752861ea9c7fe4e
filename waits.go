package rio

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"sync"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// waits are what the Conns of a Ring wait on, for its Close to end.
type waits struct {
	mu   sync.Mutex
	m    map[*readiness]struct{}
	gone uint64 // how often those have waited that are gone
}

func (s *waits) add(w *readiness) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil {
		s.m = make(map[*readiness]struct{})
	}
	s.m[w] = struct{}{}
}

func (s *waits) remove(w *readiness) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.m[w]; ok {
		delete(s.m, w)
		s.gone += (w.waited.Load() + 1) / 2
	}
}

// count adds what was waited for.
func (s *waits) count(t *Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.Completed += s.gone
	t.Started += s.gone
	for w := range s.m {
		n := w.waited.Load()
		t.Completed += n / 2
		t.Started += (n + 1) / 2
	}
}

// end is called after closing was set: who comes later sees that.
func (s *waits) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.m {
		w.end()
	}
}

// settle returns when nobody waits any more, after end.
func (s *waits) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.m {
		for w.waited.Load()%2 != 0 {
			runtime.Gosched()
		}
	}
}

// closeFD closes c's descriptor.
func (c *Conn) closeFD() error {
	w := c.rd.ready.Load()
	if w == nil {
		return uring.CloseFD(c.fd)
	}
	err := w.file.Close()
	c.r.waits.remove(w)
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = os.NewSyscallError("close", pe.Err)
	}
	return err
}
