package uring

import (
	"bytes"
	"runtime"
	"testing"
	"unsafe"
)

func addressOf(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }

// bytesAt reads n bytes through the address that the kernel would be given; only while they are pinned.
func bytesAt(a Addr, n int) []byte {
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&a.v)), n)
}

func TestPinnedBytesHaveTheirAddress(t *testing.T) {
	var p Pins
	defer p.Release()
	b := []byte("hello")
	a := p.Bytes(b[1:])
	if a.Uint64() != addressOf(b)+1 {
		t.Errorf("the address is %#x, not %#x", a.Uint64(), addressOf(b)+1)
	}
	if got := p.Bytes(nil); got != (Addr{}) {
		t.Errorf("nil has the address %#x", got.Uint64())
	}
	// An empty slice may point behind its array: into somebody else's memory.
	if got := p.Bytes(b[5:]); got != (Addr{}) {
		t.Errorf("an empty slice has the address %#x", got.Uint64())
	}
	if n := Number(1<<63 | 5); n.Uint64() != 1<<63|5 {
		t.Errorf("Number gives %#x", n.Uint64())
	}
}

func TestPinnedMemorySurvivesTheCollector(t *testing.T) {
	var p Pins
	gone := make(chan struct{})
	a := func() Addr {
		b := new([4096]byte)
		b[0], b[4095] = 1, 2
		runtime.AddCleanup(b, func(int) { close(gone) }, 0)
		return p.Bytes(b[:])
	}()
	for range 3 {
		runtime.GC()
	}
	select {
	case <-gone:
		t.Fatal("a pinned buffer was collected")
	default:
	}
	if b := bytesAt(a, 4096); b[0] != 1 || b[4095] != 2 {
		t.Error("a pinned buffer has changed")
	}
	p.Release()
	for range 100 {
		runtime.GC()
		runtime.Gosched()
		select {
		case <-gone:
			return
		default:
		}
	}
	t.Error("a released buffer is not collected")
}

func TestVectorDescribesItsBuffers(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 || bigEndian() {
		t.Skip("the addresses are read as little-endian 64-bit numbers here")
	}
	var p Pins
	defer p.Release()
	bufs := [][]byte{[]byte("one"), nil, []byte("three"), make([]byte, 100)}
	v, a := p.Vector(nil, bufs)
	if len(v) != len(bufs) || a.Uint64() != uint64(uintptr(unsafe.Pointer(&v[0]))) {
		t.Fatalf("%d vectors at %#x", len(v), a.Uint64())
	}
	mem := bytesAt(a, 16*len(bufs))
	for i, b := range bufs {
		base, n := native.Uint64(mem[16*i:]), native.Uint64(mem[16*i+8:])
		want := addressOf(b)
		if len(b) == 0 {
			want = 0
		}
		if base != want || n != uint64(len(b)) {
			t.Errorf("vector %d is %#x, %d; want %#x, %d", i, base, n, want, len(b))
		}
	}
	p.Release()
	again, _ := p.Vector(v, bufs[:2])
	if len(again) != 2 || &again[0] != &v[0] {
		t.Error("the array was not used again")
	}
	if empty, a := p.Vector(v, nil); len(empty) != 0 || a != (Addr{}) {
		t.Errorf("no buffers are %d vectors at %#x", len(empty), a.Uint64())
	}
}

func TestSockaddrIsPinnedWithItsLength(t *testing.T) {
	var p Pins
	defer p.Release()
	s := new(Sockaddr)
	s.Reset()
	addr, length := p.Sockaddr(s)
	if got := native.Uint32(bytesAt(length, 4)); got != 112 {
		t.Errorf("the kernel is told of room for %d bytes, not 112", got)
	}
	// The kernel writes an AF_UNIX address.
	mem := bytesAt(addr, 112)
	native.PutUint16(mem, AFUnix)
	copy(mem[2:], "/tmp/x\x00")
	native.PutUint32(bytesAt(length, 4), 9)
	if s.Family() != AFUnix || s.Path() != "/tmp/x" {
		t.Errorf("family %d, path %q", s.Family(), s.Path())
	}
}

func TestAlignedMemoryIsAligned(t *testing.T) {
	for _, align := range []int{1, 2, 64, 512, 4096, 1 << 16} {
		for _, n := range []int{0, 1, 511, 512, 4096, 10000} {
			for range 4 {
				b := Aligned(n, align)
				if len(b) != n || cap(b) != n {
					t.Errorf("Aligned(%d, %d) has length %d, capacity %d", n, align, len(b), cap(b))
				}
				if n > 0 && addressOf(b)%uint64(align) != 0 {
					t.Errorf("Aligned(%d, %d) lies at %#x", n, align, addressOf(b))
				}
				if !bytes.Equal(b, make([]byte, n)) {
					t.Errorf("Aligned(%d, %d) is not zero", n, align)
				}
			}
		}
	}
}
