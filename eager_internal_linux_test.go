package rio

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/seed-9c58b644/rio/internal/hook"
)

// Without a sweeper nothing is submitted but by who waits, or who starts the sixteenth operation on a device.
func TestADeviceBeginsBeforeSomebodyWaits(t *testing.T) {
	firstLaneOnly(t)
	r, err := newOn(&Config{Backend: IOUring}, hook.Kernel{Manual: true})
	if err != nil {
		t.Skip(err)
	}
	defer r.Close()
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, make([]byte, 1<<16), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		flag    int
		ord     Ordering
		pending uint32 // after the sixteenth
	}{
		{O_DIRECT, None, 0},
		{O_DIRECT, Link, eager + 1}, // somebody may have more to say
		{0, None, eager},
	} {
		if c.ord == Link && !r.k.Links() {
			continue // this kernel is not trusted with links: nothing is held back
		}
		f, err := r.OpenFile(name, os.O_RDWR|c.flag, 0)
		if err != nil {
			t.Skip(err) // no O_DIRECT here
		}
		var started []Completion[int]
		start := func(ord Ordering) {
			started = append(started, r.WriteAt(f, Aligned(4096, 0), int64(len(started))*4096, ord))
		}
		for range eager - 1 {
			start(None)
		}
		if n := r.k.SQ.Pending(); n != eager-1 {
			t.Errorf("flags %#x: %d of %d are pending", c.flag, n, eager-1)
		}
		if c.ord == Link {
			start(Link)
			if n := r.k.SQ.Pending(); n != eager-1 {
				t.Errorf("%d are pending: what waits for its successor was let go, or those before it", n)
			}
		}
		start(None)
		if n := r.k.SQ.Pending(); n != c.pending {
			t.Errorf("flags %#x, ordering %d: %d are pending after one more, not %d", c.flag, c.ord, n, c.pending)
		}
		for _, w := range started {
			if n, err := w.Wait(); n != 4096 || err != nil {
				t.Error(n, err)
			}
		}
		f.Close()
	}
}
