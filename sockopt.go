package rio

import (
	"math"
	"net"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// The socket options of a Conn are package net's: those of TCP are an error on other connections.

// SetNoDelay says whether small pieces are sent at once (TCP_NODELAY). They are, unless that is switched off.
func (c *Conn) SetNoDelay(noDelay bool) error { return c.option(uring.NoDelay, number(noDelay)) }

// SetReadBuffer sets the size of the kernel's buffer for what comes in (SO_RCVBUF).
func (c *Conn) SetReadBuffer(bytes int) error { return c.buffer(uring.RecvBuffer, bytes) }

// SetWriteBuffer sets the size of the kernel's buffer for what goes out (SO_SNDBUF).
func (c *Conn) SetWriteBuffer(bytes int) error { return c.buffer(uring.SendBuffer, bytes) }

// SetLinger says what Close does with what is still to be sent (SO_LINGER): the kernel goes on sending if sec is negative,
// drops it if sec is 0, and tries for so many seconds otherwise.
func (c *Conn) SetLinger(sec int) error {
	return c.set(func(fd int) error { return uring.SetLinger(fd, whole(sec)) })
}

// SetKeepAlive says whether a peer that has fallen silent is asked if it is still there (SO_KEEPALIVE).
func (c *Conn) SetKeepAlive(keepalive bool) error {
	return c.option(uring.KeepAlive, number(keepalive))
}

// SetKeepAlivePeriod sets after how long a silence that is asked (TCP_KEEPIDLE).
func (c *Conn) SetKeepAlivePeriod(d time.Duration) error {
	return c.keepAlive(net.KeepAliveConfig{Idle: d, Interval: -1, Count: -1})
}

// SetKeepAliveConfig sets all of that; what is 0 has package net's default, what is negative stays as it is.
func (c *Conn) SetKeepAliveConfig(config net.KeepAliveConfig) error {
	if err := c.SetKeepAlive(config.Enable); err != nil {
		return err
	}
	return c.keepAlive(config)
}

// keepAlive sets the numbers in config.
func (c *Conn) keepAlive(config net.KeepAliveConfig) error {
	const silence, probes = 15, 9 // package net's defaults, in seconds and times
	for _, o := range []struct {
		uring.Option
		v, fallback int
	}{
		{uring.KeepIdle, seconds(config.Idle), silence},
		{uring.KeepInterval, seconds(config.Interval), silence},
		{uring.KeepCount, config.Count, probes},
	} {
		if o.v == 0 {
			o.v = o.fallback
		}
		if o.v < 0 {
			continue
		}
		if err := c.option(o.Option, o.v); err != nil {
			return err
		}
	}
	return nil
}

// seconds is d in whole seconds, upwards: half a second of silence is not none.
func seconds(d time.Duration) int {
	if d < 0 {
		return -1
	}
	n := d / time.Second
	if d%time.Second > 0 {
		n++
	}
	return int(min(n, math.MaxInt32)) // which is too long, too
}

// whole is v, or the largest number that the kernel takes: of a larger one it would see the lower half, which may be 0.
func whole(v int) int { return min(v, math.MaxInt32) }

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (c *Conn) option(o uring.Option, v int) error {
	return c.set(func(fd int) error { return uring.SetOption(fd, o, whole(v)) })
}

func (c *Conn) buffer(o uring.Option, v int) error {
	err := c.option(o, v)
	if e, ok := err.(*net.OpError); ok {
		err = c.setError(e.Err)
	}
	return err
}

// set calls f with the descriptor, which stays open meanwhile.
func (c *Conn) set(f func(fd int) error) error {
	if c == nil || c.r == nil {
		return invalid("set", "nil Conn")
	}
	if err := c.use(); err != nil {
		return c.opError("set", err)
	}
	defer c.put()
	if err := f(c.fd); err != nil {
		return c.opError("set", err)
	}
	return nil
}
