package rio

import (
	"runtime/pprof"
	"sync/atomic"
)

// inflight is the pprof profile rio.inflight: the stacks that started what is in flight.
var inflight struct {
	on atomic.Bool
	*pprof.Profile
}

func init() { inflight.Profile = pprof.NewProfile("rio.inflight") }

// TraceInFlight switches the pprof profile "rio.inflight" on or off, for every Ring of the process. It holds the stack
// that started each operation which the kernel has not ended, those included that a Conn or Listener waits for: where it
// hangs, and for whom, is in
//
//	pprof.Lookup("rio.inflight").WriteTo(os.Stderr, 1)
//
// and with net/http/pprof at /debug/pprof/rio.inflight?debug=1. What was started before is not in it. Off, which is the
// default, it costs next to nothing; on, about a microsecond an operation.
func TraceInFlight(on bool) { inflight.on.Store(on) }

// trace puts o into the profile, and untrace takes it out. The profile's lock is a leaf: whoever holds it takes no other.
func (o *op) trace() {
	o.bits |= bitTraced
	inflight.Add(o, 2) // from whoever called begin
}

func (o *op) untrace() {
	o.bits &^= bitTraced
	inflight.Remove(o)
}
