//go:build linux

package riotest_test

import (
	"context"
	"net"
	"testing"

	"github.com/seed-9c58b644/rio"
	"github.com/seed-9c58b644/rio/riotest"
)

// accepted dials n connections to a loop of Conns on a simulated kernel, and says how many operations that took.
func accepted(t *testing.T, seed uint64, faults riotest.Faults, n int) (operations uint64) {
	t.Helper()
	sim, err := riotest.New(seed, &riotest.Options{Config: &rio.Config{Depth: 4}, Faults: faults})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	ring := sim.Ring()
	l, err := ring.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	before := ring.Stats().Started
	dialed := make(chan map[string]bool, 1)
	go func() {
		from := map[string]bool{}
		for range n {
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Error(err)
				break
			}
			defer c.Close()
			from[c.LocalAddr().String()] = true
		}
		dialed <- from
	}()
	got := map[string]bool{}
	for c, err := range l.Conns(context.Background()) {
		if err != nil {
			t.Fatal(seed, err)
		}
		peer := c.RemoteAddr().String()
		c.Close()
		if got[peer] {
			t.Errorf("seed %d: %s came twice", seed, peer)
		}
		if got[peer] = true; len(got) == n {
			break
		}
	}
	operations = ring.Stats().Started - before
	for peer := range <-dialed {
		if !got[peer] {
			t.Errorf("seed %d: %s never came", seed, peer)
		}
	}
	return operations
}

func TestALoopGoesOnThoughItsRequestsEnd(t *testing.T) {
	const n = 40
	for seed := range uint64(10) {
		if few := accepted(t, seed, riotest.Faults{}, n); few > 10 {
			t.Errorf("seed %d: %d operations for %d connections: the request goes on, should there be room", seed, few, n)
		}
		if many := accepted(t, seed, riotest.Faults{Ended: 0.5}, n); many < 10 {
			t.Errorf("seed %d: %d operations for %d connections, half of which end the request", seed, many, n)
		}
		accepted(t, seed, riotest.Everything, n)
	}
}
