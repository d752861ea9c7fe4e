package faults

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio"
)

// Work is what is done under a fault that must not be seen: files that are written and read back, a log that is appended
// to, a pipe, connections, all at once on one Ring. Every byte says where it belongs.
type work struct {
	r                *rio.Ring
	dir              string
	n                int // rounds
	ops, lost, wrong atomic.Int64
	mu               sync.Mutex
	err              error
}

func init() {
	children["work"] = func(arg string) outcome {
		n, _ := strconv.Atoi(arg)
		return inOwnRing(nil, n)
	}
	children["sqpoll"] = func(arg string) outcome {
		n, _ := strconv.Atoi(arg)
		return inOwnRing(&rio.Config{Depth: 16, SQPoll: true, SQPollIdle: time.Millisecond}, n)
	}
	children["small"] = func(arg string) outcome {
		n, _ := strconv.Atoi(arg)
		return inOwnRing(&rio.Config{Depth: 4}, n)
	}
}

// inOwnRing does n rounds of work on a Ring of its own.
func inOwnRing(cfg *rio.Config, n int) (o outcome) {
	r, err := rio.New(cfg)
	if err != nil {
		return failed(err)
	}
	o = onRing(r, n)
	if err := r.Close(); err != nil {
		o.Lost++
		o.Err += " Close: " + err.Error()
	}
	o.Pinned = r.Stats().InFlight
	return o
}

// onRing does n rounds of work on r.
func onRing(r *rio.Ring, n int) (o outcome) {
	dir, err := os.MkdirTemp("", "work")
	if err != nil {
		return failed(err)
	}
	defer os.RemoveAll(dir)
	w := &work{r: r, dir: dir, n: n}
	began := cpu()
	var wg sync.WaitGroup
	for _, part := range []func(){
		func() { w.blocks("a", true) }, func() { w.blocks("b", false) }, w.journal, w.pipe, w.echo, w.chains, w.nops, w.sides,
	} {
		wg.Add(1)
		go func() {
			defer wg.Done()
			part()
		}()
	}
	wg.Wait()
	o = outcome{Ops: w.ops.Load(), Lost: w.lost.Load(), Wrong: w.wrong.Load(), Enters: r.Stats().Enters, CPU: cpu() - began}
	if w.err != nil {
		o.Err = w.err.Error()
	}
	return o
}

func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// check counts an operation, as lost if it has failed.
func (w *work) check(what string, err error) bool {
	w.ops.Add(1)
	if err == nil {
		return true
	}
	w.lost.Add(1)
	w.fail(fmt.Errorf("%s: %w", what, err))
	return false
}

func (w *work) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = errors.Join(w.err, err)
}

// compare counts the bytes that are not as they should be.
func (w *work) compare(what string, got, want []byte) {
	if n := differ(got, want); n > 0 {
		w.wrong.Add(int64(n))
		w.fail(fmt.Errorf("%s: %d bytes are wrong", what, n))
	}
}

// tagged is a block that belongs to one place of one file, as it is in one round.
func tagged(file string, place, round, size int) []byte {
	b := make([]byte, size)
	seed := binary.LittleEndian.AppendUint64(append([]byte(file), byte(place), byte(round)), uint64(place)<<20|uint64(round))
	for i := range b {
		b[i] = seed[i%len(seed)] + byte(i>>8)
	}
	return b
}

// blocks writes eight blocks at once, and reads them back at once, in a file of the Ring's or a foreign one.
func (w *work) blocks(name string, own bool) {
	const size, many = 3000, 8
	f, err := os.Create(filepath.Join(w.dir, name))
	if !w.check("create", err) {
		return
	}
	defer f.Close()
	var conn syscall.Conn = f
	if own {
		h, err := w.r.NewFile(f)
		if !w.check("NewFile", err) {
			return
		}
		defer h.Close()
		conn = h
	}
	for round := range w.n {
		var cs [many]rio.Completion[int]
		for i := range cs {
			cs[i] = w.r.WriteAt(conn, tagged(name, i, round, size), int64(i*size))
		}
		for _, c := range cs {
			n, err := c.Wait()
			if w.check("write", err) && n != size {
				w.lost.Add(1)
			}
		}
		var bufs [many][]byte
		for i := range cs {
			bufs[i] = make([]byte, size)
			cs[i] = w.r.ReadAt(conn, bufs[i], int64(i*size))
		}
		for i, c := range cs {
			if _, err := c.Wait(); w.check("read", err) {
				w.compare(name, bufs[i], tagged(name, i, round, size))
			}
		}
	}
}

// journal appends records: one that is there twice was written twice.
func (w *work) journal() {
	name := filepath.Join(w.dir, "journal")
	f, err := w.r.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if !w.check("open", err) {
		return
	}
	for i := range w.n * 4 {
		_, err := w.r.WriteAt(f, fmt.Appendf(nil, "record %06d\n", i), 0).Wait()
		w.check("append", err)
	}
	w.check("sync", f.Sync())
	w.check("close", f.Close())
	got, err := os.ReadFile(name)
	w.check("read", err)
	var want []byte
	for i := range w.n * 4 {
		want = fmt.Appendf(want, "record %06d\n", i)
	}
	if len(got) != len(want) {
		w.lost.Add(1)
		w.fail(fmt.Errorf("the journal has %d bytes, not %d", len(got), len(want)))
	} else {
		w.compare("journal", got, want)
	}
}

// pipe has what is written to a pipe read by another goroutine, in one piece or several.
func (w *work) pipe() {
	pr, pw, err := os.Pipe()
	if !w.check("pipe", err) {
		return
	}
	want := tagged("pipe", 0, 0, 1000)
	go func() {
		defer pw.Close()
		for range w.n {
			p := want
			for len(p) > 0 {
				n, err := w.r.WriteAt(pw, p, 0).Wait()
				if !w.check("write to a pipe", err) {
					return
				}
				p = p[n:]
			}
		}
	}()
	defer pr.Close()
	var got []byte
	buf := make([]byte, 777)
	for {
		n, err := w.r.ReadAt(pr, buf, 0).Wait()
		if !w.check("read from a pipe", err) || n == 0 {
			break
		}
		got = append(got, buf[:n]...)
	}
	w.compare("pipe", got, bytes.Repeat(want, w.n))
}

// echo sends messages through connections of the Ring's, and has them come back.
func (w *work) echo() {
	l, err := w.r.Listen("tcp", "127.0.0.1:0")
	if !w.check("listen", err) {
		return
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer l.Close()
	for i := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c, err := w.r.Accept(l).Wait()
			if !w.check("accept", err) {
				return
			}
			defer c.Close()
			buf := make([]byte, 5000)
			for {
				n, err := w.r.Recv(c, buf).Wait()
				if !w.check("recv", err) || n == 0 {
					return
				}
				_, err = c.Write(buf[:n])
				w.check("write", err)
			}
		}()
		wg.Add(1)
		go func() {
			defer wg.Done()
			c, err := w.r.Dial(context.Background(), "tcp", l.Addr().String())
			if !w.check("dial", err) {
				return
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(time.Minute))
			for round := range w.n {
				msg := tagged("conn", i, round, 1+(round*997)%4000)
				sent := w.r.Send(c, msg, rio.Link) // linked: all of it
				got := make([]byte, len(msg))
				_, err := io.ReadFull(c, got)
				w.check("read", err)
				w.compare("conn", got, msg)
				_, err = sent.Wait()
				w.check("send", err)
			}
		}()
	}
	wg.Wait()
}

// chains writes, syncs and reads, each only if the one before has succeeded.
func (w *work) chains() {
	f, err := w.r.OpenFile(filepath.Join(w.dir, "chain"), os.O_CREATE|os.O_RDWR, 0o600)
	if !w.check("open", err) {
		return
	}
	defer f.Close()
	for round := range w.n {
		want, got := tagged("chain", 1, round, 512), make([]byte, 512)
		c := w.r.Chain()
		write := c.WriteAt(f, want, 512)
		sync := c.Fdatasync(f)
		read := c.ReadAt(f, got, 512)
		w.check("submit", c.Submit())
		_, err := read.Wait()
		w.check("read in a chain", err)
		_, err = write.Wait()
		w.check("write in a chain", err)
		_, err = sync.Wait()
		w.check("sync in a chain", err)
		w.compare("chain", got, want)
	}
}

// sides does what the kernel needs more than a buffer for: vectors, names, addresses, times, the place for a file's attributes.
func (w *work) sides() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if !w.check("listen", err) {
		return
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.Copy(struct{ io.Writer }{c}, c) // not by way of a pipe, which package net would keep
			c.Close()
		}
	}()
	for round := range w.n {
		name := filepath.Join(w.dir, fmt.Sprintf("a name that is long enough to have memory of its own, %d", round))
		f, err := w.r.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
		if !w.check("open", err) {
			return
		}
		pieces := make([][]byte, 1+round%17)
		var want []byte
		for i := range pieces {
			pieces[i] = tagged("vector", i, round, 100+i)
			want = append(want, pieces[i]...)
		}
		n, err := w.r.WritevAt(f, pieces, 0).Wait()
		if w.check("writev", err) && n != len(want) {
			w.lost.Add(1)
		}
		for i := range pieces {
			pieces[i] = make([]byte, 100+i)
		}
		_, err = w.r.ReadvAt(f, pieces, 0).Wait()
		w.check("readv", err)
		w.compare("vector", bytes.Join(pieces, nil), want)
		fi, err := f.Stat()
		if w.check("stat", err) && fi.Size() != int64(len(want)) {
			w.wrong.Add(1)
			w.fail(fmt.Errorf("stat gives a size of %d, not %d", fi.Size(), len(want)))
		}
		w.check("close", f.Close())
		c, err := w.r.Dial(context.Background(), "tcp", l.Addr().String())
		if !w.check("dial", err) {
			return
		}
		c.SetReadDeadline(time.Now().Add(100 * time.Microsecond)) // nothing comes
		if n, err := c.Read(make([]byte, 8)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			w.lost.Add(1)
			w.fail(fmt.Errorf("a Read whose deadline passes gives %d, %w", n, err))
		}
		c.SetReadDeadline(time.Time{})
		_, err = c.Write(want)
		w.check("write", err)
		got := make([]byte, len(want))
		_, err = io.ReadFull(c, got)
		w.check("read", err)
		w.compare("an address", got, want)
		w.check("close", c.Close())
	}
}

func (w *work) nops() {
	for i := range w.n * 4 {
		c := w.r.Nop()
		if i%4 == 0 {
			<-c.Done()
		}
		_, err := c.Wait()
		w.check("nop", err)
		if _, err := c.Wait(); err != rio.ErrWaited {
			w.lost.Add(1)
			w.fail(fmt.Errorf("a NOP's result came twice: %v", err))
		}
	}
}
