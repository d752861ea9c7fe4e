package rio

import (
	"net/netip"
	"slices"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// A call is what the caller of an operation said.
type call struct {
	kind  kind
	quiet bool   // no Completion: see spare
	alone bool   // doesn't follow a Link
	tried bool   // to be done at once, in vain
	plain bool   // at the file's own position (offset -1)
	mode  uint32 // fallocate's, poll's events, or waitAll
	file  any
	buf   []byte
	bufs  [][]byte
	off   int64
	n     int64
	peer  *peer
	in    *inbox // where a multishot request leaves what it brings
}

// A peer is where to connect to.
type peer struct {
	addr  netip.AddrPort
	scope uint32 // the index of the address's zone
	inet  int    // the socket's family
}

// fill pins what the kernel will touch and notes it in the SQE's terms.
func (o *op) fill(c *call) {
	switch c.kind {
	case kindNop, kindFsync, kindFdatasync:
		o.bits |= bitBounded
	case kindRead, kindWrite:
		o.off = c.offset()
		o.transfer(c)
	case kindSend, kindRecv:
		o.transfer(c)
		switch {
		case o.n == 0 && c.kind == kindRecv:
			o.kind = kindRecvNone
		case c.mode&waitAll != 0:
			o.opf = uring.MsgWaitAll
		case c.kind == kindSend && o.lane.ring.linux:
			o.opf = uring.DontWait // see naps
		}
	default:
		o.fillOther(c)
	}
}

// fillOther is fill for the other kinds. With both in one the stack of a goroutine that waits to receive would outgrow 2 KiB.
func (o *op) fillOther(c *call) {
	switch c.kind {
	case kindReadv, kindWritev:
		x := o.extra()
		x.vec, o.addr = o.pins.Vector(x.vec, c.bufs)
		o.n, o.off, x.want = uint32(len(c.bufs)), c.offset(), 0
		for _, b := range c.bufs {
			x.want += len(b)
		}
		if x.want > maxTransfer {
			o.bits |= bitShort
		}
	case kindSyncRange:
		o.bits |= bitBounded
		o.off = uint64(c.off)
		if c.n <= 1<<32-1 {
			o.n = uint32(c.n) // a longer range: 0, to the end of the file
		}
	case kindFallocate:
		o.bits |= bitBounded
		o.off, o.addr, o.n = uint64(c.off), uring.Number(uint64(c.n)), c.mode
	case kindAccept:
		o.lane.ring.accepts()
		x := o.extra()
		x.conn = new(Conn)
		x.sa.Reset()
		var length uring.Addr
		o.addr, length = o.pins.Sockaddr(&x.sa)
		o.off = length.Uint64()
	case kindPoll:
		o.opf = uring.OpFlags(c.mode)
	case kindAccepts, kindReceives:
		if c.kind == kindAccepts {
			o.lane.ring.accepts()
		}
		o.extra().in = c.in
	case kindConnect:
		x := o.extra()
		x.sa.SetInet(c.peer.inet, c.peer.addr, c.peer.scope)
		o.addr, _ = o.pins.Sockaddr(&x.sa)
		o.off = uint64(x.sa.Len())
	}
}

// waitAll is the bit in c.mode that asks for all of the buffer, if it means that for this operation.
func (c *call) waitAll() uint32 {
	if c.kind == kindSend || c.kind == kindRecv {
		return waitAll
	}
	return 0
}

// nothing makes a NOP of c if that reads into no buffer from what may have nothing to read: that would be waited for.
func (c *call) nothing(bounded bool) {
	if !bounded && (c.kind == kindRead && len(c.buf) == 0 || c.kind == kindReadv && isEmpty(c.bufs)) {
		c.kind = kindReadNone
	}
}

func isEmpty(bufs [][]byte) bool {
	return !slices.ContainsFunc(bufs, func(b []byte) bool { return len(b) > 0 })
}

// offset is sqe.off of a read or write. Of a socket the kernel takes none but its own (ESPIPE).
func (c *call) offset() uint64 {
	if c.plain {
		return ^uint64(0)
	}
	return uint64(c.off)
}

func (o *op) transfer(c *call) {
	if all := o.lane.ring.memories.all.Load(); all != nil && o.registered(*all, c.buf) {
		return
	}
	o.addr, o.n = o.pins.Bytes(c.buf), uint32(min(len(c.buf), maxTransfer))
	if len(c.buf) > maxTransfer {
		o.bits |= bitShort
	}
}
