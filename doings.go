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
	isWatched       // in the lookout's list
	isHeard         // since the lookout came by
	isHolding       // something that was received lies in the Stream's in, because too much is unsent
	isEnding        // behind that the peer has ended its stream
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
	c := &Stream{loop: l, fd: fd, peer: l.peer(fd)}
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

// peer is the address of fd's peer, for as long as fd lives: of one that resets the connection nobody knows it any more.
func (l *loop) peer(fd int32) net.Addr {
	var sa uring.Sockaddr
	askPeer(int(fd), &sa)
	return (&Conn{sotype: uring.SockStream}).addr(&sa)
}

// refuse closes a connection that nobody has heard of.
func (l *loop) refuse(fd int32) { uring.CloseFD(int(fd)) }

// advance asks the kernel for whatever is c's turn; false if it has no room.
func (l *loop) advance(c *Stream) bool {
	if c.h == nil {
		return true // finished
	}
	if !l.room(4 + loopReserve) {
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

// sent is called for the CQE of a send.
func (l *loop) sent(c *Stream, res int32) {
	c.has &^= isSending | isSendCancelled
	errno := syscall.Errno(-res)
	switch {
	case res > 0:
		c.mu.Lock()
		more := c.sent(int(res))
		idle := !more && c.asked&wantClose == 0 && c.has&(isReceiving|isLast|isMarked|isHolding) == isReceiving
		c.mu.Unlock()
		if idle {
			return // nothing to do for it
		}
	case errno == syscall.EINTR, errno == syscall.EAGAIN && c.has&isLast == 0, errno == syscall.ECANCELED && c.has&isOver == 0:
		// Once more. A cancelled one only to see whether the socket takes something without waiting.
	case c.has&isLast != 0 && errno == syscall.EAGAIN:
		c.fail(errConnClosed)
	default:
		l.handAll(c)
		c.fail(os.NewSyscallError("send", errno))
	}
	l.mark(c)
}

// fail is the end of c, because of err, unless there was another reason: Abort is one, even before the loop has come to that.
func (c *Stream) fail(err error) {
	if c.has&isOver == 0 {
		c.mu.Lock()
		if c.asked&wantAbort != 0 {
			err = errConnClosed
		}
		c.mu.Unlock()
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
		l.drop(c)
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
