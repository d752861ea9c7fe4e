package threads

import "testing"

// A queue that never comes to its end doesn't grow.
func TestPoolQueueStaysShort(t *testing.T) {
	p, w := &pool{max: 1, n: 1}, &worker{}
	for range 100 {
		p.do(&request{})
	}
	for i := range 100000 {
		in := &request{data: uint64(i + 100)}
		p.do(in)
		if r := p.next(w); r == nil || i >= 100 && r.data != uint64(i) {
			t.Fatal("it is not in order: ", r)
		}
	}
	if cap(p.queue) > 1000 {
		t.Errorf("room for %d, 100 wait", cap(p.queue))
	}
}
