package rio

import (
	"testing"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// Only what has succeeded, and of which nobody wants to know more, ends without finish.
func TestWhatEndsPlainly(t *testing.T) {
	if uring.Race {
		t.Skip("under the race detector nothing does")
	}
	plainly := func(res int32, change func(l *lane, o *op)) bool {
		l := &lane{ring: &Ring{}}
		o := &op{lane: l, kind: kindRead, bits: bitBounded}
		change(l, o)
		return o.endsPlainly(l, res)
	}
	same := func(*lane, *op) {}
	if !plainly(0, same) || !plainly(4096, same) {
		t.Error("a read doesn't")
	}
	if plainly(-5, same) {
		t.Error("a failure does")
	}
	for k := range numKinds {
		if got := plainly(1, func(_ *lane, o *op) { o.kind = k }); got != kinds[k].plain {
			t.Errorf("%s: %v", kinds[k].name, got)
		}
	}
	for bit := marks(1); bit != 0; bit <<= 1 {
		if got, want := plainly(1, func(_ *lane, o *op) { o.bits = bit }), bit == bitBounded || bit == bitQuiet; got != want {
			t.Errorf("with the mark %b: %v", bit, got)
		}
		if got, want := plainly(1, func(_ *lane, o *op) { o.fate = bit }), bit == fateSocket; got != want {
			t.Errorf("with the fate %b: %v", bit, got)
		}
	}
	for name, change := range map[string]func(l *lane, o *op){
		"with another behind it":       func(_ *lane, o *op) { o.then = &group{} },
		"which the next is to hang on": func(l *lane, o *op) { l.link.op = o },
		"with a profile":               func(l *lane, _ *op) { l.profile = &profile{} },
		"that a cancel was asked for":  func(_ *lane, o *op) { o.state.Or(isCancelled) },
	} {
		if plainly(1, change) {
			t.Errorf("one %s does", name)
		}
	}
}

// Its result is published in one step only if nobody has said anything of it.
func TestPlainResultLeavesNoWaiterBehind(t *testing.T) {
	const gen = 5 << genShift
	for bit := uint64(1); bit <= phaseMask; bit <<= 1 {
		o := &op{}
		if o.state.Store(gen | bit); o.resolvePlainly(7) {
			t.Errorf("with the phase %b it was", bit)
		}
		if got := o.state.Load(); got != gen|bit {
			t.Errorf("%b has become %b", uint64(gen|bit), got)
		}
	}
	o := &op{}
	if o.state.Store(gen); !o.resolvePlainly(7) || o.res != 7 {
		t.Error("it was not published")
	}
	if res, ok := o.snatch(5); !ok || res != 7 {
		t.Error(res, ok)
	}
}
