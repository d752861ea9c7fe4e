package rio_test

import "testing"

func TestNopsComeBack(t *testing.T) {
	r := newRing(t, nil)
	for range 10000 {
		if _, err := r.Nop().Wait(); err != nil {
			t.Fatal(err)
		}
	}
}
