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
		for j := range b {
			b[j] = byte(i)
		}
	}
	for i, b := range bufs {
		for j := range b {
			if b[j] != byte(i) {
				t.Fatalf("byte %d of buffer %d is that of buffer %d", j, i, b[j])
			}
		}
	}
}
