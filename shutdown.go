package rio

import "github.com/seed-9c58b644/rio/internal/uring"

// CloseRead shuts down the receiving side (shutdown(2), SHUT_RD).
func (c *Conn) CloseRead() error { return c.shutdown(false) }

// CloseWrite shuts down the sending side: the peer reads the end of the stream (shutdown(2), SHUT_WR).
func (c *Conn) CloseWrite() error { return c.shutdown(true) }

func (c *Conn) shutdown(write bool) error {
	if c == nil || c.r == nil {
		return invalid("close", "nil Conn")
	}
	if err := c.use(); err != nil {
		return c.opError("close", err)
	}
	defer c.put()
	if err := uring.Shutdown(c.fd, write); err != nil {
		return c.opError("close", err)
	}
	return nil
}
