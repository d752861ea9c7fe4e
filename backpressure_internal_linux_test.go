package rio

import "testing"

// Who needs no more than a place for a file is overtaken by nobody either: not by those for whom there are tickets at hand.
func TestNobodyOvertakesWhoWaitsForPlacesForFiles(t *testing.T) {
	firstLaneOnly(t)
	r := openRing(t, &Config{Depth: 32})
	if r.k.Files == 0 {
		t.Skip("this ring has no table of files")
	}
	if _, err := r.Nop().Wait(); err != nil {
		t.Fatal(err)
	}
	r.sq.mu.Lock()
	files := r.sq.files
	r.sq.files = nil
	if r.sq.tickets == 0 {
		t.Error("there are no tickets at hand")
	}
	r.sq.mu.Unlock()
	admitted, started := make(chan error), make(chan error)
	go func() {
		err := r.admit(1, 1)
		if err == nil {
			r.sq.mu.Unlock()
			r.tickets.put(1)
			r.grant()
		}
		admitted <- err
	}()
	until(t, "somebody waits for a place", func() bool { return r.tickets.waiting.Load() == 1 })
	go func() {
		_, err := r.Nop().Wait()
		started <- err
	}()
	until(t, "a NOP waits behind", func() bool { return r.tickets.waiting.Load() == 2 })
	r.sq.mu.Lock()
	r.sq.files = files
	r.sq.mu.Unlock()
	r.grant()
	for _, c := range []chan error{admitted, started} {
		if err := <-c; err != nil {
			t.Error(err)
		}
	}
}
