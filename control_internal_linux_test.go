package rio

import (
	"os"
	"testing"
)

// What panics in the ring while a Control has it is known as the ring's when it gets to who might take it for Control's.
func TestPanicOfTheRingInAControlStaysOne(t *testing.T) {
	r := openRing(t, nil)
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var e abroad
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
			r.sq.mu.Unlock() // as enterAs has left it
		}()
		r.enterIn(nil, raw, &e) // there is no operation
	}()
	if !e.ours {
		t.Error("it is taken for Control's, and lost")
	}
}
