package rio

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio/internal/hook"
	"github.com/seed-9c58b644/rio/internal/uring"
)

// A slowKernel ends what it has once somebody has waited for it twice, and remembers how long he would have.
type slowKernel struct {
	puppet
	waited []time.Duration
}

func (k *slowKernel) Enter(submit, wait, flags uint32, most time.Duration) (int, syscall.Errno) {
	n, _ := k.puppet.Enter(submit, 0, flags, 0)
	if wait > 0 {
		if k.waited = append(k.waited, most); len(k.waited)%2 != 0 {
			return n, syscall.EINTR // as if a signal had come
		}
		k.answer(0, 0)
	}
	return n, 0
}

// Who may have to go, or waits for what may never come or for what comes of no CQE, comes back soon; and so does whoever would be
// the last that could look at timers.
func TestALeaderStaysForAsLongAsADeviceTakes(t *testing.T) {
	firstLaneOnly(t)
	k := &slowKernel{}
	r, err := newOn(nil, hook.Kernel{Make: func(q *uring.Queues) uring.Kernel { k.q = q; return k }, Manual: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f, err := r.newVirtual(noFile{})
	if err != nil {
		t.Fatal(err)
	}
	pipe, err := r.newVirtual(noFile{})
	if err != nil {
		t.Fatal(err)
	}
	f.bounded, pipe.bounded = true, false
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	one := make([]byte, 1)
	two := [][]byte{one, one}
	result := func(_ int, err error) error { return err }
	done := func(_ struct{}, err error) error { return err }
	for _, c := range []struct {
		name  string
		procs int32
		wait  func() error
		want  time.Duration
	}{
		{"read", 2, func() error { return result(r.ReadAt(f, one, 0).Wait()) }, longLead},
		{"write", 2, func() error { return result(r.WriteAt(f, one, 0).Wait()) }, longLead},
		{"readv", 2, func() error { return result(r.ReadvAt(f, two, 0).Wait()) }, longLead},
		{"writev", 2, func() error { return result(r.WritevAt(f, two, 0).Wait()) }, longLead},
		{"fsync", 2, func() error { return done(r.Fsync(f).Wait()) }, longLead},
		{"fdatasync", 2, func() error { return done(r.Fdatasync(f).Wait()) }, longLead},
		{"sync_file_range", 2, func() error { return done(r.SyncFileRange(f, 0, 1).Wait()) }, longLead},
		{"fallocate", 2, func() error { return done(r.Fallocate(f, 0, 0, 1).Wait()) }, longLead},
		{"a context that never ends", 2, func() error { return result(r.ReadAt(f, one, 0).WaitContext(context.Background())) }, longLead},
		{"a context", 2, func() error { return result(r.ReadAt(f, one, 0).WaitContext(ctx)) }, lead},
		{"pipe", 2, func() error { return result(r.ReadAt(pipe, one, 0).Wait()) }, lead},
		{"nop", 2, func() error { return done(r.Nop().Wait()) }, lead},
		{"the only P", 1, func() error { return result(r.ReadAt(f, one, 0).Wait()) }, lead},
		{"the last P", 2, func() error {
			longLeaders.Add(1)
			defer longLeaders.Add(-1)
			return result(r.ReadAt(f, one, 0).Wait())
		}, lead},
		{"held back", 2, func() error {
			r.ReadAt(pipe, make([]byte, 1), 0)
			return result(r.ReadAt(f, one, 0, Drain).Wait())
		}, lead},
	} {
		k.waited = nil
		r.procs.Store(c.procs)
		if err := c.wait(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if len(k.waited) < 2 || k.waited[0] != c.want || k.waited[1] != c.want {
			t.Errorf("%s: a leader stays for %v, not %v", c.name, k.waited, c.want)
		}
	}
}
