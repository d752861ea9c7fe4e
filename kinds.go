package rio

import "github.com/seed-9c58b644/rio/internal/uring"

// A kind is one of the operations that a Completion can stand for.
type kind uint8

const (
	kindNop kind = iota
	kindRead
	kindWrite
	kindReadv
	kindWritev
	kindFsync
	kindFdatasync
	kindSyncRange
	kindFallocate
	kindAccept
	kindConnect
	kindSend
	kindRecv
	kindRecvNone // into no buffer: the kernel would wait for data
	kindReadNone // likewise
	kindPoll     // for RawConn only
	kindAccepts  // from here on: multishot, for an inbox
	kindReceives
	numKinds
)

// kinds says how each operation is written down for the kernel, and how it behaves there.
var kinds = [numKinds]struct {
	name   string // the system call that it stands for
	op     uring.Opcode
	opf    uring.OpFlags
	counts bool // its result is a number of bytes: less than asked for is short
	breaks bool // a failure ends an IO_LINK chain; that of an fsync and its like does not
	stores bool // the kernel writes to the buffer
	inline bool // it may end within enter, at the expense of who submits it
	brief  bool // nothing is waited for within enter: no device, no peer, and no file that is asked whether it is ready
	plain  bool // when it has succeeded there is nothing to do but to say so
	poll   uring.OpFlags
}{
	kindNop:       {name: "nop", op: uring.OpNop, brief: true, plain: true, breaks: true, inline: true},
	kindRead:      {name: "pread", op: uring.OpRead, plain: true, counts: true, breaks: true, stores: true, inline: true, poll: uring.PollIn},
	kindWrite:     {name: "pwrite", op: uring.OpWrite, plain: true, counts: true, breaks: true, inline: true, poll: uring.PollOut},
	kindReadv:     {name: "preadv", op: uring.OpReadv, counts: true, breaks: true, stores: true, inline: true, poll: uring.PollIn},
	kindWritev:    {name: "pwritev", op: uring.OpWritev, counts: true, breaks: true, inline: true, poll: uring.PollOut},
	kindFsync:     {name: "fsync", op: uring.OpFsync, plain: true},
	kindFdatasync: {name: "fdatasync", op: uring.OpFsync, plain: true, opf: uring.FsyncDatasync},
	kindSyncRange: {name: "sync_file_range", op: uring.OpSyncFileRange, plain: true, opf: uring.SyncRange},
	kindFallocate: {name: "fallocate", op: uring.OpFallocate, plain: true},
	kindAccept:    {name: "accept", op: uring.OpAccept, brief: true, opf: uring.AcceptFlags, breaks: true, poll: uring.PollIn},
	kindConnect:   {name: "connect", op: uring.OpConnect, breaks: true, poll: uring.PollOut},
	kindSend:      {name: "send", op: uring.OpSend, brief: true, plain: true, opf: uring.MsgNoSignal, counts: true, breaks: true, poll: uring.PollOut},
	kindRecv:      {name: "recv", op: uring.OpRecv, brief: true, plain: true, counts: true, breaks: true, stores: true, poll: uring.PollIn},
	kindRecvNone:  {name: "recv", op: uring.OpNop, brief: true, breaks: true},
	kindReadNone:  {name: "pread", op: uring.OpNop, breaks: true},
	kindPoll:      {name: "poll", op: uring.OpPollAdd, breaks: true},
	kindAccepts:   {name: "accept, multishot", op: uring.OpAccept, opf: uring.AcceptFlags, breaks: true, poll: uring.PollIn},
	kindReceives:  {name: "recv, multishot", op: uring.OpRecv, breaks: true, poll: uring.PollIn},
}

// told is what k is called where it is counted: reads of nothing are reads.
func (k kind) told() kind {
	switch k {
	case kindRecvNone:
		return kindRecv
	case kindReadNone:
		return kindRead
	}
	return k
}

// maxTransfer is the most that one read or write moves (MAX_RW_COUNT).
const maxTransfer = uring.MaxTransfer

// maxVector is the most buffers that one vectored transfer takes (UIO_MAXIOV).
const maxVector = 1024

// full reports whether o has succeeded in full with res: what Link asks for.
func (o *op) full(res int32) bool {
	switch {
	case res < 0 || o.bits&bitShort != 0:
		return false
	case !kinds[o.kind].counts:
		return true
	case o.kind == kindReadv || o.kind == kindWritev:
		return int(res) == o.x.want
	}
	return uint32(res) == o.n
}

// linkable reports whether the kernel may IO_LINK another operation behind o: its failure has to break the chain, and it
// has to end by itself, because a cancel does not find what hangs behind another.
func (o *op) linkable() bool {
	return kinds[o.kind].breaks && o.bits&(bitShort|bitBounded) == bitBounded
}

// isRemote reports whether somebody else answers o, who may never do so. Within enter the kernel would wait for that with
// the ring's lock held, and with it everybody: its workers wait alone.
func (o *op) isRemote() bool {
	switch o.kind {
	case kindRead, kindWrite, kindReadv, kindWritev:
		return o.h != nil && o.h.remote || o.bits&bitForeign != 0 && o.x.remote
	}
	return false
}

// fillRare is fillSQE for what only handles wait for by themselves.
func (o *op) fillRare(s *uring.SQE, flags uring.SQEFlags, userData uint64) {
	switch o.kind {
	case kindAccepts:
		s.FillAccept(o.fd, kinds[o.kind].opf, true, userData)
	case kindReceives:
		s.FillRecvMulti(o.fd, shotGroup, userData)
	default:
		s.FillPoll(flags, o.fd, o.opf, userData)
	}
}

// isUsual reports whether fillUsual says all that there is to say of o.
func (o *op) isUsual() bool {
	return o.bits&(bitFixed|bitLinked|bitForeign) == 0 && o.fate&fatePolling == 0 && o.held == 0 && o.kind < kindPoll && (o.h == nil || !o.h.remote)
}

// fillUsual says to the kernel what the kind of o and its buffer are.
func (o *op) fillUsual(s *uring.SQE, flags uring.SQEFlags, userData uint64) {
	k := &kinds[o.kind]
	s.Fill(k.op, flags, o.fd, o.off, o.addr, o.n, k.opf|o.opf, userData)
}

// fillSQE says to the kernel what o is.
func (o *op) fillSQE(s *uring.SQE, userData uint64) {
	var flags uring.SQEFlags
	if o.bits&bitFixed != 0 {
		flags = uring.SQEFixedFile
	}
	if o.bits&bitLinked != 0 {
		flags |= uring.SQELink
	}
	if o.isRemote() {
		flags |= uring.SQEAsync
	}
	switch {
	case o.dozes:
		s.FillTimeout(naps.at[o.naps], userData)
	case o.fate&fatePolling != 0:
		s.FillPoll(flags, o.fd, kinds[o.kind].poll, userData)
	case o.kind >= kindPoll:
		o.fillRare(s, flags, userData)
	default:
		o.fillUsual(s, flags, userData)
		if o.held != 0 {
			s.Fixed(o.held - 1)
		}
	}
}
