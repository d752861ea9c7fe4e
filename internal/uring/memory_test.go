package uring

import (
	"math/rand/v2"
	"testing"
)

// In whatever order they came, each part of each stretch is found in it, and nothing else is found.
func TestMemoriesFindWhatLiesInOne(t *testing.T) {
	const page, stretches = 64, MemoryPlaces
	all := make([]byte, 2*page*stretches)
	start := addrOf(all[page:])
	var ms Memories
	for n, i := range rand.Perm(stretches) { // every other page
		before := len(ms)
		at := start + uint64(2*i*page)
		with := ms.With(Memory{place: uint16(i), start: at, end: at + page})
		if len(ms) != before || len(with) != n+1 {
			t.Fatalf("%d and %d stretches after %d", len(ms), len(with), n+1)
		}
		ms = with
		for range 100 {
			from := rand.IntN(len(all))
			to := from + rand.IntN(min(3*page, len(all)-from))
			b := all[from:to]
			a, place, ok := ms.Find(b)
			var want bool
			for _, m := range with {
				if _, _, in := m.Find(b); in && len(b) > 0 {
					want = true
					if ok && (place != m.place || a.v != addrOf(b)) {
						t.Fatalf("[%d:%d] is in place %d at %#x, not %d", from, to, place, a.v, m.place)
					}
				}
			}
			if ok != want && len(b) > 0 {
				t.Fatalf("[%d:%d] is found: %v", from, to, ok)
			}
		}
	}
}

func addrOf(b []byte) uint64 {
	var p Pins
	defer p.Release()
	return p.Bytes(b).Uint64()
}
