package rio

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Drains that are given up leave nothing behind that later ones would have to look at.
func TestDrainsThatAreGivenUpLeaveNothing(t *testing.T) {
	r := openRing(t, nil)
	p, pw := pipeOn(t, r)
	name := filepath.Join(t.TempDir(), "file")
	f, err := r.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for round, want := range []string{"abcd", "abcdabcd"} {
		pending := r.ReadAt(p, make([]byte, 1), 0)
		first := r.WriteAt(f, []byte("b"), 0, Drain)
		if n, err := r.WriteAt(f, []byte("a"), 0).Wait(); n != 1 || err != nil { // not held up
			t.Fatal(n, err)
		}
		for range 100 {
			if _, err := r.WriteAt(f, []byte("x"), 0, Drain).WaitContext(ctx); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			d := r.WriteAt(f, []byte("x"), 0, Drain|Link)
			next := r.WriteAt(f, []byte("x"), 0)
			if _, err := d.WaitContext(ctx); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			if n, err := next.Wait(); n != 0 || !errors.Is(err, syscall.ECANCELED) {
				t.Fatal(n, err)
			}
		}
		var last Completion[int]
		for i := range 100 { // given up when the next one is there
			next := r.WriteAt(f, []byte("x"), 0, Drain)
			if i > 0 {
				if _, err := last.WaitContext(ctx); !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
			}
			last = next
		}
		if _, err := last.WaitContext(ctx); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		r.lane.lock()
		n := len(r.lane.cq.epochs)
		r.lane.unlock()
		if n > 4 {
			t.Errorf("there are %d epochs", n)
		}
		c := r.WriteAt(f, []byte("c"), 0, Drain)
		d := r.WriteAt(f, []byte("d"), 0, Drain)
		if _, ok, _ := d.TryWait(); ok {
			t.Error("it is done before what it waits for")
		}
		pw.Write([]byte("p"))
		for _, w := range []Completion[int]{pending, d, c, first} {
			if n, err := w.Wait(); n != 1 || err != nil {
				t.Error(n, err)
			}
		}
		if got, err := os.ReadFile(name); string(got) != want || err != nil {
			t.Errorf("round %d: the file has %q, %v", round, got, err)
		}
	}
}
