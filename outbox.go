package rio

import (
	"sync"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// A chunk is memory that the kernel sends from, or receives into: pinned from the day it is made until it is dropped.
// What lies in [r, w) is to be sent. The kernel reads no more of it than that, so what is written behind w disturbs no
// send in flight.
type chunk struct {
	next *chunk
	buf  []byte
	r, w int
	addr uring.Addr
	pins uring.Pins
}

const (
	smallChunk = 4 << 10
	bigChunk   = 64 << 10
)

// chunks are those that a loop has to spare: as many as were needed at once, up to a limit. A Stream has some only while
// it has something unsent.
type chunks struct {
	mu         sync.Mutex
	small, big *chunk
	nsmall     int
	nbig       int
}

func (p *chunks) take(size int) *chunk {
	list, n := &p.small, &p.nsmall
	if size == bigChunk {
		list, n = &p.big, &p.nbig
	}
	p.mu.Lock()
	c := *list
	if c != nil {
		*list = c.next
		*n--
	}
	p.mu.Unlock()
	if c == nil {
		c = &chunk{buf: make([]byte, size)}
		c.addr = c.pins.Bytes(c.buf)
	}
	c.next, c.r, c.w = nil, 0, 0
	return c
}

// put takes c back. The kernel is through with it.
func (p *chunks) put(c *chunk) {
	p.mu.Lock()
	list, n, limit := &p.small, &p.nsmall, 1024
	if len(c.buf) == bigChunk {
		list, n, limit = &p.big, &p.nbig, 64
	}
	if *n < limit {
		c.next = *list
		*list = c
		*n++
		c = nil
	}
	p.mu.Unlock()
	if c != nil {
		c.pins.Release()
	}
}

// drop lets all of them go.
func (p *chunks) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range []*chunk{p.small, p.big} {
		for ; c != nil; c = c.next {
			c.pins.Release()
		}
	}
	p.small, p.big, p.nsmall, p.nbig = nil, nil, 0, 0
}

// fill is a copy of b in chunks of its own.
func (p *chunks) fill(b []byte) (first, last *chunk) {
	for len(b) > 0 {
		k := p.take(bigChunk)
		k.w = copy(k.buf, b)
		b = b[k.w:]
		if first == nil {
			first = k
		} else {
			last.next = k
		}
		last = k
	}
	return first, last
}

// queue queues what fill has made, n bytes. Under c.mu.
func (c *Stream) queue(first, last *chunk, n int) {
	c.unsent += n
	if c.last == nil {
		c.out = first
	} else {
		c.last.next = first
	}
	c.last = last
}

// push queues a copy of p. Under c.mu.
func (c *Stream) push(p []byte) {
	c.unsent += len(p)
	for len(p) > 0 {
		k := c.last
		if k == nil || k.w == len(k.buf) {
			size := smallChunk
			if c.unsent > smallChunk {
				size = bigChunk
			}
			k = c.loop.spare.take(size)
			if c.last == nil {
				c.out = k
			} else {
				c.last.next = k
			}
			c.last = k
		}
		n := copy(k.buf[k.w:], p)
		k.w += n
		p = p[n:]
	}
}

// sent takes n bytes, which the socket has, off the queue; it reports whether more are there. Under c.mu.
func (c *Stream) sent(n int) (more bool) {
	k := c.out
	k.r += n
	c.unsent -= n
	if k.r == k.w {
		if c.out = k.next; c.out == nil {
			c.last = nil
		}
		c.loop.spare.put(k)
	}
	if c.unsent == 0 {
		c.tellFlushed()
	}
	return c.unsent > 0
}

// tellFlushed wakes who waits in Flush. Under c.mu.
func (c *Stream) tellFlushed() {
	if c.empty != nil {
		close(c.empty)
		c.empty = nil
	}
}
