package threads

import (
	"runtime"
	"slices"
)

// A pool is the goroutines that do what ends by itself. There are as many as there was work for at once, up to a limit: each
// may hold a thread in a system call.
type pool struct {
	k      *kernel
	queue  []*request // nobody is free for them; those before head are begun
	head   int
	idle   []*worker // who was busy last comes first
	n, max int
	closed bool
	gone   chan struct{} // closed when the last one has ended; no WaitGroup, which wants to know who is in a synctest bubble
}

type worker struct{ work chan *request }

// workers is how many goroutines a pool has at most: enough to keep a disk busy.
func workers() int { return max(64, 4*runtime.GOMAXPROCS(0)) }

func (p *pool) init(k *kernel) { p.k, p.max, p.gone = k, workers(), make(chan struct{}) }

// do has r performed. Under mu.
func (p *pool) do(r *request) {
	if n := len(p.idle); n > 0 {
		w := p.idle[n-1]
		p.idle = p.idle[:n-1]
		w.work <- r
		return
	}
	if p.head > 64 && p.head > len(p.queue)/2 { // it may never be empty
		n := copy(p.queue, p.queue[p.head:])
		clear(p.queue[n:])
		p.queue, p.head = p.queue[:n], 0
	}
	p.queue = append(p.queue, r)
	if p.n < p.max {
		p.n++
		p.k.outside.run(p.worker)
	}
}

// next is what w does next: nil if it is to wait for it. Under mu.
func (p *pool) next(w *worker) *request {
	if p.head == len(p.queue) {
		p.queue, p.head = p.queue[:0], 0
		if p.closed {
			close(w.work)
		} else {
			p.idle = append(p.idle, w)
		}
		return nil
	}
	r := p.queue[p.head]
	p.queue[p.head] = nil
	p.head++
	return r
}

// remove takes out the request that has data, if nobody has begun it. Under mu.
func (p *pool) remove(data uint64) *request {
	for i := p.head; i < len(p.queue); i++ {
		if r := p.queue[i]; r.data == data {
			p.queue = slices.Delete(p.queue, i, i+1)
			return r
		}
	}
	return nil
}

func (p *pool) worker() {
	k, w := p.k, &worker{work: make(chan *request, 1)}
	k.mu.Lock()
	for {
		r := p.next(w)
		k.mu.Unlock()
		if r == nil {
			if r = <-w.work; r == nil {
				p.leave()
				return
			}
		}
		res, blocked := r.target.perform(r)
		k.mu.Lock()
		if blocked {
			r.target.begin(r)
		} else {
			k.complete(r, res)
		}
	}
}

func (p *pool) leave() {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	if p.n--; p.n == 0 {
		close(p.gone)
	}
}

// close ends the goroutines, which have nothing to do.
func (p *pool) close() {
	p.k.mu.Lock()
	p.closed = true
	for _, w := range p.idle {
		close(w.work)
	}
	p.idle = nil
	if p.n == 0 {
		close(p.gone)
	}
	p.k.mu.Unlock()
	<-p.gone
}

// outside starts goroutines, and makes channels, for whoever asks, from a goroutine that is as old as the kernel: what is
// started in a synctest bubble belongs to that.
type outside struct {
	funcs chan func()
	fresh chan chan error
	stop  chan struct{}
	gone  chan struct{}
}

func (o *outside) init() {
	o.funcs, o.fresh = make(chan func()), make(chan chan error)
	o.stop, o.gone = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(o.gone)
		for {
			select {
			case f := <-o.funcs:
				go f()
			case o.fresh <- make(chan error, 1):
			case <-o.stop:
				return
			}
		}
	}()
}

func (o *outside) run(f func())        { o.funcs <- f }
func (o *outside) newChan() chan error { return <-o.fresh }

func (o *outside) close() {
	close(o.stop)
	<-o.gone
}
