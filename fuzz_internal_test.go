package rio

import (
	"errors"
	"io/fs"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio/internal/hook"
	"github.com/seed-9c58b644/rio/internal/uring"
)

// A puppet is a kernel that does nothing but keep what it is given: the test says what comes back.
type puppet struct {
	q   *uring.Queues
	has []uint64 // user_data of what it was given and has not answered
}

func (k *puppet) Enter(submit, wait, _ uint32, _ time.Duration) (int, syscall.Errno) {
	n := 0
	for ; n < int(submit); n++ {
		q, data, ok := k.q.Take()
		if !ok {
			break
		}
		if q.Op != uring.OpAsyncCancel {
			k.has = append(k.has, data)
		}
	}
	if wait > 0 && k.q.Unread() == 0 {
		if len(k.has) == 0 {
			panic("somebody waits for nothing")
		}
		k.answer(0, -int32(syscall.EIO)) // whoever waits hears of it
	}
	return n, 0
}

// answer posts the CQE of one that it has.
func (k *puppet) answer(i int, res int32) uint64 {
	data := k.has[i]
	k.has = append(k.has[:i], k.has[i+1:]...)
	k.q.Post(uring.CQE{UserData: data, Res: res})
	return data
}

func (*puppet) SetFile(uint32, int) error { return nil }
func (*puppet) Close() error              { return nil }

// A noFile is a file that only has a descriptor.
type noFile struct{}

func (noFile) Name() string                         { return "none" }
func (noFile) Stat() (fs.FileInfo, error)           { return nil, syscall.ENOSYS }
func (noFile) ReadDir(int) ([]fs.DirEntry, error)   { return nil, syscall.ENOSYS }
func (noFile) Close() error                         { return nil }
func (noFile) Seek(off int64, _ int) (int64, error) { return 0, syscall.ESPIPE }
func (noFile) Truncate(int64) error                 { return syscall.ENOSYS }
func (noFile) Flags() int                           { return 0 }

func onPuppet(t *testing.T, c *Config) (*Ring, *puppet, *File) {
	t.Helper()
	k := &puppet{}
	r, err := newOn(c, hook.Kernel{Make: func(q *uring.Queues) uring.Kernel { k.q = q; return k }, Manual: true})
	if err != nil {
		t.Fatal(err)
	}
	f, err := r.newVirtual(noFile{})
	if err != nil {
		t.Fatal(err)
	}
	return r, k, f
}

// A known is an operation of the fuzz targets, as the test knows it.
type known struct {
	data      uint64
	n         Completion[int]
	nothing   Completion[struct{}]
	counts    bool
	cancelled bool
	answers   []int32 // what the kernel has said of it, more than once if it was started again
	taken     bool
}

// wait takes the result, which has to be what the kernel has said last.
func (o *known) wait(t *testing.T) {
	n, err := 0, error(nil)
	if o.counts {
		n, err = o.n.Wait()
	} else {
		_, err = o.nothing.Wait()
	}
	if o.taken {
		if !errors.Is(err, ErrWaited) {
			t.Fatalf("a result was taken twice: %d, %v", n, err)
		}
		return
	}
	o.taken = true
	if errors.Is(err, syscall.EIO) && n == 0 {
		return // what the puppet says to who waits
	}
	if len(o.answers) == 0 {
		t.Fatalf("%d, %v, and the kernel has not answered", n, err)
	}
	switch res := o.answers[len(o.answers)-1]; {
	case o.cancelled && errors.Is(err, syscall.ECANCELED):
	case res >= 0 && (err != nil || o.counts && n != int(res)):
		t.Fatalf("the kernel has said %d: %d, %v", res, n, err)
	case res < 0 && (n != 0 || !errors.Is(err, syscall.Errno(-res))):
		t.Fatalf("the kernel has said %v: %d, %v", syscall.Errno(-res), n, err)
	}
}

// answers are what a kernel may say. ECANCELED and EINTR start an operation again, EAGAIN polls first.
var answers = []int32{
	0, 1, 50, 99, 100, -int32(syscall.EIO), -int32(syscall.ECANCELED), -int32(syscall.EINTR), -int32(syscall.EAGAIN),
	-int32(syscall.EINVAL), -int32(syscall.ENOSPC), -int32(syscall.EBADF), -int32(syscall.ENOENT), -int32(syscall.EALREADY),
	-int32(syscall.ETIMEDOUT), -int32(syscall.EINPROGRESS),
}

// FuzzCompletions lets a kernel answer in any order and with anything, also for what it was never given: each operation
// resolves once, with its own answer; an answer to nothing is a panic.
func FuzzCompletions(f *testing.F) {
	f.Add([]byte{0x00, 0x01, 0x02, 0x40, 0x50, 0x61, 0x80, 0x81, 0x82})
	f.Add([]byte{0x01, 0x46, 0x40, 0x48, 0x41, 0x42, 0x80})
	f.Add([]byte{0x02, 0x01, 0xa1, 0x56, 0x46, 0x80, 0x81, 0x80})
	f.Add([]byte{0x00, 0x41, 0xc0})
	f.Add([]byte{0x00, 0x00, 0x41, 0xe1})
	f.Fuzz(func(t *testing.T, in []byte) {
		r, k, file := onPuppet(t, &Config{Depth: 8, CQDepth: 16})
		var all []*known
		find := func(data uint64) *known {
			for _, o := range all {
				if o.data == data {
					return o
				}
			}
			return nil
		}
		for _, b := range in {
			switch arg := int(b & 31); b >> 5 {
			case 0, 1: // start
				if r.Stats().InFlight == r.Stats().Capacity {
					continue // it would wait
				}
				o := &known{}
				switch arg % 4 {
				case 0:
					o.nothing = r.Nop()
				case 1:
					o.n, o.counts = r.ReadAt(file, make([]byte, 100), 0), true
				case 2:
					o.n, o.counts = r.WriteAt(file, make([]byte, 100), 0), true
				case 3:
					o.nothing = r.Fdatasync(file)
				}
				pending := o.nothing.pending
				if o.counts {
					pending = o.n.pending
				}
				o.data = pending.o.data
				if find(o.data) != nil {
					t.Fatalf("user_data %#x for the second time", o.data)
				}
				all = append(all, o)
			case 2, 3: // answer
				r.flush()
				if len(k.has) == 0 {
					continue
				}
				res := answers[arg%16]
				o := find(k.answer(int(b>>4)%len(k.has), res))
				o.answers = append(o.answers, res)
				r.reap()
				r.follow()
			case 4: // take
				if len(all) > 0 {
					all[arg%len(all)].wait(t)
				}
			case 5: // cancel
				if len(all) > 0 {
					o := all[arg%len(all)]
					o.cancelled = true
					if o.counts {
						o.n.Cancel()
					} else {
						o.nothing.Cancel()
					}
				}
			case 6, 7: // something that nobody has asked for
				place := arg % len(r.table)
				e := r.table[place]
				data := uint64(e.gen+1+uint32(b>>5))<<32 | uint64(place)
				if b>>5 == 7 && e.op == nil {
					data = uint64(e.gen)<<32 | uint64(place) // what has ended already
				}
				if arg == 31 {
					data = uint64(len(r.table)) // no place of the table
				}
				rogue(t, r, k, data)
				return
			}
			if s := r.Stats(); s.InFlight > s.Capacity || s.Started-s.Completed != uint64(s.InFlight) {
				t.Fatalf("%+v", s)
			}
		}
		for _, o := range all {
			o.wait(t)
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if s := r.Stats(); s.InFlight != 0 || s.Started != uint64(len(all)) || s.Completed != s.Started {
			t.Errorf("%d operations, and %+v", len(all), s)
		}
	})
}

// rogue expects that a CQE for nothing is a panic. The Ring is of no use afterwards.
func rogue(t *testing.T, r *Ring, k *puppet, data uint64) {
	defer func() {
		if recover() == nil {
			t.Errorf("nobody noticed a CQE with user_data %#x", data)
		}
		close(r.stop)
		r.k.Event.Close()
		for _, e := range r.table {
			if e.op != nil {
				e.op.pins.Release() // nobody else will
			}
		}
	}()
	k.q.Post(uring.CQE{UserData: data})
	r.cq.mu.Lock()
	r.drain()
	r.cq.mu.Unlock()
}

// FuzzTable starts operations with and without tickets, and ends them in any order: no two in flight have a place in common,
// what is given back is used again, and the table grows for what takes no ticket only.
func FuzzTable(f *testing.F) {
	f.Add([]byte{0x00, 0x01, 0x80, 0x00, 0x81, 0x82})
	f.Add([]byte{0x01, 0x01, 0x01, 0x01, 0x83, 0x81, 0x01, 0x80})
	f.Fuzz(func(t *testing.T, in []byte) {
		r, k, file := onPuppet(t, &Config{Depth: 4, CQDepth: 8})
		type live struct {
			quiet bool
			gen   uint32
			o     *op
			opGen uint64
		}
		lives := map[uint32]live{}
		gens := map[uint32]uint32{}
		quiet, most := 0, 0
		end := func(i int) {
			r.flush()
			place := uint32(k.answer(i, 0))
			r.reap()
			l := lives[place]
			for uring.Race && !l.o.isDone() {
				runtime.Gosched() // its witness is on its way
			}
			if _, same := l.o.current(l.opGen); same && !l.o.isDone() {
				t.Fatal("an operation whose CQE was read is not done")
			}
			if l.o.claim(l.opGen) {
				l.o.retire()
				r.recycle(l.o)
			} else {
				t.Fatal("it was claimed by nobody, and can't be")
			}
			if r.table[place].op != nil {
				t.Fatal("it is in the table still")
			}
			if l.quiet {
				quiet--
			}
			delete(lives, place)
		}
		for _, b := range in {
			if b >= 0x80 {
				r.flush()
				if len(k.has) > 0 {
					end(int(b&0x7f) % len(k.has))
				}
				continue
			}
			c := &call{kind: kindRead, file: file, buf: make([]byte, 10), quiet: b&1 != 0}
			if !c.quiet && len(lives)-quiet == r.Stats().Capacity || len(lives) > 200 {
				continue
			}
			o, gen, err := r.begin(c, None)
			if err != nil {
				t.Fatal(err)
			}
			if _, taken := lives[o.place()]; taken {
				t.Fatalf("place %d is taken twice", o.place())
			}
			g := r.table[o.place()].gen
			if last, used := gens[o.place()]; used && g == last {
				t.Fatalf("place %d has the generation that it had before", o.place())
			}
			gens[o.place()] = g
			lives[o.place()] = live{c.quiet, g, o, gen}
			if c.quiet {
				quiet++
				most = max(most, quiet)
			}
			// The kernel takes what it is given, and the CQ holds no more than its tickets.
			r.flush()
			if free := r.freeTickets(); int(free)+len(lives)-quiet != r.Stats().Capacity {
				t.Fatalf("%d tickets are free, with %d operations that have one", free, len(lives)-quiet)
			}
		}
		if grown := len(r.table) - 8; grown > 0 && most == 0 || grown > most+64+len(r.table)/4 {
			t.Errorf("the table has grown by %d places for %d operations", grown, most)
		}
		for len(k.has) > 0 {
			end(0)
		}
		if len(lives) != 0 {
			t.Errorf("%d operations have reached no kernel", len(lives))
		}
		file.Close()
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}
