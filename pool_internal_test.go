package rio

import "testing"

// Operations whose results nobody takes make room for others, which are used again and again; and when those results are
// taken after all, they are used again, too.
func TestOpsAreUsedAgain(t *testing.T) {
	firstLaneOnly(t)
	r := openRing(t, &Config{Depth: 32})
	seen := map[*op]int{}
	start := func() Completion[struct{}] {
		c := r.Nop()
		seen[c.o]++
		return c
	}
	var kept []Completion[struct{}]
	for range 1000 {
		c := start()
		if err := r.SubmitAll(); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, c)
	}
	if len(seen) != 1000 {
		t.Fatalf("1000 results that nobody has taken are in %d operations", len(seen))
	}
	if n := len(r.sq.pool.ops); n > minPool {
		t.Errorf("the lane keeps %d of them", n)
	}
	for range 1000 {
		if _, err := start().Wait(); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) > 1000+minPool {
		t.Errorf("1000 operations one after the other were %d", len(seen)-1000)
	}
	for _, c := range kept {
		if _, err := c.Wait(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Wait(); err != ErrWaited {
			t.Fatal(err)
		}
	}
	before := len(seen)
	for round := range 3 {
		kept = kept[:0]
		for range 900 {
			kept = append(kept, start())
		}
		for _, c := range kept {
			if _, err := c.Wait(); err != nil {
				t.Fatal(round, err)
			}
		}
	}
	if n := len(seen) - before; n > 0 {
		t.Errorf("%d new operations were made while %d were free", n, before)
	}
}
