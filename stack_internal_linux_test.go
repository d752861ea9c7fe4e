package rio

import (
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// A server has a goroutine for each connection, most of them waiting: their stacks have to stay as small as Go makes them, as
// with package net.
func TestTheStackOfAnIdleConnStaysSmall(t *testing.T) {
	if uring.Race || runtime.GOARCH != "amd64" || testing.CoverMode() != "" || !strings.HasPrefix(runtime.Version(), "go1.26") {
		t.Skip("with the race detector, counters of coverage, other compilers, or on other processors, frames are larger")
	}
	firstLaneOnly(t)
	withProcs(t, 1)
	r, err := New(&Config{Backend: IOUring})
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { r.Close() })
	const n = 256
	var each uint64
	for round := range 2 { // what goroutines begin with depends on what those took that were there at the last collection
		var near, far [n]*Conn
		for i := range far {
			far[i], near[i] = socketsOf(t, r)
		}
		before := stackInUse()
		for i, c := range near {
			go func() {
				defer c.Close()
				var own [64]byte // what the program's own frames take
				buf := make([]byte, 4096)
				for {
					own[len(c.network)]++
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					if _, err := c.Write(buf[:n]); err != nil {
						return
					}
				}
			}()
			if _, err := far[i].Write([]byte{byte(i)}); err != nil {
				t.Fatal(err)
			}
			var b [1]byte
			if _, err := io.ReadFull(far[i], b[:]); err != nil || b[0] != byte(i) {
				t.Fatal(b, err)
			}
		}
		until(t, "all wait", func() bool { return int(r.parked.Load()) == (round+1)*n })
		each = (stackInUse() - before) / n
	}
	if each > 3<<10 {
		t.Errorf("a goroutine that waits for a Conn has a stack of %d bytes, not of 2048", each)
	}
}

func stackInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.StackInuse
}
