package riotest_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"syscall"
	"testing"

	"github.com/seed-9c58b644/rio"
	"github.com/seed-9c58b644/rio/riotest"
)

// Where the disk ends is an error, whatever else is to go wrong.
func TestBehindTheEndOfTheDiskIsEFBIG(t *testing.T) {
	for _, faults := range []riotest.Faults{{}, {Fail: 1}, {Short: 1}} {
		s, err := riotest.New(1, &riotest.Options{Lockstep: true})
		if err != nil {
			t.Fatal(err)
		}
		f, err := s.OpenFile("file", os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		s.SetFaults(faults)
		for _, off := range []int64{1 << 30, 1 << 50, math.MaxInt64 - 5, math.MaxInt64} {
			if n, err := f.WriteAt(make([]byte, 10), off); n != 0 || !errors.Is(err, syscall.EFBIG) {
				t.Errorf("%+v: write at %d: %d, %v; want EFBIG", faults, off, n, err)
			}
		}
		s.SetFaults(riotest.Faults{})
		for _, c := range []struct{ off, n int64 }{{0, 1 << 40}, {1 << 62, 1 << 62}, {math.MaxInt64, 10}} {
			if _, err := s.Ring().Fallocate(f, 0, c.off, c.n).Wait(); !errors.Is(err, syscall.EFBIG) {
				t.Errorf("fallocate of %d at %d: %v; want EFBIG", c.n, c.off, err)
			}
		}
		if fi, err := f.Stat(); err != nil || fi.Size() != 0 {
			t.Error(fi, err)
		}
		s.Close()
	}
}

// The end of a file need not be aligned, for O_DIRECT neither: as on Linux, who reads on from there is told of it.
func TestDirectReadsReachAnUnalignedEnd(t *testing.T) {
	if rio.O_DIRECT == 0 {
		t.Skip("there is no O_DIRECT here")
	}
	d := &riotest.Disk{}
	want := bytes.Repeat([]byte("0123"), 8292/4)
	d.WriteFile("a", want)
	s, err := riotest.New(1, &riotest.Options{Disk: d})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f, err := s.OpenFile("a", os.O_RDWR|rio.O_DIRECT, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	mem, off, err := f.Alignment()
	if mem != 512 || off != 512 || err != nil {
		t.Error(mem, off, err)
	}
	p := rio.Aligned(16384, mem)
	if n, err := f.ReadAt(p, 0); n != len(want) || err != io.EOF || !bytes.Equal(p[:n], want) {
		t.Error(n, err)
	}
	if n, err := f.ReadAt(p, 16384); n != 0 || err != io.EOF {
		t.Error("behind the end:", n, err)
	}
	if _, err := f.ReadAt(p[1:513], 0); !errors.Is(err, syscall.EINVAL) {
		t.Error("an unaligned buffer:", err)
	}
}
