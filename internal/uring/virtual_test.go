package uring

import "testing"

// The number of one that is in use is nobody else's, though a thousand million have come since.
func TestVirtualsKeepTheirNumbers(t *testing.T) {
	a := NewVirtual("a")
	defer FreeVirtual(a)
	virtuals.last.Add(-1)
	b := NewVirtual("b")
	defer FreeVirtual(b)
	if a == b || Object(a) != "a" || Object(b) != "b" {
		t.Errorf("%d is %v, %d is %v", a, Object(a), b, Object(b))
	}
}
