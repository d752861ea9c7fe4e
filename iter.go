package rio

import (
	"context"
	"errors"
	"iter"
	"sync"
	"syscall"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// Conns accepts connections until ctx ends, l is closed, or the loop is left:
//
//	for conn, err := range l.Conns(ctx) {
//		if err != nil {
//			return err // ctx's, net.ErrClosed; or one like EMFILE: the loop may go on, after a pause
//		}
//		go serve(conn)
//	}
//
// Deadlines are for Accept alone. When the loop is over nothing is left in the kernel, and every connection that was
// accepted has been the loop's.
func (l *Listener) Conns(ctx context.Context) iter.Seq2[*Conn, error] {
	return func(yield func(*Conn, error) bool) {
		if l == nil || l.r == nil || ctx == nil {
			yield(nil, invalid("accept", "nil Listener or context"))
			return
		}
		for {
			var c *Conn
			o, err := l.r.runContext(ctx, &l.handle, &call{kind: kindAccept})
			if err == nil {
				c, err = take[*Conn](o, o.retire())
			}
			switch {
			case errors.Is(err, syscall.ECONNABORTED):
				continue // it was gone before anybody took it
			case err != nil:
				err = l.opError("accept", err)
			default:
				c.network = l.network
			}
			if !yield(c, err) || err != nil && (ctx.Err() != nil || !temporary(err)) {
				return
			}
		}
	}
}

// temporary reports whether Accept may succeed after err.
func temporary(err error) bool {
	t, ok := err.(interface{ Temporary() bool })
	return ok && t.Temporary()
}

// receiving are buffers for Received.
var receiving = sync.Pool{New: func() any { return new([16 << 10]byte) }}

// Received is what c receives, piece by piece, until the stream ends, ctx does, or the loop is left:
//
//	for p, err := range c.Received(ctx) {
//		if err != nil {
//			return err // ctx's; net.ErrClosed; a reset
//		}
//		parse(p)
//	}
//
// The memory of a piece is the loop's until its next turn. The end of the stream just ends the loop. Deadlines are for
// Read alone. What has not been received when the loop is left is there for the next Read.
func (c *Conn) Received(ctx context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if c == nil || c.r == nil || ctx == nil {
			yield(nil, invalid("recv", "nil Conn or context"))
			return
		}
		stream := c.sotype == uring.SockStream || c.sotype == uring.SockSeqpacket
		buf := receiving.Get().(*[16 << 10]byte)
		defer func() {
			if c.r.broken() == nil { // the kernel may have it still
				receiving.Put(buf)
			}
		}()
		for {
			var n int
			o, err := c.r.runContext(ctx, &c.handle, &call{kind: kindRecv, buf: buf[:]})
			if err == nil {
				n, err = take[int](o, o.retire())
			}
			if err != nil {
				yield(nil, c.opError("read", err))
				return
			}
			if n == 0 && stream || !yield(buf[:n:n], nil) {
				return
			}
		}
	}
}

// runContext runs one operation on h, which takes no ticket, until ctx ends. The caller finishes what is returned with
// take.
func (r *Ring) runContext(ctx context.Context, h *handle, c *call) (*op, error) {
	if err := ctx.Err(); err != nil {
		return nil, err // nothing is submitted
	}
	c.quiet = true
	o, gen, err := r.beginOn(h, c, None)
	if err != nil {
		return nil, err
	}
	o.claim(gen)
	if !r.await(o, ctx) {
		r.cancel(o, gen, 0)
		r.await(o, nil)
		if o.res == errCanceled && o.state.Load()&(isRingClosed|isFileClosed) == 0 {
			o.acquire()
			o.retire()
			r.recycle(o)
			return nil, ctx.Err()
		}
	}
	return o, nil
}
