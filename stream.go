package rio

import (
	"context"
	"io"
	"net"
	"sync"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// A Stream is a connection that a Server has accepted. What it receives goes to its Handler; its methods are for any
// goroutine, the Handler's calls included, unless they say otherwise.
type Stream struct {
	loop *loop
	h    Handler
	peer net.Addr

	// The loop's own.
	id  uint64 // its place in the loop's table and that one's generation, as in user_data
	in  *chunk // what is received into, where the kernel takes no buffers by itself; or the last of a circle, if isHolding
	has doings
	err error

	mu     sync.Mutex
	fd     int32
	asked  wishes
	unsent int
	out    *chunk // the first one is being sent
	last   *chunk
	empty  chan struct{} // closed when everything is sent, or never will be; made by Flush
}

// wishes are what the methods want of the loop, and what it has told them. Under mu.
type wishes uint8

const (
	isPosted wishes = 1 << iota // in the loop's inbox
	wantClose
	wantAbort
	isFinished
)

// Write queues p, which it copies, and returns at once: the loop sends it with whatever else is to be sent, in the order
// of the Writes. All of p is taken, or nothing, with an error that is a net.ErrClosed, if c was closed. That it was taken
// doesn't mean that the peer has it; what goes wrong later is told to Handler.Closed. Who writes more than the Handler is
// asked for calls Flush now and then, to be as slow as the peer.
func (c *Stream) Write(p []byte) (int, error) {
	if !c.made() {
		return 0, invalid("write", "nil Stream")
	}
	if uring.Race {
		uring.RacePublish()
	}
	var first, last *chunk
	if len(p) > 4*bigChunk { // it takes its time, and the loop waits for mu, with all its connections
		first, last = c.loop.spare.fill(p)
	}
	c.mu.Lock()
	if c.asked&(wantClose|wantAbort|isFinished) != 0 {
		c.mu.Unlock()
		for k := first; k != nil; k = k.next {
			k.pins.Release()
		}
		return 0, c.writeError()
	}
	if first != nil {
		c.queue(first, last, len(p))
	} else {
		c.push(p)
	}
	post := c.asked&isPosted == 0
	c.asked |= isPosted
	c.mu.Unlock()
	if post {
		c.loop.post(c)
	}
	return len(p), nil
}

// Flush returns when everything that was written is with the socket, or ctx ends. It is not for the Handler's calls:
// they hold up the loop that sends.
func (c *Stream) Flush(ctx context.Context) error {
	if !c.made() || ctx == nil {
		return invalid("flush", "nil Stream or context")
	}
	c.mu.Lock()
	if c.unsent == 0 || c.asked&isFinished != 0 {
		defer c.mu.Unlock()
		return c.lost()
	}
	if c.empty == nil {
		c.empty = c.loop.v.l.r.newChan() // of no synctest bubble: it is the loop that closes it
	}
	empty := c.empty
	c.mu.Unlock()
	select {
	case <-empty:
	case <-ctx.Done():
		return ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost()
}

// lost is an error if c ended with something unsent. Under mu.
func (c *Stream) lost() error {
	if c.unsent > 0 && c.asked&isFinished != 0 {
		err := c.writeError()
		err.Op = "flush"
		return err
	}
	return nil
}

func (c *Stream) writeError() *net.OpError {
	return &net.OpError{Op: "write", Net: c.loop.v.l.addr.Network(), Addr: c.peer, Err: errConnClosed}
}

// Close closes c when everything that was written is with the socket; Data is not called any more. A peer that doesn't
// read can hold that up: Abort doesn't wait for it. Closing twice is harmless.
func (c *Stream) Close() error { return c.ask(wantClose) }

// Abort closes c without sending what was written.
func (c *Stream) Abort() error { return c.ask(wantClose | wantAbort) }

func (c *Stream) ask(w wishes) error {
	if !c.made() {
		return invalid("close", "nil Stream")
	}
	c.mu.Lock()
	post := c.asked&(isPosted|isFinished) == 0 && c.asked&w != w
	c.asked |= w
	if post {
		c.asked |= isPosted
	}
	c.mu.Unlock()
	if post {
		c.loop.post(c)
	}
	return nil
}

// Unsent is how many bytes of what was written the socket has not taken yet.
func (c *Stream) Unsent() int {
	if !c.made() {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unsent
}

// LocalAddr is this end's address; nil when c is closed. Handler.Closed can still ask.
func (c *Stream) LocalAddr() net.Addr {
	if !c.made() {
		return nil
	}
	var sa uring.Sockaddr
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 || uring.Sockname(int(c.fd), &sa) != nil {
		return nil
	}
	return (&Conn{sotype: uring.SockStream}).addr(&sa)
}

// RemoteAddr is the peer's address; 0.0.0.0:0 or [::]:0 if it had reset the connection before that was c.
func (c *Stream) RemoteAddr() net.Addr {
	if !c.made() {
		return nil
	}
	return c.peer
}

// made reports whether a Server has made c.
func (c *Stream) made() bool { return c != nil && c.loop != nil }

var _ io.WriteCloser = (*Stream)(nil)
