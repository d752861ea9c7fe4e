package threads

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// What has to be waited for waits in a Read, Write or Accept of packages os and net, and so on Go's poller, on a goroutine
// for each direction that has something to do. A deadline ends it.

// A direction does one request after the other.
type direction struct {
	do       func(r *request) (int32, error)
	deadline func(time.Time) error
	queue    []*request // the first one is being done
	busy     bool       // there is a goroutine
	alone    alone

	mu      sync.Mutex
	kicked  bool      // the first one was cancelled
	limit   time.Time // when a RawConn gives up, which waits without a request; zero: never, or there is none
	limited bool      // there was a limit since the first one was begun
}

// Limit moves the deadline of who waits by way of a RawConn.
func (d *direction) Limit(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.limit, d.limited = t, d.limited || !t.IsZero()
	if !d.kicked && d.deadline != nil {
		d.deadline(t)
	}
}

// perform does r.
func (d *direction) perform(r *request) (int32, error) {
	d.mu.Lock()
	d.limited = !d.limit.IsZero()
	d.mu.Unlock()
	return d.do(r)
}

// settle has the deadline as it was before a kick. It reports whether there was one, and whether a RawConn had a limit.
func (d *direction) settle() (kicked, limited bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if kicked = d.kicked; kicked {
		d.kicked = false
		d.deadline(d.limit)
	}
	return kicked, d.limited
}

// kick ends what the first request waits in.
func (d *direction) kick() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kicked = true
	d.deadline(time.Unix(1, 0))
}

func (d *direction) begin(r *request) {
	d.queue = append(d.queue, r)
	r.k.wait(r, d.cancel)
	if !d.busy {
		d.busy = true
		k := r.k
		k.outside.run(func() { d.run(k) })
	}
}

// cancel takes r out, or ends what it waits in; then it is complete later.
func (d *direction) cancel(r *request) (ended bool) {
	i := slices.Index(d.queue, r)
	if i != 0 {
		d.queue = slices.Delete(d.queue, i, i+1)
		return true
	}
	if d.alone.call != nil {
		return d.cancelAlone(r.k)
	}
	d.kick()
	return false
}

// run is the goroutine.
func (d *direction) run(k *kernel) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for len(d.queue) > 0 {
		r := d.queue[0]
		if d.alone.call != nil {
			d.runAlone(k, r)
			continue
		}
		k.mu.Unlock()
		n, err := d.perform(r)
		k.mu.Lock()
		kicked, limited := d.settle()
		if n <= 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			if kicked {
				err = syscall.ECANCELED
			} else if limited {
				k.mu.Unlock()
				runtime.Gosched() // whose limit it was removes it
				k.mu.Lock()
				continue
			}
		}
		res := result(int(n), err)
		d.queue = slices.Delete(d.queue, 0, 1)
		delete(k.waiting, r.data)
		r.end = nil
		k.complete(r, res)
	}
	d.busy = false
}

// restore undoes a deadline of the request's own, if it was not kicked.
func (d *direction) restore() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.kicked {
		d.deadline(d.limit)
	}
}

// A stream is what is read from and written to without an offset.
type stream struct{ in, out direction }

// deadlines are what os.File and net.Conn have.
type deadlines interface {
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

func newStream(rw io.ReadWriter, d deadlines) *stream {
	if !hasDeadlines(d) {
		i := interrupts(rw)
		return &stream{in: direction{alone: alone{call: rw.Read, interrupter: i, reads: true}}, out: direction{alone: alone{call: rw.Write, interrupter: i}}}
	}
	s := &stream{}
	s.in.deadline, s.out.deadline = d.SetReadDeadline, d.SetWriteDeadline
	s.in.do = func(r *request) (int32, error) { return receive(r, rw.Read) }
	s.out.do = func(r *request) (int32, error) {
		if r.Op == uring.OpConnect {
			return 0, connect(rw, r)
		}
		if r.Op == uring.OpSend && r.OpFlags&uring.DontWait != 0 {
			d.SetWriteDeadline(time.Now().Add(atOnce))
			defer s.out.restore()
			n, err := send(r, rw.Write)
			if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
				err = syscall.EAGAIN
			}
			return n, err
		}
		return send(r, rw.Write)
	}
	return s
}

// hasDeadlines asks d by way of that for reading, which is none then; but those of package net have both.
func hasDeadlines(d deadlines) bool {
	switch d.(type) {
	case *net.TCPConn, *net.UnixConn, *net.UDPConn, *net.IPConn:
		return true
	}
	return d.SetReadDeadline(time.Time{}) == nil
}

// atOnce is how long something may take that isn't to be waited for: with a deadline that has passed nothing is tried.
const atOnce = 5 * time.Millisecond

// Limit moves the deadline of who reads, or writes, by way of a RawConn.
func (s *stream) Limit(write bool, t time.Time) {
	if write {
		s.out.Limit(t)
	} else {
		s.in.Limit(t)
	}
}

func (s *stream) begin(r *request) {
	switch r.Op {
	case uring.OpRead, uring.OpReadv, uring.OpRecv:
		s.in.begin(r)
	case uring.OpWrite, uring.OpWritev, uring.OpSend:
		s.out.begin(r)
	case uring.OpConnect:
		if s.out.deadline == nil { // nobody could end it
			r.k.complete(r, -int32(syscall.EOPNOTSUPP))
			return
		}
		s.out.begin(r)
	default:
		r.k.complete(r, -int32(syscall.EINVAL))
	}
}

func (s *stream) perform(*request) (int32, bool) { panic("threads: a stream is not for the pool") }

// receive is one read, or as many as it takes (MSG_WAITALL).
func receive(r *request, f func([]byte) (int, error)) (int32, error) {
	b := flat(r.buffers())
	if len(b) == 0 {
		return 0, nil
	}
	var n int
	var err error
	if r.Op == uring.OpRecv && r.OpFlags&uring.MsgWaitAll != 0 {
		n, err = read(b, func(p []byte) (int, error) { return io.ReadFull(reader(f), p) })
	} else {
		n, err = read(b, f)
	}
	if r.Op == uring.OpReadv {
		for i, left := 0, b[:n]; len(left) > 0; i++ {
			left = left[uring.KernelCopy(r.buffers()[i], left):]
		}
	}
	return int32(n), err
}

type reader func([]byte) (int, error)

func (f reader) Read(p []byte) (int, error) { return f(p) }

func send(r *request, f func([]byte) (int, error)) (int32, error) {
	n, err := write(flat(r.buffers()), f)
	return int32(n), err
}

// flat is bufs in one piece: a copy, if they are several.
func flat(bufs [][]byte) []byte {
	if len(bufs) == 1 {
		return bufs[0]
	}
	n := 0
	for _, b := range bufs {
		n += len(b)
	}
	all := make([]byte, n)
	n = 0
	for _, b := range bufs {
		n += uring.KernelCopy(all[n:], b)
	}
	return all
}
