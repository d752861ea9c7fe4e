package rio

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// Which operations say to the kernel that their buffer lies in registered memory, and where there: those on a device, of the
// first lane, whose buffer lies in it whole. Others of such a buffer only don't pin it.
func TestOnlyTransfersOfDevicesUseRegisteredMemory(t *testing.T) {
	r := openRing(t, nil)
	first, err := r.Buffers(2, 4096)
	if err != nil {
		t.Fatal(err)
	}
	second, err := r.Buffers(1, 4096)
	if err != nil {
		t.Fatal(err)
	}
	half, whole := Aligned(8192, 0), Aligned(16384, 0)
	r.keep(half[4096:])
	r.keep(whole[:8192])
	if all := r.memories.all.Load(); all == nil || len(*all) != 4 {
		t.Skip("this kernel has no registered memory")
	}
	side := &lane{ring: r}
	device, cached := &handle{r: r, direct: true, bounded: true}, &handle{r: r, bounded: true}
	for _, c := range []struct {
		name  string
		l     *lane
		h     *handle
		call  call
		op    uring.Opcode
		place uint16
		pins  bool
	}{
		{"read", &r.lane, device, call{kind: kindRead, buf: first[0]}, 4, 0, false}, // IORING_OP_READ_FIXED
		{"read of a part", &r.lane, device, call{kind: kindRead, buf: first[1][512:1024]}, 4, 0, false},
		{"write", &r.lane, device, call{kind: kindWrite, buf: first[1]}, 5, 0, false}, // IORING_OP_WRITE_FIXED
		{"write, second place", &r.lane, device, call{kind: kindWrite, buf: second[0]}, 5, 1, false},
		{"read at the position", &r.lane, device, call{kind: kindRead, buf: second[0], plain: true}, 4, 1, false},
		{"of the page cache", &r.lane, cached, call{kind: kindRead, buf: first[0]}, 22, 0, false},
		{"other memory", &r.lane, device, call{kind: kindRead, buf: Aligned(4096, 0)}, 22, 0, true},
		{"reaching into it", &r.lane, device, call{kind: kindRead, buf: half}, 22, 0, true},
		{"from before it", &r.lane, device, call{kind: kindRead, buf: half[:4096]}, 22, 0, true},
		{"reaching out of it", &r.lane, device, call{kind: kindRead, buf: whole[4096:]}, 22, 0, true},
		{"nothing", &r.lane, device, call{kind: kindWrite, buf: first[0][:0]}, 23, 0, false},
		{"side lane", side, device, call{kind: kindRead, buf: first[0]}, 22, 0, false},
		{"vectored", &r.lane, device, call{kind: kindReadv, bufs: first}, 1, 0, true},
		{"a socket's, other memory", &r.lane, &handle{r: r, socket: true}, call{kind: kindRecv, buf: make([]byte, 9)}, 27, 0, true},
		{"somebody else's", &r.lane, nil, call{kind: kindRead, buf: first[0]}, 22, 0, false},
		{"a socket's", &r.lane, &handle{r: r, socket: true}, call{kind: kindRecv, buf: first[0]}, 27, 0, false},
	} {
		o := &op{lane: c.l, kind: c.call.kind, h: c.h, fd: 3}
		o.fill(&c.call)
		s := new(uring.SQE)
		o.fillSQE(s, 1)
		q, _ := s.Request()
		if q.Op != c.op || s.Place() != c.place {
			t.Errorf("%s: opcode %d, place %d; want %d, %d", c.name, q.Op, s.Place(), c.op, c.place)
		}
		if want := len(c.call.buf); c.call.kind != kindReadv && (int(q.Len) != want || want > 0 && &q.Addr.Bytes(1)[0] != &c.call.buf[0]) {
			t.Errorf("%s: %d bytes at %#x", c.name, q.Len, q.Addr.Uint64())
		}
		if pins := o.pins != (uring.Pins{}); pins != c.pins {
			t.Errorf("%s: pinned: %v", c.name, pins)
		}
		o.pins.Release()
	}
}

// An op that was used for registered memory forgets it.
func TestNextOperationForgetsRegisteredMemory(t *testing.T) {
	r := openRing(t, nil)
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := r.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.direct = true // whatever the file system has
	bufs, err := r.Buffers(1, 4096)
	if err != nil {
		t.Fatal(err)
	}
	if r.memories.all.Load() == nil {
		t.Skip("this kernel has no registered memory")
	}
	for range 3 * minPool {
		a := r.WriteAt(f, bufs[0], 0)
		b := r.WriteAt(f, make([]byte, 4096), 0)
		if a.o.held == 0 || b.o.held != 0 {
			t.Fatalf("places %d and %d", a.o.held, b.o.held)
		}
		if n, err := a.Wait(); n != 4096 || err != nil {
			t.Fatal(n, err)
		}
		if n, err := b.Wait(); n != 4096 || err != nil {
			t.Fatal(n, err)
		}
	}
}
