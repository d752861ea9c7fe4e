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

// Who may have to go, or waits for what may never come, comes back soon.
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
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	buf := make([]byte, 1)
	for _, c := range []struct {
		name string
		wait func() error
		want time.Duration
	}{
		{"read", func() error { _, err := r.ReadAt(f, buf, 0).Wait(); return err }, longLead},
		{"write", func() error { _, err := r.WriteAt(f, nil, 0).Wait(); return err }, longLead},
		{"fdatasync", func() error { _, err := r.Fdatasync(f).Wait(); return err }, longLead},
		{"read, until a context ends", func() error { _, err := r.ReadAt(f, buf, 0).WaitContext(ctx); return err }, lead},
		{"nop", func() error { _, err := r.Nop().Wait(); return err }, lead},
	} {
		k.waited = nil
		if err := c.wait(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if len(k.waited) != 2 || k.waited[0] != c.want || k.waited[1] != c.want {
			t.Errorf("%s: a leader stays for %v, not %v", c.name, k.waited, c.want)
		}
	}
}
