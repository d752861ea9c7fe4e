package uring

import (
	"structs"
	"unsafe"
)

// The kernel's names, without their prefixes; include/uapi/linux/io_uring.h is the source.

// An Opcode is an IORING_OP_* number.
type Opcode uint8

// The operations that are used here (IORING_OP_*).
const (
	OpNop           Opcode = 0
	OpReadv         Opcode = 1
	OpWritev        Opcode = 2
	OpFsync         Opcode = 3
	OpReadFixed     Opcode = 4
	OpWriteFixed    Opcode = 5
	OpPollAdd       Opcode = 6
	OpSyncFileRange Opcode = 8
	OpAccept        Opcode = 13
	OpAsyncCancel   Opcode = 14
	OpConnect       Opcode = 16
	OpFallocate     Opcode = 17
	OpRead          Opcode = 22
	OpWrite         Opcode = 23
	OpSend          Opcode = 26
	OpRecv          Opcode = 27
)

// SQEFlags are IOSQE_* bits: how a request is handled. They are not OpFlags.
type SQEFlags uint8

// IOSQE_* bits.
const (
	SQEFixedFile SQEFlags = 1 << 0
	SQELink      SQEFlags = 1 << 2
	SQEAsync     SQEFlags = 1 << 4
)

// OpFlags are the bits of one operation: RWF_*, MSG_*, IORING_FSYNC_*, poll events. They are not SQEFlags.
type OpFlags uint32

// Flags of single operations.
const (
	FsyncDatasync OpFlags = 1 << 0 // IORING_FSYNC_DATASYNC
	// SyncRange is SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER.
	SyncRange OpFlags = 2 | 4
	PollIn    OpFlags = 0x1
	PollOut   OpFlags = 0x4
	PollErr   OpFlags = 0x8
	PollHup   OpFlags = 0x10
	PollNval  OpFlags = 0x20
)

// IORING_SETUP_* bits.
const (
	SetupIOPoll        uint32 = 1 << 0
	SetupSQPoll        uint32 = 1 << 1
	SetupSQAff         uint32 = 1 << 2
	SetupCQSize        uint32 = 1 << 3
	SetupClamp         uint32 = 1 << 4
	SetupAttachWQ      uint32 = 1 << 5
	SetupRDisabled     uint32 = 1 << 6
	SetupSubmitAll     uint32 = 1 << 7
	SetupCoopTaskrun   uint32 = 1 << 8
	SetupTaskrunFlag   uint32 = 1 << 9
	SetupSQE128        uint32 = 1 << 10
	SetupCQE32         uint32 = 1 << 11
	SetupSingleIssuer  uint32 = 1 << 12
	SetupDeferTaskrun  uint32 = 1 << 13
	SetupNoMmap        uint32 = 1 << 14
	SetupRegFDOnly     uint32 = 1 << 15
	SetupNoSQArray     uint32 = 1 << 16
	SetupHybridIOPoll  uint32 = 1 << 17
	SetupCQEMixed      uint32 = 1 << 18
	SetupSQEMixed      uint32 = 1 << 19
	SetupSQRewind      uint32 = 1 << 20
	setupLast          uint32 = SetupSQRewind
	SetupKnown         uint32 = setupLast<<1 - 1
	sqNeedWakeup       uint32 = 1 << 0 // IORING_SQ_NEED_WAKEUP
	sqCQOverflow       uint32 = 1 << 1 // IORING_SQ_CQ_OVERFLOW
	sqTaskrun          uint32 = 1 << 2 // IORING_SQ_TASKRUN
	cqEventfdDisabled  uint32 = 1 << 0 // IORING_CQ_EVENTFD_DISABLED
	featSingleMmap     uint32 = 1 << 0
	featNoDrop         uint32 = 1 << 1
	featSubmitStable   uint32 = 1 << 2
	featExtArg         uint32 = 1 << 8
	EnterGetEvents            = 1 << 0
	enterSQWakeup             = 1 << 1
	enterSQWait               = 1 << 2
	enterExtArg               = 1 << 3
	regFiles                  = 2
	regEventfd                = 4
	regFilesUpdate            = 6
	regRestrictions           = 11
	regEnableRings            = 12
	regBuffers2               = 15
	regBuffersUpdate          = 16
	rsrcRegisterSparse        = 1 // IORING_RSRC_REGISTER_SPARSE
)

// An SQE is a struct io_uring_sqe.
type SQE struct {
	_           structs.HostLayout
	opcode      Opcode
	flags       SQEFlags
	ioprio      uint16
	fd          int32
	off         uint64
	addr        Addr
	len         uint32
	opFlags     OpFlags
	userData    uint64
	bufIndex    uint16
	personality uint16
	fileIndex   uint32
	addr3       uint64
	_           uint64
}

// A CQE is a struct io_uring_cqe.
type CQE struct {
	_        structs.HostLayout
	UserData uint64
	Res      int32 // a result, or a negated errno
	Flags    uint32
}

type sqOffsets struct {
	_                                                       structs.HostLayout
	head, tail, mask, entries, flags, dropped, array, resv1 uint32
	userAddr                                                uint64
}

type cqOffsets struct {
	_                                                       structs.HostLayout
	head, tail, mask, entries, overflow, cqes, flags, resv1 uint32
	userAddr                                                uint64
}

// params is a struct io_uring_params.
type params struct {
	_            structs.HostLayout
	sqEntries    uint32
	cqEntries    uint32
	flags        uint32
	sqThreadCPU  uint32
	sqThreadIdle uint32
	features     uint32
	wqFD         uint32
	resv         [3]uint32
	sqOff        sqOffsets
	cqOff        cqOffsets
}

// geteventsArg is a struct io_uring_getevents_arg.
type geteventsArg struct {
	_         structs.HostLayout
	sigmask   uint64
	sigmaskSz uint32
	minWait   uint32
	ts        uint64
}

// timespec is a struct __kernel_timespec: 64 bits on every architecture.
type timespec struct {
	_         structs.HostLayout
	sec, nsec int64
}

// filesUpdate is a struct io_uring_files_update.
type filesUpdate struct {
	_      structs.HostLayout
	offset uint32
	resv   uint32
	fds    uint64
}

// rsrcRegister is a struct io_uring_rsrc_register.
type rsrcRegister struct {
	_     structs.HostLayout
	nr    uint32
	flags uint32
	resv2 uint64
	data  uint64
	tags  uint64
}

// rsrcUpdate2 is a struct io_uring_rsrc_update2.
type rsrcUpdate2 struct {
	_      structs.HostLayout
	offset uint32
	resv   uint32
	data   uint64
	tags   uint64
	nr     uint32
	resv2  uint32
}

// A size that disagrees with the kernel's is a compile error here, rather than a corrupted request there.
var (
	_ [64]byte  = [unsafe.Sizeof(SQE{})]byte{}
	_ [16]byte  = [unsafe.Sizeof(CQE{})]byte{}
	_ [40]byte  = [unsafe.Sizeof(sqOffsets{})]byte{}
	_ [40]byte  = [unsafe.Sizeof(cqOffsets{})]byte{}
	_ [120]byte = [unsafe.Sizeof(params{})]byte{}
	_ [24]byte  = [unsafe.Sizeof(geteventsArg{})]byte{}
	_ [16]byte  = [unsafe.Sizeof(timespec{})]byte{}
	_ [16]byte  = [unsafe.Sizeof(filesUpdate{})]byte{}
	_ [32]byte  = [unsafe.Sizeof(rsrcRegister{})]byte{}
	_ [32]byte  = [unsafe.Sizeof(rsrcUpdate2{})]byte{}
	_ [16]byte  = [unsafe.Offsetof(SQE{}.addr)]byte{}
	_ [32]byte  = [unsafe.Offsetof(SQE{}.userData)]byte{}
)

// A Request is what an SQE says, in the kernel's terms.
type Request struct {
	Op      Opcode
	Flags   SQEFlags
	FD      int32
	Off     uint64
	Addr    Addr
	Len     uint32
	OpFlags OpFlags
	IOPrio  uint16
}

// Fill overwrites all of s: what an earlier request left behind would be EINVAL, or worse. Its arguments are the fields of
// a Request; together they would pass through memory.
func (s *SQE) Fill(op Opcode, flags SQEFlags, fd int32, off uint64, addr Addr, n uint32, opf OpFlags, userData uint64) {
	*s = SQE{} // field by field: a literal is built elsewhere and copied, which stalls
	s.opcode, s.flags, s.fd, s.off = op, flags, fd, off
	s.addr, s.len, s.opFlags, s.userData = addr, n, opf, userData
}

// Fixed makes s, a read or a write, one to or from registered memory: that in this place of the table, where its address
// lies (IORING_OP_READ_FIXED, IORING_OP_WRITE_FIXED).
func (s *SQE) Fixed(place uint16) {
	if s.opcode == OpRead {
		s.opcode = OpReadFixed
	} else {
		s.opcode = OpWriteFixed
	}
	s.bufIndex = place
}

// Place is the place that Fixed gave s, for tests.
func (s *SQE) Place() uint16 { return s.bufIndex }

// FillPoll makes s a request that waits for events on fd (IORING_OP_POLL_ADD).
func (s *SQE) FillPoll(flags SQEFlags, fd int32, events OpFlags, userData uint64) {
	s.Fill(OpPollAdd, flags, fd, 0, Addr{}, 0, PollEvents(events), userData)
}

// FillCancel makes s a request that cancels the one with the user_data target (IORING_OP_ASYNC_CANCEL).
func (s *SQE) FillCancel(target, userData uint64) {
	s.Fill(OpAsyncCancel, 0, -1, 0, Number(target), 0, 0, userData)
}

// Request returns what s says, to what stands in for the kernel (see Queues), and to tests.
func (s *SQE) Request() (q Request, userData uint64) {
	return Request{s.opcode, s.flags, s.fd, s.off, s.addr, s.len, s.opFlags, s.ioprio}, s.userData
}

// PollEvents swaps the halves of poll32_events where the byte order is big-endian, as io_uring_enter(2) asks for: on the way
// into an SQE, and back.
func PollEvents(e OpFlags) OpFlags {
	one := uint16(1)
	if *(*byte)(unsafe.Pointer(&one)) == 0 {
		return e<<16 | e>>16
	}
	return e
}
