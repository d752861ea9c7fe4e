package rio

import (
	"net"
	"os"
	"syscall"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// doings is how a Stream stands with the kernel: at most one request receives and at most one sends. For its loop only.
type doings uint16

const (
	isReceiving doings = 1 << iota
	isSending
	isRecvCancelled // asked for
	isSendCancelled // likewise
	isEnded         // the peer has ended its stream
	isOver          // nothing more is received or sent; err says why, if anything is wrong
	isLast          // the loop ends: what the socket doesn't take at once is not sent
	isMarked        // in todo
	isHeldUp        // too much is unsent
)

// mark has c advanced.
func (l *loop) mark(c *Stream) {
	if c.has&isMarked == 0 {
		c.has |= isMarked
		l.todo = append(l.todo, c)
	}
}

// admit makes a Stream of an accepted connection.
func (l *loop) admit(fd int32) {
	c := &Stream{loop: l, fd: fd}
	if !l.ending {
		c.h = l.v.open(c)
	}
	if c.h == nil {
		c.mu.Lock()
		c.asked |= isFinished
		c.mu.Unlock()
		l.finish(c)
		return
	}
	c.id = l.seats.take(c)
	l.mark(c)
}

// refuse closes a connection that nobody has heard of.
func (l *loop) refuse(fd int32) { uring.CloseFD(int(fd)) }

// advance asks the kernel for whatever is c's turn; false if it has no room.
func (l *loop) advance(c *Stream) bool {
	if c.h == nil {
		return true // finished
	}
	if !l.room(4) {
		return false
	}
	c.has &^= isMarked
	c.mu.Lock()
	c.asked &^= isPosted
	asked, unsent, out := c.asked, c.unsent, c.out
	var addr uring.Addr
	var n int
	if out != nil {
		addr, n = out.addr.Plus(out.r), out.w-out.r
	}
	c.mu.Unlock()
	if asked&wantAbort != 0 && c.has&isOver == 0 {
		c.fail(errConnClosed)
	}
	if unsent == 0 && asked&wantClose != 0 {
		c.has |= isOver
	}
	if unsent == 0 && c.has&isLast != 0 && c.has&isOver == 0 {
		c.fail(errConnClosed)
	}
	l.receive(c, asked, unsent)
	switch over := c.has&isOver != 0; {
	case c.has&isSending == 0 && !over && n > 0:
		flags := uring.MsgNoSignal
		if c.has&isLast != 0 {
			flags |= uring.DontWait
		}
		l.request().Fill(uring.OpSend, 0, c.fd, 0, addr, uint32(n), flags, doesSend<<doesShift|c.id)
		l.sends++
		c.has |= isSending
	case c.has&(isSending|isSendCancelled) == isSending && (over || c.has&isLast != 0):
		l.cancel(doesSend<<doesShift | c.id)
		c.has |= isSendCancelled
	}
	if c.has&(isOver|isReceiving|isSending) == isOver {
		l.seats.leave(c.id)
		l.finish(c)
	}
	return true
}

// receive starts or stops receiving. A connection with too much unsent is left alone until half of that is gone.
func (l *loop) receive(c *Stream, asked wishes, unsent int) {
	switch {
	case unsent > l.v.limit:
		c.has |= isHeldUp
	case unsent <= l.v.limit/2:
		c.has &^= isHeldUp
	}
	wanted := asked&wantClose == 0 && c.has&(isEnded|isOver|isLast|isHeldUp) == 0
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
	if !e.More() {
		c.has &^= isReceiving
		l.mark(c)
	}
	id, provided := e.Buffer()
	if e.Res > 0 {
		var p []byte
		if provided {
			p = l.bufs.Bytes(id, int(e.Res))
		} else {
			p = c.in.buf[:e.Res:e.Res]
		}
		l.deliver(c, p)
	}
	if provided {
		l.bufs.Give(id)
	}
	if e.Res > 0 || c.has&(isOver|isEnded) != 0 {
		return
	}
	switch errno := syscall.Errno(-e.Res); errno {
	case 0:
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
		c.fail(os.NewSyscallError("recv", errno))
	}
}

// deliver calls Data, unless c was closed meanwhile.
func (l *loop) deliver(c *Stream, p []byte) {
	if c.has&(isOver|isLast) != 0 || c.closing() {
		return
	}
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
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked&wantClose != 0
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

// sent is called for the CQE of a send.
func (l *loop) sent(c *Stream, res int32) {
	c.has &^= isSending | isSendCancelled
	errno := syscall.Errno(-res)
	switch {
	case res > 0:
		c.mu.Lock()
		more := c.sent(int(res))
		idle := !more && c.asked&wantClose == 0 && c.has&(isReceiving|isLast|isMarked) == isReceiving
		c.mu.Unlock()
		if idle {
			return // nothing to do for it
		}
	case errno == syscall.EINTR, errno == syscall.EAGAIN && c.has&isLast == 0, errno == syscall.ECANCELED && c.has&isOver == 0:
		// Once more. A cancelled one only to see whether the socket takes something without waiting.
	case c.has&isLast != 0 && errno == syscall.EAGAIN:
		c.fail(errConnClosed)
	default:
		c.fail(os.NewSyscallError("send", errno))
	}
	l.mark(c)
}

// fail is the end of c, because of err, unless there was another reason.
func (c *Stream) fail(err error) {
	if c.has&isOver == 0 {
		c.has |= isOver
		c.err = &net.OpError{Op: "serve", Net: c.loop.v.l.addr.Network(), Addr: c.RemoteAddr(), Err: err}
	}
	c.loop.mark(c)
}

// finish gives everything of c back: the kernel has nothing of it any more.
func (l *loop) finish(c *Stream) {
	c.mu.Lock()
	c.asked |= isFinished
	out := c.out
	c.out, c.last = nil, nil
	c.tellFlushed()
	c.mu.Unlock()
	for out != nil && !l.wrecked {
		next := out.next
		l.spare.put(out)
		out = next
	}
	if c.in != nil && !l.wrecked {
		l.spare.put(c.in)
		c.in = nil
	}
	if h := c.h; h != nil {
		c.h = nil
		h.Closed(c, c.err)
	}
	c.mu.Lock()
	fd := c.fd
	c.fd = -1
	c.mu.Unlock()
	l.load.Add(-1)
	uring.CloseFD(int(fd))
}
