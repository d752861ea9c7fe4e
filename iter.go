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
// Deadlines are for Accept alone. From its second turn on one request accepts one connection after the other
// (IORING_ACCEPT_MULTISHOT, Linux 5.19), also while the loop is busy; it ends with the loop. Connections that it has
// accepted by then and nobody has had are for Accept, Ring.Accept, Serve and the next loop, and are closed with l.
func (l *Listener) Conns(ctx context.Context) iter.Seq2[*Conn, error] {
	return func(yield func(*Conn, error) bool) {
		if l == nil || l.r == nil || ctx == nil {
			yield(nil, invalid("accept", "nil Listener or context"))
			return
		}
		t := l.in.loop(&l.handle, kindAccepts)
		defer t.leave()
		for {
			c, err := t.conn(ctx)
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

// conn is the next connection.
func (t *taker) conn(ctx context.Context) (*Conn, error) {
	s, o, err := t.next(ctx)
	switch {
	case err != nil:
		return nil, err
	case o != nil:
		return take[*Conn](o, o.retire())
	}
	return s.taken()
}

// temporary reports whether Accept may succeed after err.
func temporary(err error) bool {
	t, ok := err.(interface{ Temporary() bool })
	return ok && t.Temporary()
}

const (
	receivingSize = 16 << 10
	datagramSize  = 64 << 10
)

// receiving are buffers for what Received doesn't get by a multishot request.
var receiving = sync.Pool{New: func() any { return new([receivingSize]byte) }}

// Received is what c receives, piece by piece, until the stream ends, ctx does, or the loop is left:
//
//	for p, err := range c.Received(ctx) {
//		if err != nil {
//			return err // ctx's; net.ErrClosed; a reset
//		}
//		parse(p)
//	}
//
// The memory of a piece is the loop's until its next turn; built with -race, it is overwritten then. The end of the stream
// just ends the loop. Deadlines are for Read alone. A piece of a socket for datagrams is one of them, or its first 64 KiB,
// and each is received by itself, into 64 KiB of the loop's own; what follows is about streams.
//
// With several Ps it waits on Go's poller, as Read does, and has no buffer meanwhile. With one P, or what wants to see every
// operation (Profile, TraceInFlight), one request receives one piece after the other from its second turn on
// (IORING_RECV_MULTISHOT, Linux 6.0), also while the loop is busy, into 64 buffers of 8 KiB that all loops of the Ring share;
// who finds none receives as before, so a slow loop holds up its peer and nobody else. The request ends with the loop. What it
// has received by then, or the error that has ended it, is for the next Read, Received or Ring.Recv, in order. What has an
// Ordering, a Chain, ReadAt and what goes by way of SyscallConn don't see it.
func (c *Conn) Received(ctx context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if c == nil || c.r == nil || ctx == nil {
			yield(nil, invalid("recv", "nil Conn or context"))
			return
		}
		t := c.rd.loop(&c.handle, kindReceives)
		defer t.leave()
		t.never = c.sotype != uring.SockStream
		ends := !t.never || c.sotype == uring.SockSeqpacket
		for {
			p, err := t.received(ctx)
			if err != nil {
				yield(nil, c.opError("read", err))
				return
			}
			if len(p) == 0 && ends || !yield(p, nil) {
				return
			}
		}
	}
}

// received is the next piece; at the end of the stream it is empty.
func (t *taker) received(ctx context.Context) ([]byte, error) {
	t.giveBack()
	s, o, err := t.next(ctx)
	switch {
	case err != nil:
		return nil, err
	case o != nil:
		n, err := take[int](o, o.retire())
		s.p = t.into()[:n:n]
		t.piece = s
		return s.p, err
	}
	t.piece = s
	return s.p, s.error("recv")
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
