package uring

// An Operation says of an opcode who submits it, and what for. Restricted rings take these and no others, so that an opcode
// which is not written down here works nowhere.
type Operation struct {
	Op   Opcode
	Name string // IORING_OP_*, without that
	Ring bool   // a Ring submits it
	Loop bool   // a Loop does
	Use  string // for people
}

// Operations are all opcodes of this library, in their order.
var Operations = [...]Operation{
	{OpNop, "NOP", true, false, "Nop, and to see whether a new ring works"},
	{OpReadv, "READV", true, false, "ReadvAt"},
	{OpWritev, "WRITEV", true, false, "WritevAt"},
	{OpFsync, "FSYNC", true, false, "Fsync, Fdatasync"},
	{OpReadFixed, "READ_FIXED", true, false, "ReadAt into Ring.Buffers"},
	{OpWriteFixed, "WRITE_FIXED", true, false, "WriteAt from Ring.Buffers"},
	{OpPollAdd, "POLL_ADD", true, true, "what isn't ready, where the kernel says EAGAIN instead of waiting"},
	{OpSyncFileRange, "SYNC_FILE_RANGE", true, false, "SyncFileRange"},
	{OpTimeout, "TIMEOUT", true, true, "a pause: polls that say again and again what was not asked; Serve when descriptors run out"},
	{OpAccept, "ACCEPT", true, true, "Accept, Serve"},
	{OpAsyncCancel, "ASYNC_CANCEL", true, true, "Cancel, contexts, deadlines, Close"},
	{OpConnect, "CONNECT", true, false, "Connect"},
	{OpFallocate, "FALLOCATE", true, false, "Fallocate"},
	{OpRead, "READ", true, true, "ReadAt; Serve: to be woken"},
	{OpWrite, "WRITE", true, false, "WriteAt"},
	{OpSend, "SEND", true, true, "Send, Serve"},
	{OpRecv, "RECV", true, true, "Recv, Serve"},
}

// The SQE flags that each of the two uses.
const (
	ringSQEFlags = SQEFixedFile | SQELink | SQEAsync | sqeBufferSelect
	loopSQEFlags = sqeBufferSelect
)
