package uring

import (
	"errors"
	"slices"
	"syscall"
	"testing"
	"time"
)

// An echo answers each request with its length.
type echo struct {
	q      *Queues
	closed bool
	calls  [][3]uint32
	file   [2]int
	limit  time.Duration
}

func (k *echo) Enter(submit, wait, flags uint32, limit time.Duration) (int, syscall.Errno) {
	k.calls, k.limit = append(k.calls, [3]uint32{submit, wait, flags}), limit
	n := 0
	for ; n < int(submit); n++ {
		req, data, ok := k.q.Take()
		if !ok {
			break
		}
		k.q.Post(CQE{UserData: data, Res: int32(req.Len)})
	}
	return n, 0
}

func (k *echo) SetFile(place uint32, fd int) error { k.file = [2]int{int(place), fd}; return nil }
func (k *echo) Close() error                       { k.closed = true; return nil }

func openEcho(t *testing.T, c Config) (*Ring, *echo) {
	t.Helper()
	k := &echo{}
	c.Kernel = func(q *Queues) Kernel { k.q = q; return k }
	r, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return r, k
}

func TestRingOnAKernelOfItsOwn(t *testing.T) {
	r, k := openEcho(t, Config{Entries: 4, CQEntries: 8, Wait: time.Second, LongWait: time.Minute, Files: 3})
	if !r.Links() || r.Files != 3 {
		t.Errorf("Links %v, Files %d", r.Links(), r.Files)
	}
	for i := range uint32(200) { // past the place where the indices wrap
		for j := range uint32(3) {
			r.SQ.Claim().Fill(OpRead, 0, 1, 0, Addr{}, 10*i+j, 0, uint64(j))
		}
		r.SQ.Publish()
		if n, errno := r.Submit(); n != 3 || errno != 0 || r.SQ.Pending() != 0 {
			t.Fatalf("Submit: %d, %v, %d pending", n, errno, r.SQ.Pending())
		}
		if n := r.CQ.Ready(); n != 3 || k.q.Unread() != 3 {
			t.Fatalf("%d are ready, %d unread", n, k.q.Unread())
		}
		for j := range uint32(3) {
			if c := r.CQ.Next(); c.UserData != uint64(j) || c.Res != int32(10*i+j) {
				t.Fatalf("CQE %+v", c)
			}
		}
		r.CQ.Done()
	}
	r.Wait(false)
	if last := k.calls[len(k.calls)-1]; last != [3]uint32{0, 1, EnterGetEvents} || k.limit != time.Second {
		t.Errorf("Wait enters with %v, %v", last, k.limit)
	}
	if r.Wait(true); k.limit != time.Minute {
		t.Errorf("a long Wait enters with %v", k.limit)
	}
	r.Events()
	if last := k.calls[len(k.calls)-1]; last != [3]uint32{0, 0, EnterGetEvents} {
		t.Errorf("Events enters with %v", last)
	}
	if err := r.SetFile(2, 7); err != nil || k.file != [2]int{2, 7} {
		t.Errorf("SetFile: %v, %v", k.file, err)
	}
	k.q.Overflown(true)
	if !r.SQ.Overflown() {
		t.Error("the overflow flag is not seen")
	}
	if err := r.Close(); err != nil || !k.closed {
		t.Errorf("Close: %v, %v", err, k.closed)
	}
	if _, err := r.Event.Read(make([]byte, 8)); err == nil {
		t.Error("the bell of a closed ring can be read")
	}
}

func TestChainEndsWithItsLastLinkOrWithTheSubmission(t *testing.T) {
	r, k := openEcho(t, Config{Entries: 8, CQEntries: 8})
	defer r.Close()
	publish := func(links ...bool) {
		for i, linked := range links {
			flags := SQEFlags(SQEAsync)
			if linked {
				flags |= SQELink
			}
			r.SQ.Claim().Fill(OpRead, flags, int32(i), 0, Addr{}, 0, 0, uint64(i))
		}
		r.SQ.Publish()
	}
	takes := func(limit uint32, want ...uint64) {
		t.Helper()
		chain := k.q.Chain(limit)
		var got []uint64
		for _, c := range chain {
			if got = append(got, c.Data); uint64(c.FD) != c.Data {
				t.Errorf("the request of %d is another's: %+v", c.Data, c.Request)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("the chain is %v, want %v", got, want)
		}
	}
	for range 20 { // past the place where the indices wrap
		publish(false, true, true, false, true)
		takes(0)
		takes(5, 0)
		takes(4, 1, 2, 3)
		takes(1, 4) // nothing is behind it
		takes(1)
		publish(true, true, true, false)
		takes(2, 0, 1) // the rest is another submission
		takes(2, 2, 3)
		publish(true)
		takes(8, 0)
	}
}

func TestKernelOfItsOwnPollsNothing(t *testing.T) {
	for _, flags := range []uint32{SetupSQPoll, SetupIOPoll} {
		_, err := Open(Config{Entries: 4, CQEntries: 8, Flags: flags, Kernel: func(*Queues) Kernel { return &echo{} }})
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("flags %#x: %v", flags, err)
		}
	}
}

func TestBellRingsOnlyWhenSwitchedOn(t *testing.T) {
	r, k := openEcho(t, Config{Entries: 4, CQEntries: 8})
	defer r.Close()
	b := r.Event.(*Bell)
	k.q.Post(CQE{})
	if len(b.rung) != 0 {
		t.Error("it rang while it was switched off")
	}
	r.CQ.Notify(true)
	k.q.Post(CQE{})
	k.q.Post(CQE{})
	if n, err := r.Event.Read(make([]byte, 8)); n != 8 || err != nil {
		t.Errorf("Read: %d, %v", n, err)
	}
	if len(b.rung) != 0 {
		t.Error("one Read is not enough for two CQEs")
	}
	other, _ := openEcho(t, Config{Entries: 4, CQEntries: 8, Event: r.Event})
	other.Close()
	k.q.Post(CQE{})
	if _, err := r.Event.Read(make([]byte, 8)); err != nil {
		t.Error("another ring has closed the bell that it shares:", err)
	}
}

func TestBytesBehindAnAddress(t *testing.T) {
	var pins Pins
	defer pins.Release()
	b := []byte("some bytes")
	v, vec := pins.Vector(nil, [][]byte{b[:4], nil, b[5:]})
	if got := pins.Bytes(b).Bytes(4); string(got) != "some" || &got[0] != &b[0] {
		t.Errorf("Bytes: %q", got)
	}
	got := vec.Buffers(len(v))
	if len(got) != 3 || string(got[0]) != "some" || len(got[1]) != 0 || string(got[2]) != "bytes" || &got[2][0] != &b[5] {
		t.Errorf("Buffers: %q", got)
	}
	if (Addr{}).Bytes(3) != nil || (Addr{}).Buffers(3) != nil {
		t.Error("there is something behind no address")
	}
}
