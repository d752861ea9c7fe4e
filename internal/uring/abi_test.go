package uring

import (
	"encoding/binary"
	"math/bits"
	"testing"
	"unsafe"
)

// image is what the kernel sees of s.
func image(s *SQE) []byte { return unsafe.Slice((*byte)(unsafe.Pointer(s)), unsafe.Sizeof(*s)) }

var native = binary.NativeEndian

func bigEndian() bool { return native.Uint16([]byte{0, 1}) == 1 }

func TestStructsHaveTheKernelsSizes(t *testing.T) {
	for _, c := range []struct {
		name      string
		got, want uintptr
	}{
		{"io_uring_sqe", unsafe.Sizeof(SQE{}), 64},
		{"io_uring_cqe", unsafe.Sizeof(CQE{}), 16},
		{"io_uring_params", unsafe.Sizeof(params{}), 120},
		{"params.features", unsafe.Offsetof(params{}.features), 20},
		{"params.sq_off", unsafe.Offsetof(params{}.sqOff), 40},
		{"params.cq_off", unsafe.Offsetof(params{}.cqOff), 80},
		{"io_sqring_offsets", unsafe.Sizeof(sqOffsets{}), 40},
		{"sq_off.array", unsafe.Offsetof(sqOffsets{}.array), 24},
		{"io_cqring_offsets", unsafe.Sizeof(cqOffsets{}), 40},
		{"cq_off.cqes", unsafe.Offsetof(cqOffsets{}.cqes), 20},
		{"cq_off.flags", unsafe.Offsetof(cqOffsets{}.flags), 24},
		{"io_uring_getevents_arg", unsafe.Sizeof(geteventsArg{}), 24},
		{"getevents_arg.ts", unsafe.Offsetof(geteventsArg{}.ts), 16},
		{"__kernel_timespec", unsafe.Sizeof(timespec{}), 16},
		{"io_uring_files_update", unsafe.Sizeof(filesUpdate{}), 16},
		{"iovec", unsafe.Sizeof(Iovec{}), 2 * unsafe.Sizeof(uintptr(0))},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, the kernel's is %d", c.name, c.got, c.want)
		}
	}
}

// The numbers are those of include/uapi/linux/io_uring.h and fcntl.h, written out.
func TestFillWritesEveryFieldWhereTheKernelLooks(t *testing.T) {
	for _, c := range []struct {
		name string
		q    Request
		op   byte
		opf  uint32
	}{
		{"nop", Request{Op: OpNop, FD: -1}, 0, 0},
		{"readv", Request{Op: OpReadv, FD: 3, Off: 1 << 40, Addr: Number(0x7f0012345678), Len: 4}, 1, 0},
		{"writev", Request{Op: OpWritev, FD: 3, Off: 1 << 40, Addr: Number(0x7f0012345678), Len: 4}, 2, 0},
		{"fsync", Request{Op: OpFsync, FD: 4}, 3, 0},
		{"fdatasync", Request{Op: OpFsync, FD: 4, OpFlags: FsyncDatasync}, 3, 1},
		{"sync_file_range", Request{Op: OpSyncFileRange, FD: 5, Off: 8192, Len: 4096, OpFlags: SyncRange}, 8, 6},
		{"accept", Request{Op: OpAccept, FD: 6, Off: 0xc000012348, Addr: Number(0xc000012350), OpFlags: AcceptFlags}, 13, uint32(AcceptFlags)},
		{"connect", Request{Op: OpConnect, FD: 7, Off: 28, Addr: Number(0xc000012350)}, 16, 0},
		{"fallocate", Request{Op: OpFallocate, FD: 8, Off: 4096, Addr: Number(1 << 33), Len: 3}, 17, 0},
		{"read", Request{Op: OpRead, FD: 9, Off: ^uint64(0), Addr: Number(0xc000100000), Len: 0x7ffff000}, 22, 0},
		{"write", Request{Op: OpWrite, FD: 9, Off: 1<<63 - 1, Addr: Number(0xc000100000), Len: 1}, 23, 0},
		{"send", Request{Op: OpSend, FD: 10, Addr: Number(0xc000100000), Len: 5, OpFlags: MsgNoSignal | MsgWaitAll}, 26, uint32(MsgNoSignal | MsgWaitAll)},
		{"recv", Request{Op: OpRecv, FD: 10, Addr: Number(0xc000100000), Len: 5, OpFlags: MsgWaitAll}, 27, uint32(MsgWaitAll)},
		{"linked, fixed file", Request{Op: OpWrite, Flags: SQELink | SQEFixedFile, FD: 2}, 23, 0},
		{"async", Request{Op: OpRead, Flags: SQEAsync, FD: 2}, 22, 0},
	} {
		var s SQE
		b := image(&s)
		for i := range b {
			b[i] = 0xee // what an earlier request left behind
		}
		const data = 0x8000000100000002
		fill(&s, c.q, data)
		for _, f := range []struct {
			field     string
			got, want uint64
		}{
			{"opcode", uint64(b[0]), uint64(c.op)},
			{"flags", uint64(b[1]), uint64(c.q.Flags)},
			{"ioprio", uint64(native.Uint16(b[2:])), 0},
			{"fd", uint64(native.Uint32(b[4:])), uint64(uint32(c.q.FD))},
			{"off", native.Uint64(b[8:]), c.q.Off},
			{"addr", native.Uint64(b[16:]), c.q.Addr.Uint64()},
			{"len", uint64(native.Uint32(b[24:])), uint64(c.q.Len)},
			{"op flags", uint64(native.Uint32(b[28:])), uint64(c.opf)},
			{"user_data", native.Uint64(b[32:]), data},
			{"buf_index, personality, file_index", native.Uint64(b[40:]), 0},
			{"addr3", native.Uint64(b[48:]), 0},
			{"pad", native.Uint64(b[56:]), 0},
		} {
			if f.got != f.want {
				t.Errorf("%s: %s is %#x, not %#x", c.name, f.field, f.got, f.want)
			}
		}
		if q, d := s.Request(); q != c.q || d != data {
			t.Errorf("%s: Request says %+v, %#x", c.name, q, d)
		}
	}
}

func TestFlagBitsAreTheKernels(t *testing.T) {
	if SQEFixedFile != 1 || SQELink != 4 || SQEAsync != 16 {
		t.Error("IOSQE_*:", SQEFixedFile, SQELink, SQEAsync)
	}
	if bits.OnesCount32(SetupKnown) != 21 || SetupKnown != 1<<21-1 {
		t.Errorf("SetupKnown is %#x", SetupKnown)
	}
	for i, f := range []uint32{SetupIOPoll, SetupSQPoll, SetupSQAff, SetupCQSize, SetupClamp, SetupAttachWQ, SetupRDisabled,
		SetupSubmitAll, SetupCoopTaskrun, SetupTaskrunFlag, SetupSQE128, SetupCQE32, SetupSingleIssuer, SetupDeferTaskrun,
		SetupNoMmap, SetupRegFDOnly, SetupNoSQArray, SetupHybridIOPoll, SetupCQEMixed, SetupSQEMixed, SetupSQRewind} {
		if f != 1<<i {
			t.Errorf("IORING_SETUP_* bit %d is %#x", i, f)
		}
	}
}

// io_uring_enter(2): poll32_events are two halves, swapped where the byte order is big-endian.
func TestPollEventsLieWhereTheKernelLooks(t *testing.T) {
	for _, events := range []OpFlags{PollIn, PollOut, PollIn | PollOut} {
		var s SQE
		s.FillPoll(SQEFixedFile, 3, events, 1)
		if q, data := s.Request(); q.Op != 6 || q.Flags != SQEFixedFile || q.FD != 3 || q.Off != 0 || q.Addr != (Addr{}) || q.Len != 0 || data != 1 {
			t.Errorf("FillPoll: %+v, %d", q, data)
		}
		want := uint32(events)
		if bigEndian() {
			want <<= 16
		}
		if got := native.Uint32(image(&s)[28:]); got != want {
			t.Errorf("poll events %#x are written as %#x, not %#x", events, got, want)
		}
	}
	if bigEndian() {
		if got := PollEvents(0x20001); got != 0x10002 {
			t.Errorf("the halves of 0x20001 swapped are %#x", got)
		}
	} else if got := PollEvents(0x20001); got != 0x20001 {
		t.Errorf("0x20001 became %#x", got)
	}
	var s SQE
	fill(&s, Request{Op: OpSend, OpFlags: 0x20001}, 1) // no poll: never swapped
	if got := native.Uint32(image(&s)[28:]); got != 0x20001 {
		t.Errorf("the flags of a send became %#x", got)
	}
}

func TestFillCancelNamesItsTarget(t *testing.T) {
	var s SQE
	b := image(&s)
	for i := range b {
		b[i] = 0xee
	}
	s.FillCancel(7<<32|9, 5)
	q, data := s.Request()
	if want := (Request{Op: 14, FD: -1, Addr: Number(7<<32 | 9)}); q != want || data != 5 {
		t.Errorf("a cancel is %+v, %d", q, data)
	}
	if native.Uint64(b[16:]) != 7<<32|9 || native.Uint64(b[40:])|native.Uint64(b[48:])|native.Uint64(b[56:]) != 0 {
		t.Errorf("a cancel is % x", b)
	}
}
