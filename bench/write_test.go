//go:build linux

package main

import (
	"testing"
	"unsafe"
)

func TestHugeBuffersAreAlignedAndApart(t *testing.T) {
	bufs, unmap, err := hugeBuffers(8, mebibyte)
	if err != nil {
		t.Fatal(err)
	}
	defer unmap()
	for i, b := range bufs {
		at := uintptr(unsafe.Pointer(&b[0]))
		if len(b) != mebibyte || cap(b) != mebibyte || i == 0 && at%(2<<20) != 0 {
			t.Errorf("buffer %d: %d bytes, room for %d, at %#x", i, len(b), cap(b), at)
		}
		b[0], b[mebibyte-1] = byte(i), byte(i)
	}
	for i, b := range bufs {
		if b[0] != byte(i) || b[mebibyte-1] != byte(i) {
			t.Errorf("buffer %d is another's: %d, %d", i, b[0], b[mebibyte-1])
		}
	}
}
