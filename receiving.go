package rio

import (
	"os"
	"syscall"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// receive starts or stops receiving. A connection with too much unsent is left alone until half of that is gone.
func (l *loop) receive(c *Stream, asked wishes, unsent int) {
	switch {
	case unsent > l.v.limit:
		c.has |= isHeldUp
	case unsent <= l.v.limit/2:
		c.has &^= isHeldUp
	}
	if c.has&(isHolding|isHeldUp) == isHolding {
		if l.handOver(c); c.closing() {
			asked |= wantClose
		}
	}
	wanted := asked&wantClose == 0 && c.has&(isEnded|isOver|isLast|isHeldUp|isHolding) == 0
	switch {
	case wanted && c.has&isReceiving == 0:
		if l.bufs != nil {
			l.request().FillRecvMulti(c.fd, bufferGroup, doesRecv<<doesShift|c.id)
		} else {
			if c.in == nil {
				c.in = l.spare.take(smallChunk)
			}
			l.request().Fill(uring.OpRecv, 0, c.fd, 0, c.in.addr, smallChunk, 0, doesRecv<<doesShift|c.id)
		}
		c.has |= isReceiving
		c.has &^= isRecvCancelled
	case !wanted && c.has&(isReceiving|isRecvCancelled) == isReceiving:
		l.cancel(doesRecv<<doesShift | c.id)
		c.has |= isRecvCancelled
	}
}

// received is called for each CQE of a recv.
func (l *loop) received(c *Stream, e *uring.CQE) {
	id, provided := e.Buffer()
	switch {
	case !e.More():
		c.has &^= isReceiving
		l.mark(c)
	case provided:
		l.watch(c)
	}
	if e.Res > 0 {
		var p []byte
		if provided {
			p = l.bufs.Bytes(id, int(e.Res))
		} else {
			p = c.in.buf[:e.Res:e.Res]
		}
		l.deliver(c, p, provided)
	}
	if provided {
		l.bufs.Give(id)
	}
	if e.Res > 0 || c.has&(isOver|isEnded) != 0 {
		return
	}
	switch errno := syscall.Errno(-e.Res); errno {
	case 0:
		if c.has&isHolding != 0 {
			c.has |= isEnding
			return
		}
		l.ended(c)
	case syscall.ENOBUFS, syscall.ECANCELED, syscall.EINTR, syscall.EAGAIN:
		// It is armed again if that is still wanted. By the next enter all buffers are back.
	case syscall.EINVAL:
		if l.bufs == nil || c.has&isReceiving != 0 {
			c.fail(os.NewSyscallError("recv", errno))
			return
		}
		l.withoutBuffers() // this kernel has provided buffers, but receives once a request
	default:
		l.handAll(c)
		c.fail(os.NewSyscallError("recv", errno))
	}
}

// deliver calls Data, unless c was closed meanwhile, or has too much unsent.
func (l *loop) deliver(c *Stream, p []byte, provided bool) {
	if c.has&(isOver|isLast) != 0 {
		return
	}
	switch closing, full := c.stands(); {
	case closing:
	case full || c.has&isHolding != 0:
		l.hold(c, p, provided)
	default:
		c.data(p)
	}
}

// data calls Data.
func (c *Stream) data(p []byte) {
	if uring.Race {
		uring.RaceJoin() // what the peer did before it sent is seen, as with package net
	}
	c.h.Data(c, p)
	if uring.Race {
		for i := range p {
			p[i] = 0xdb // who has kept p sees that, or a DATA RACE report
		}
	}
}

func (c *Stream) closing() bool {
	closing, _ := c.stands()
	return closing
}

// stands reports whether c is to be closed, and whether too much is unsent.
func (c *Stream) stands() (closing, full bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked&wantClose != 0, c.unsent > c.loop.v.limit
}

// ended is called when the peer has ended its stream.
func (l *loop) ended(c *Stream) {
	c.has |= isEnded
	if h, ok := c.h.(Ender); ok && !c.closing() && c.has&isLast == 0 {
		h.End(c)
		return
	}
	c.ask(wantClose)
}

// withoutBuffers is for a kernel without IORING_RECV_MULTISHOT: from here on each Stream that receives has a buffer.
func (l *loop) withoutBuffers() {
	for _, s := range l.seats.all {
		if s.c != nil && s.c.has&isReceiving != 0 {
			return // one that the kernel may still take buffers for; it will end in the same way
		}
	}
	l.bufs.Close(l.k)
	l.bufs = nil
}
