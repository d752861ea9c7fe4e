package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/seed-9c58b644/rio"
)

// The programs in this file are right: a report is a false alarm.

func lookedAtWhileWritten(ring *rio.Ring) error {
	f, err := temp(ring)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := []byte("data")
	write := ring.WriteAt(f, buf, 0)
	sink = buf[0]
	return transferred(write, 4)
}

func lentToTwoWrites(ring *rio.Ring) error {
	f, err := temp(ring)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := []byte("data")
	one, two := ring.WriteAt(f, buf, 0), ring.WritevAt(f, [][]byte{buf, buf}, 4)
	return errors.Join(transferred(one, 4), transferred(two, 8))
}

func usedAgainAfterWait(ring *rio.Ring) error {
	f, err := temp(ring)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, 4)
	for i := range 100 {
		copy(buf, fmt.Sprintf("%04d", i))
		if err := transferred(ring.WriteAt(f, buf, int64(i)), 4); err != nil {
			return err
		}
		clear(buf)
		if err := transferred(ring.ReadAt(f, buf, int64(i)), 4); err != nil {
			return err
		}
		if string(buf) != fmt.Sprintf("%04d", i) {
			return fmt.Errorf("read %q", buf)
		}
	}
	return nil
}

// The buffer is the program's again when the channel is closed, whoever takes the result.
func usedAgainAfterDone(ring *rio.Ring) error {
	r, w, err := pipe(ring)
	if err != nil {
		return err
	}
	defer r.Close()
	defer w.Close()
	buf := make([]byte, 4)
	for range 20 {
		read := ring.ReadAt(r, buf, 0)
		w.WriteString("data")
		<-read.Done()
		buf[0]++
		if n, ok, err := read.TryWait(); n != 4 || !ok || err != nil {
			return fmt.Errorf("%d, %v, %v", n, ok, err)
		}
		clear(buf)
	}
	return nil
}

func usedAgainAfterCancel(ring *rio.Ring) error {
	r, w, err := pipe(ring)
	if err != nil {
		return err
	}
	defer r.Close()
	defer w.Close()
	buf := make([]byte, 4)
	ctx, cancel := context.WithCancel(context.Background())
	read := ring.ReadAt(r, buf, 0)
	go cancel()
	if _, err := read.WaitContext(ctx); !errors.Is(err, context.Canceled) {
		return fmt.Errorf("WaitContext says %v", err)
	}
	buf[0] = 1
	read = ring.ReadAt(r, buf, 0)
	if err := read.Cancel(); err != nil {
		return err
	}
	if _, err := await(read); err == nil {
		return errors.New("a cancelled read of an empty pipe succeeded")
	}
	buf[0] = 1
	return nil
}

func usedAgainAfterClose(ring *rio.Ring) error {
	r, w, err := pipe(ring)
	if err != nil {
		return err
	}
	defer w.Close()
	one, two := make([]byte, 4), make([]byte, 4)
	read := ring.ReadAt(r, one, 0)
	if err := r.Close(); err != nil {
		return err
	}
	if _, err := await(read); !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("after the file was closed: %v", err)
	}
	one[0] = 1
	if r, _, err = pipe(ring); err != nil {
		return err
	}
	read = ring.ReadAt(r, two, 0)
	if err := ring.Close(); err != nil {
		return err
	}
	if _, err := await(read); !errors.Is(err, rio.ErrClosed) {
		return fmt.Errorf("after the ring was closed: %v", err)
	}
	two[0] = 1
	return r.Close()
}

func completionHandedOver(ring *rio.Ring) error {
	f, err := temp(ring)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("data"), 0); err != nil {
		return err
	}
	type lent struct {
		c   rio.Completion[int]
		buf []byte
	}
	started, finished := make(chan lent), make(chan error)
	go func() {
		var err error
		for l := range started {
			err = errors.Join(err, transferred(l.c, 4))
			l.buf[0]++ // whoever waits has the buffer
		}
		finished <- err
	}()
	for range 50 {
		buf := make([]byte, 4)
		buf[0] = 1
		started <- lent{ring.ReadAt(f, buf, 0), buf}
	}
	close(started)
	return <-finished
}

func bufferHandedOver(ring *rio.Ring) error {
	r, w, err := pipe(ring)
	if err != nil {
		return err
	}
	defer r.Close()
	full, empty := make(chan []byte), make(chan []byte, 1)
	empty <- make([]byte, 4)
	failed := make(chan error, 1)
	go func() {
		defer close(full)
		for range 50 {
			buf := <-empty
			if err := transferred(ring.ReadAt(r, buf, 0), 4); err != nil {
				failed <- err
				return
			}
			full <- buf
		}
	}()
	for range 50 {
		w.WriteString("data")
		buf, ok := <-full
		if !ok {
			return <-failed
		}
		if string(buf) != "data" {
			return fmt.Errorf("read %q", buf)
		}
		clear(buf)
		empty <- buf
	}
	return w.Close()
}

func ownBuffers(ring *rio.Ring) error {
	f, err := temp(ring)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("0123456789"), 0); err != nil {
		return err
	}
	return each(64, func(g int) error {
		buf := make([]byte, 1)
		for i := range 20 {
			at := (g + i) % 10
			if err := transferred(ring.ReadAt(f, buf, int64(at)), 1); err != nil {
				return err
			}
			if buf[0] != '0'+byte(at) {
				return fmt.Errorf("read %q at %d", buf, at)
			}
			buf[0] = 0
		}
		return nil
	})
}

// each runs n goroutines.
func each(n int, f func(g int) error) error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for g := range n {
		all.Add(1)
		go func() {
			defer all.Done()
			errs[g] = f(g)
		}()
	}
	all.Wait()
	return errors.Join(errs...)
}

func poolOfBuffers(ring *rio.Ring) error {
	f, err := temp(ring)
	if err != nil {
		return err
	}
	defer f.Close()
	pool := sync.Pool{New: func() any { return new([8]byte) }}
	return each(16, func(g int) error {
		for i := range 30 {
			buf := pool.Get().(*[8]byte)
			copy(buf[:], fmt.Sprintf("%02d-%05d", g, i))
			err := transferred(ring.WriteAt(f, buf[:], int64(8*g)), 8)
			pool.Put(buf)
			if err != nil {
				return err
			}
			buf = pool.Get().(*[8]byte)
			err = transferred(ring.ReadAt(f, buf[:], int64(8*g)), 8)
			got := string(buf[:])
			pool.Put(buf)
			if err != nil || got != fmt.Sprintf("%02d-%05d", g, i) {
				return fmt.Errorf("read %q, %v", got, err)
			}
		}
		return nil
	})
}

// copies are read into a buffer, and written from it by what begins when that is over.
func copies(ring *rio.Ring) error {
	f, err := temp(ring)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("01234567"), 0); err != nil {
		return err
	}
	for range 5 {
		buf := make([]byte, 8)
		chain := ring.Chain()
		read, write := chain.ReadAt(f, buf, 0), chain.WriteAt(f, buf, 8)
		if err := chain.Submit(); err != nil {
			return err
		}
		if err := errors.Join(transferred(write, 8), transferred(read, 8)); err != nil {
			return err
		}
		buf = make([]byte, 8)
		read, write = ring.ReadAt(f, buf, 8, rio.Link), ring.WriteAt(f, buf, 16)
		if err := errors.Join(transferred(write, 8), transferred(read, 8)); err != nil {
			return err
		}
		buf = make([]byte, 8)
		read, write = ring.ReadAt(f, buf, 16), ring.WriteAt(f, buf, 24, rio.Drain)
		if err := errors.Join(transferred(write, 8), transferred(read, 8)); err != nil {
			return err
		}
		if string(buf) != "01234567" {
			return fmt.Errorf("copied %q", buf)
		}
	}
	return nil
}

func chains(ring *rio.Ring) error {
	f, err := temp(ring)
	if err != nil {
		return err
	}
	defer f.Close()
	return each(8, func(g int) error {
		record, back := make([]byte, 8), make([]byte, 8)
		for i := range 10 {
			copy(record, fmt.Sprintf("%02d-%05d", g, i))
			chain := ring.Chain()
			write := chain.WriteAt(f, record, int64(8*g))
			sync := chain.Fdatasync(f)
			read := chain.ReadAt(f, back, int64(8*g))
			clear(back) // nothing has started yet
			if err := chain.Submit(); err != nil {
				return err
			}
			if err := errors.Join(transferred(read, 8), transferred(write, 8)); err != nil {
				return err
			}
			if _, err := await(sync); err != nil {
				return err
			}
			if string(back) != string(record) {
				return fmt.Errorf("wrote %q, read %q", record, back)
			}
			clear(record)
		}
		return nil
	})
}

// A sync that has succeeded says that the write before it has: its buffer is free.
func chainWaitedForAtItsEnd(ring *rio.Ring) error {
	f, err := temp(ring)
	if err != nil {
		return err
	}
	defer f.Close()
	record := make([]byte, 8)
	for i := range 10 {
		copy(record, fmt.Sprintf("%08d", i))
		chain := ring.Chain()
		chain.WriteAt(f, record, 0)
		sync := chain.Fdatasync(f)
		if err := chain.Submit(); err != nil {
			return err
		}
		if _, err := await(sync); err != nil {
			return err
		}
		clear(record)
	}
	return nil
}

// A drained sync that has succeeded says that all writes before it are done.
func drainBehindWrites(ring *rio.Ring) error {
	f, err := temp(ring)
	if err != nil {
		return err
	}
	defer f.Close()
	one, two := []byte("one"), []byte("two")
	ring.WriteAt(f, one, 0)
	ring.WriteAt(f, two, 3)
	if _, err := await(ring.Fsync(f, rio.Drain)); err != nil {
		return err
	}
	one[0], two[0] = 'O', 'T'
	return nil
}

// The slice that holds the buffers is the caller's again at once, and what it puts there no buffer of the operation.
func sliceOfBuffersUsedAgain(ring *rio.Ring) error {
	r, w, err := pipe(ring)
	if err != nil {
		return err
	}
	defer r.Close()
	other := make([]byte, 1)
	bufs := [][]byte{make([]byte, 1), make([]byte, 1)}
	read := ring.ReadvAt(r, bufs, 0)
	bufs[0], bufs[1] = other, other
	other[0] = 1
	w.WriteString("xy")
	w.Close()
	return transferred(read, 2)
}

// What a goroutine did before it wrote to a pipe is seen by whoever has read from it, as with package os.
func pipeFromOs(ring *rio.Ring) error {
	r, w, err := pipe(ring)
	if err != nil {
		return err
	}
	defer r.Close()
	written := 0
	go func() {
		for range 20 {
			written++
			w.WriteString("x")
		}
		w.Close()
	}()
	buf := make([]byte, 1)
	if err := transferred(ring.ReadAt(r, buf, 0), 1); err != nil {
		return err
	}
	rest, err := io.ReadAll(r) // all is written when the end is there
	if len(rest) != 19 || err != nil {
		return fmt.Errorf("%d bytes, %v", len(rest), err)
	}
	if written != 20 {
		return fmt.Errorf("the writer has written %d", written)
	}
	return nil
}

func pipeToOs(ring *rio.Ring) error {
	r, pw, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := ring.NewFile(pw)
	if err != nil {
		return err
	}
	defer w.Close()
	written := 0
	failed := make(chan error, 1)
	go func() {
		written++
		failed <- transferred(ring.WriteAt(w, []byte("x"), 0), 1)
	}()
	buf := make([]byte, 1)
	if _, err := r.Read(buf); err != nil {
		return err
	}
	if written != 1 {
		return fmt.Errorf("the writer has written %d", written)
	}
	return <-failed
}
