package rio

import (
	"net/netip"
	"reflect"
	"testing"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// What each operation says to the kernel, field by field. The numbers are those of the kernel's headers, written out.
func TestEveryOperationHasItsSQE(t *testing.T) {
	buf := make([]byte, 100)
	at := func(p []byte) uint64 { return uint64(reflect.ValueOf(p).Pointer()) }
	type sqe struct {
		op      uring.Opcode
		off     uint64
		addr    uint64
		n       uint32
		opFlags uring.OpFlags
	}
	const (
		noSignal = 0x4000  // MSG_NOSIGNAL
		all      = 0x100   // MSG_WAITALL
		cloexec  = 0x80000 // SOCK_CLOEXEC
		nonblock = 0x800   // SOCK_NONBLOCK
	)
	for _, c := range []struct {
		name  string
		call  call
		want  sqe
		marks marks
	}{
		{"nop", call{kind: kindNop}, sqe{op: 0}, bitBounded},
		{"read", call{kind: kindRead, buf: buf, off: 1 << 40}, sqe{22, 1 << 40, at(buf), 100, 0}, 0},
		{"read at the position", call{kind: kindRead, buf: buf, plain: true}, sqe{22, 1<<64 - 1, at(buf), 100, 0}, 0},
		{"read nothing", call{kind: kindRead, buf: buf[:0], off: 7}, sqe{22, 7, 0, 0, 0}, 0},
		{"write", call{kind: kindWrite, buf: buf[10:20], off: 5}, sqe{23, 5, at(buf) + 10, 10, 0}, 0},
		{"readv", call{kind: kindReadv, bufs: [][]byte{buf, buf[:3]}, off: 9}, sqe{1, 9, 1, 2, 0}, 0},
		{"readv at the position", call{kind: kindReadv, bufs: [][]byte{buf}, off: 9, plain: true}, sqe{1, 1<<64 - 1, 1, 1, 0}, 0},
		{"writev", call{kind: kindWritev, bufs: [][]byte{buf}, off: 9}, sqe{2, 9, 1, 1, 0}, 0},
		{"writev of nothing", call{kind: kindWritev, off: 9}, sqe{2, 9, 0, 0, 0}, 0},
		{"fsync", call{kind: kindFsync}, sqe{op: 3}, bitBounded},
		{"fdatasync", call{kind: kindFdatasync}, sqe{op: 3, opFlags: 1}, bitBounded}, // IORING_FSYNC_DATASYNC
		// SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER
		{"sync_file_range", call{kind: kindSyncRange, off: 8192, n: 4096}, sqe{8, 8192, 0, 4096, 2 | 4}, bitBounded},
		{"sync_file_range, more", call{kind: kindSyncRange, off: 3, n: 1<<32 + 4096}, sqe{8, 3, 0, 0, 6}, bitBounded},
		{"sync_file_range, 4 GiB - 1", call{kind: kindSyncRange, off: 1, n: 1<<32 - 1}, sqe{8, 1, 0, 1<<32 - 1, 6}, bitBounded},
		{"sync_file_range, 4 GiB", call{kind: kindSyncRange, off: 1, n: 1 << 32}, sqe{8, 1, 0, 0, 6}, bitBounded},
		{"fallocate", call{kind: kindFallocate, off: 4096, n: 1 << 33, mode: 3}, sqe{17, 4096, 1 << 33, 3, 0}, bitBounded},
		{"accept", call{kind: kindAccept}, sqe{13, 1, 1, 0, cloexec | nonblock}, 0},
		{"connect, IPv4", call{kind: kindConnect, peer: &peer{addr: netip.MustParseAddrPort("127.0.0.1:80"), inet: 2}}, sqe{16, 16, 1, 0, 0}, 0},
		{"connect, IPv6", call{kind: kindConnect, peer: &peer{addr: netip.MustParseAddrPort("[::1]:80"), inet: 10}}, sqe{16, 28, 1, 0, 0}, 0},
		{"send", call{kind: kindSend, buf: buf}, sqe{26, 0, at(buf), 100, noSignal}, 0},
		{"send, linked", call{kind: kindSend, buf: buf, mode: waitAll}, sqe{26, 0, at(buf), 100, noSignal | all}, 0},
		{"send nothing", call{kind: kindSend}, sqe{26, 0, 0, 0, noSignal}, 0},
		{"recv", call{kind: kindRecv, buf: buf[1:]}, sqe{27, 0, at(buf) + 1, 99, 0}, 0},
		{"recv, linked", call{kind: kindRecv, buf: buf, mode: waitAll}, sqe{27, 0, at(buf), 100, all}, 0},
		{"recv nothing", call{kind: kindRecv, buf: buf[:0]}, sqe{op: 0}, 0}, // the kernel would wait
		{"recv nothing, linked", call{kind: kindRecv, mode: waitAll}, sqe{op: 0}, 0},
		{"poll for reading", call{kind: kindPoll, mode: uint32(uring.PollIn)}, sqe{op: 6, opFlags: 1}, 0},
		{"poll for writing", call{kind: kindPoll, mode: uint32(uring.PollOut)}, sqe{op: 6, opFlags: 4}, 0},
		{"accept, multishot", call{kind: kindAccepts}, sqe{op: 13, opFlags: cloexec | nonblock}, 0},
		{"recv, multishot", call{kind: kindReceives}, sqe{op: 27}, 0},
	} {
		o := &op{lane: &lane{ring: new(Ring)}, kind: c.call.kind, fd: 17}
		o.fill(&c.call)
		s := new(uring.SQE)
		const data = 9<<32 | 3
		o.fillSQE(s, data)
		q, userData := s.Request()
		o.pins.Release()
		if c.call.kind == kindReceives {
			q.Flags ^= 1 << 5 // IOSQE_BUFFER_SELECT
		}
		if userData != data || q.FD != 17 || q.Flags != 0 {
			t.Errorf("%s: user_data %#x, fd %d, flags %d", c.name, userData, q.FD, q.Flags)
		}
		if o.bits&(bitBounded|bitShort) != c.marks {
			t.Errorf("%s: marks %b, not %b", c.name, o.bits, c.marks)
		}
		got := sqe{q.Op, q.Off, q.Addr.Uint64(), q.Len, q.OpFlags}
		switch c.call.kind { // side structures: the test can't know their address
		case kindReadv, kindWritev, kindConnect, kindAccept:
			got.addr = min(got.addr, 1)
		}
		if c.call.kind == kindAccept {
			got.off = min(got.off, 1) // where the length of the address goes
		}
		if c.call.kind == kindPoll && c.want.opFlags != 0 && got.opFlags != c.want.opFlags {
			got.opFlags = got.opFlags>>16 | got.opFlags<<16 // big-endian machines have it swapped
		}
		if got != c.want {
			t.Errorf("%s: %+v, not %+v", c.name, got, c.want)
		}
	}
}

func TestEveryKindIsDescribed(t *testing.T) {
	for k := range numKinds {
		d := &kinds[k]
		if d.name == "" {
			t.Errorf("kind %d has no name", k)
		}
		// A failed fsync, fdatasync, sync_file_range or fallocate does not end an IO_LINK chain.
		trusted := true
		switch k {
		case kindFsync, kindFdatasync, kindSyncRange, kindFallocate:
			trusted = false
		}
		if o := (&op{kind: k, bits: bitBounded}); o.linkable() != trusted {
			t.Errorf("%s: the kernel is trusted with a link behind it: %v", d.name, !trusted)
		}
		if o := (&op{kind: k, bits: bitBounded | bitShort}); o.linkable() {
			t.Errorf("%s: linked behind what the kernel takes for complete and isn't", d.name)
		}
	}
}

func TestFlagsOfARequestFollowItsMarks(t *testing.T) {
	for bits, want := range map[marks]uring.SQEFlags{0: 0, bitFixed: 1, bitLinked: 4, bitFixed | bitLinked: 5, bitBounded | bitForeign: 0} {
		for k := range kindAccepts { // multishot ones have none
			var s uring.SQE
			(&op{kind: k, bits: bits, x: &extra{}}).fillSQE(&s, 1)
			if q, _ := s.Request(); q.Flags != want {
				t.Errorf("%s with marks %b has the flags %d, not %d", kinds[k].name, bits, q.Flags, want)
			}
		}
	}
}

// What somebody else answers is left to the kernel's workers, whoever has opened it; but not what its mark is left of.
func TestWhatSomebodyElseAnswersIsForWorkers(t *testing.T) {
	remote := &extra{remote: true}
	for _, c := range []struct {
		o    *op
		want uring.SQEFlags
	}{
		{&op{kind: kindRead, h: &handle{remote: true}}, uring.SQEAsync},
		{&op{kind: kindWritev, bits: bitForeign, x: remote}, uring.SQEAsync},
		{&op{kind: kindRead, x: remote}, 0}, // of the operation before
		{&op{kind: kindRead, bits: bitForeign, x: &extra{}}, 0},
		{&op{kind: kindRecv, bits: bitForeign, x: remote}, 0},
	} {
		var s uring.SQE
		c.o.fillSQE(&s, 1)
		if q, _ := s.Request(); q.Flags != c.want {
			t.Errorf("%s, marks %b: the flags are %d, not %d", kinds[c.o.kind].name, c.o.bits, q.Flags, c.want)
		}
	}
}

// An operation whose descriptor said EAGAIN is polled for: nothing of the operation itself may be left in that SQE.
func TestPollingStandsInForTheOperation(t *testing.T) {
	for k := range numKinds {
		if kinds[k].poll == 0 {
			continue
		}
		o := &op{kind: k, fd: 5, fate: fatePolling, bits: bitFixed}
		var s uring.SQE
		o.addr, o.off, o.n = uring.Number(77), 88, 99
		o.fillSQE(&s, 6)
		var want uring.SQE
		want.FillPoll(uring.SQEFixedFile, 5, kinds[k].poll, 6)
		if s != want {
			q, data := s.Request()
			t.Errorf("%s: %+v, %d", kinds[k].name, q, data)
		}
		reads := k == kindRead || k == kindReadv || k == kindRecv || k == kindAccept || k == kindAccepts || k == kindReceives
		if (kinds[k].poll == uring.PollIn) != reads {
			t.Errorf("%s: polled for the wrong event", kinds[k].name)
		}
	}
}

func TestFullMeansAllOfIt(t *testing.T) {
	for k := range numKinds {
		o := &op{kind: k, n: 10}
		if k == kindReadv || k == kindWritev {
			o.n, o.x = 2, &extra{want: 10}
		}
		if !o.full(10) || o.full(-1) {
			t.Errorf("%s: 10 of 10 is full %v, an error %v", kinds[k].name, o.full(10), o.full(-1))
		}
		if o.full(9) == kinds[k].counts || o.full(0) == kinds[k].counts {
			t.Errorf("%s: 9 of 10 is full: %v", kinds[k].name, o.full(9))
		}
		if o.bits |= bitShort; o.full(10) {
			t.Errorf("%s: 10 of more than the kernel takes is full", kinds[k].name)
		}
	}
}

// What place doesn't ask fillSQE for is what that would say, too.
func TestUsualOperationsNeedNoMoreThanTheirKind(t *testing.T) {
	usual := 0
	try := func(o *op) {
		if !o.isUsual() {
			return
		}
		usual++
		var a, b uring.SQE
		o.fillSQE(&a, 7<<32|9)
		o.fillUsual(&b, 0, 7<<32|9)
		if a != b {
			t.Errorf("%s, marks %b and %b, held %d: %+v, not %+v", kinds[o.kind].name, o.bits, o.fate, o.held, b, a)
		}
	}
	for k := range numKinds {
		for bit := marks(1); bit != 0; bit <<= 1 {
			for _, h := range []*handle{nil, {}, {remote: true}} {
				for held := range uint16(2) {
					o := &op{kind: k, h: h, held: held, fd: 5, n: 6, off: 8, opf: 1, addr: uring.Number(4096), x: &extra{remote: true}}
					o.bits = bit
					try(o)
					o.bits, o.fate = 0, bit
					try(o)
				}
			}
		}
	}
	if usual == 0 {
		t.Error("nothing is usual")
	}
}
