package rio

import (
	"context"
	"os"
	"testing"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// A new kind whose opcode nobody has written down would be refused by the kernel.
func TestEveryKindIsAllowedOnARestrictedRing(t *testing.T) {
	allowed := map[uring.Opcode]bool{}
	for _, o := range uring.Operations {
		allowed[o.Op] = o.Ring
	}
	for k, desc := range kinds {
		if !allowed[desc.op] {
			t.Errorf("kind %d, %s: opcode %d is not among uring.Operations", k, desc.name, desc.op)
		}
	}
	if !allowed[uring.OpPollAdd] || !allowed[uring.OpAsyncCancel] {
		t.Error("a Ring can't poll, or can't cancel")
	}
}

// serving calls f while r serves a Listener, and returns when that has ended.
func serving(t *testing.T, r *Ring, f func(loops []*loop)) {
	t.Helper()
	l, err := r.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	opened := make(chan *loop)
	done := make(chan error, 1)
	go func() {
		done <- l.Serve(ctx, &Server{Loops: 2, Open: func(s *Stream) Handler {
			opened <- s.loop
			return nil
		}})
	}()
	c, err := r.Dial(ctx, "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f((<-opened).v.loops) // and all of them have been opened
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestRingItsSideLanesAndItsLoopsAreRestrictedUnlessToldOtherwise(t *testing.T) {
	if kernelOfTests.Make != nil {
		t.Skip("on a simulated kernel there is nothing to restrict")
	}
	for _, free := range []bool{false, true} {
		r, err := New(&Config{Unrestricted: free})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if b, why := r.Backend(); b != IOUring {
			t.Skipf("a Ring on %v has nothing to restrict: %s", b, why)
		}
		if !free && !r.k.Restricted && os.Getenv("RIO_TEST_REQUIRE") == "" {
			t.Skip("this kernel has no IORING_REGISTER_RESTRICTIONS")
		}
		r.widen(2)
		lanes := 0
		for l := range r.lanes() {
			if lanes++; l.k.Restricted == free {
				t.Errorf("Unrestricted: %v; a lane is restricted: %v", free, l.k.Restricted)
			}
			if l.k.Flags&(uring.SetupSQPoll|uring.SetupIOPoll) != 0 {
				t.Errorf("a lane has the flags %#x", l.k.Flags)
			}
		}
		if lanes != 3 {
			t.Errorf("there are %d lanes", lanes)
		}
		serving(t, r, func(loops []*loop) {
			for _, l := range loops {
				if l.k.Restricted == free {
					t.Errorf("Unrestricted: %v; a loop is restricted: %v", free, l.k.Restricted)
				}
			}
		})
	}
}

// With a thread of the kernel that polls, the ring has to be enabled before anything is entered.
func TestPollingRingIsRestrictedToo(t *testing.T) {
	r, err := New(&Config{Depth: 4, SQPoll: true})
	if err != nil {
		t.Skip(err)
	}
	defer r.Close()
	if b, why := r.Backend(); b != IOUring {
		t.Skipf("a Ring on %v has no thread that polls: %s", b, why)
	}
	if !r.k.Restricted && os.Getenv("RIO_TEST_REQUIRE") != "" {
		t.Error("it is not")
	}
	for range 100 {
		if _, err := r.Nop().Wait(); err != nil {
			t.Fatal(err)
		}
	}
}
