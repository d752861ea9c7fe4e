package rio

import "sync"

// services are those that a Ring's Close, or a Listener's, has to end.
type services struct {
	mu     sync.Mutex
	all    map[*service]struct{}
	closed bool
}

func (s *services) add(v *service) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return ErrClosed
	case v.l.ended:
		return errConnClosed
	}
	if s.all == nil {
		s.all = map[*service]struct{}{}
	}
	s.all[v] = struct{}{}
	return nil
}

func (s *services) remove(v *service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, v)
}

// endOf ends those of l, and lets no other begin.
func (s *services) endOf(l *Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.ended = true
	for v := range s.all {
		if v.l == l {
			v.end(errConnClosed)
		}
	}
}

// end ends all, and returns when they are gone.
func (s *services) end() {
	s.mu.Lock()
	s.closed = true
	var gone []chan struct{}
	for v := range s.all {
		v.end(ErrClosed)
		gone = append(gone, v.gone)
	}
	s.mu.Unlock()
	for _, c := range gone {
		<-c
	}
}
