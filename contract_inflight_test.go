package rio_test

import (
	"bytes"
	"io"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
)

// hangingReader and hangingWaiter are names to be looked for.
func hangingReader(c *rio.Conn) { c.Read(make([]byte, 1)) }

func hangingWaiter(r *rio.Ring, f *rio.File) rio.Completion[int] {
	return r.ReadAt(f, make([]byte, 1), 0)
}

// inFlightProfile is rio.inflight, as text.
func inFlightProfile(t *testing.T) string {
	t.Helper()
	var text bytes.Buffer
	if err := pprof.Lookup("rio.inflight").WriteTo(&text, 1); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func TestTheProfileNamesWhoHangs(t *testing.T) {
	r := newRing(t, nil)
	a, b := connPair(t, r, "tcp4")
	in, out := pipeOn(t, r)
	if text := inFlightProfile(t); strings.Contains(text, "hanging") || pprof.Lookup("rio.inflight").Count() != 0 {
		t.Errorf("though it is off:\n%s", text)
	}
	rio.TraceInFlight(true)
	defer rio.TraceInFlight(false)
	var wg sync.WaitGroup
	wg.Go(func() { hangingReader(a) })
	read := hangingWaiter(r, in)
	comesTrue(t, "both are in the profile", func() bool {
		text := inFlightProfile(t)
		return strings.Contains(text, "rio_test.hangingReader") && strings.Contains(text, "rio_test.hangingWaiter")
	})
	rio.TraceInFlight(false) // what is in it leaves it when it ends
	if _, err := b.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if text := inFlightProfile(t); strings.Contains(text, "hangingReader") || !strings.Contains(text, "hangingWaiter") {
		t.Errorf("one of them has ended:\n%s", text)
	}
	io.WriteString(out, "x")
	if n, err := read.Wait(); n != 1 || err != nil {
		t.Error(n, err)
	}
	if n := pprof.Lookup("rio.inflight").Count(); n != 0 {
		t.Errorf("%d are left:\n%s", n, inFlightProfile(t))
	}
}

// It may be switched while operations run, and looked at.
func TestTheProfileMayBeSwitchedUnderLoad(t *testing.T) {
	r := newRing(t, &rio.Config{Depth: 4})
	a, b := connPair(t, r, local())
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for _, work := range []func(){
		func() { r.Nop().Wait() },
		func() { r.Nop(rio.Link); r.Nop().Wait() },
		func() { a.Write([]byte("x")) },
		func() { b.SetReadDeadline(time.Now().Add(time.Millisecond)); b.Read(make([]byte, 1)) },
	} {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					work()
				}
			}
		})
	}
	for i := range 100 {
		rio.TraceInFlight(i%2 == 0)
		inFlightProfile(t)
	}
	rio.TraceInFlight(false)
	close(stop)
	a.Close()
	wg.Wait()
	settled(t, r)
	if n := pprof.Lookup("rio.inflight").Count(); n != 0 {
		t.Errorf("%d are left:\n%s", n, inFlightProfile(t))
	}
}
