package rio_test

import (
	"bytes"
	"log"
	"sync"
)

// said is what somebody has logged.
type said struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	more chan struct{} // gets a token with each line
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buf.Write(p)
	select {
	case s.more <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (s *said) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

func (s *said) logger() *log.Logger { return log.New(s, "", 0) }
