// Package model runs random operations on files of a Ring and, beside them, on slices of bytes, and compares. It is a test of
// whatever kernel is below the Ring.
package model

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"

	"github.com/seed-9c58b644/rio"
)

const (
	files    = 3
	slots    = 24
	slotSize = 2048
	batch    = 24
)

// A Model is a few files, each a row of slots, and what should be in them. The operations of a batch are on slots of
// their own, so that their order makes no difference.
type Model struct {
	ring  *rio.Ring
	rand  *rand.Rand
	files [files]*rio.File
	want  [files][]byte
	ops   int
	check []func() error // of the batch, one for each operation
	// Sum depends on every result, in the order in which they were waited for.
	Sum uint64
}

// New opens the files.
func New(seed uint64, r *rio.Ring, open func(name string) (*rio.File, error)) (*Model, error) {
	m := &Model{ring: r, rand: rand.New(rand.NewPCG(seed, 1))}
	for i := range m.files {
		f, err := open(fmt.Sprintf("file%d", i))
		if err != nil {
			return nil, err
		}
		if err := f.Truncate(slots * slotSize); err != nil {
			return nil, err
		}
		m.files[i], m.want[i] = f, make([]byte, slots*slotSize)
	}
	return m, nil
}

// Run does n operations or a few more, and compares all there is at the end.
func (m *Model) Run(n int) error {
	for m.ops < n {
		if err := m.batch(); err != nil {
			return fmt.Errorf("after %d operations: %w", m.ops, err)
		}
		if m.rand.IntN(20) == 0 {
			if err := m.resize(); err != nil {
				return fmt.Errorf("after %d operations: %w", m.ops, err)
			}
		}
	}
	for i := range m.files {
		if err := m.compare(i); err != nil {
			return err
		}
	}
	return nil
}

// Close closes the files.
func (m *Model) Close() error {
	var errs error
	for _, f := range m.files {
		errs = errors.Join(errs, f.Close())
	}
	return errs
}

// batch starts operations on slots of their own, and then waits for them in an order of its own.
func (m *Model) batch() error {
	m.check = m.check[:0]
	at := m.rand.Perm(files * slots)
	for _, slot := range at[:1+m.rand.IntN(batch)] {
		m.start(slot%files, slot/files)
	}
	m.rand.Shuffle(len(m.check), func(i, j int) { m.check[i], m.check[j] = m.check[j], m.check[i] })
	var errs error
	for _, check := range m.check {
		errs = errors.Join(errs, check())
	}
	m.ops += len(m.check)
	return errs
}

// start starts something within a slot.
func (m *Model) start(file, slot int) {
	f := m.files[file]
	low := slot*slotSize + m.rand.IntN(slotSize/2)
	n := 1 + m.rand.IntN(slotSize/2)
	in := m.want[file][low : low+n]
	off := int64(low)
	r := m.ring
	switch m.rand.IntN(10) {
	case 0, 1:
		p := m.bytes(n)
		m.wrote("pwrite", r.WriteAt(f, p, off), p, in)
	case 2, 3:
		p := make([]byte, n)
		m.read("pread", r.ReadAt(f, p, off), p, in)
	case 4:
		p := m.bytes(n)
		m.wrote("pwritev", r.WritevAt(f, m.pieces(p), off), p, in)
	case 5:
		p := make([]byte, n)
		m.read("preadv", r.ReadvAt(f, m.pieces(p), off), p, in)
	case 6:
		p, q := m.bytes(n), make([]byte, n)
		write := r.WriteAt(f, p, off, rio.Link)
		read := r.ReadAt(f, q, off)
		m.follow(write, p, in, func(gone bool) error { return m.got("linked pread", read, q, in, gone) })
	case 7:
		p, q := m.bytes(n), make([]byte, n)
		c := r.Chain()
		write, sync, read := c.WriteAt(f, p, off), c.Fdatasync(f), c.ReadAt(f, q, off)
		if err := c.Submit(); err != nil {
			m.check = append(m.check, func() error { return err })
			return
		}
		m.follow(write, p, in, func(gone bool) error {
			return errors.Join(m.ended("chained fdatasync", sync, gone), m.got("chained pread", read, q, in, gone))
		})
	case 8:
		c := r.Fsync(f)
		if m.rand.IntN(2) == 0 {
			c = r.SyncFileRange(f, off, int64(n))
		}
		m.check = append(m.check, func() error { return m.ended("fsync", c, false) })
	case 9:
		c := r.Nop()
		if m.rand.IntN(2) == 0 {
			c = r.Nop(rio.Drain)
		}
		m.check = append(m.check, func() error { return m.ended("nop", c, false) })
	}
}

// wrote expects a write of p, of which any part but none may be done.
func (m *Model) wrote(what string, c rio.Completion[int], p, in []byte) {
	m.check = append(m.check, func() error {
		n, err := c.Wait()
		m.note(n)
		if err != nil || n < 1 || n > len(p) {
			return fmt.Errorf("%s of %d: %d, %w", what, len(p), n, err)
		}
		copy(in, p[:n])
		return nil
	})
}

// follow is wrote for one that others follow: those are cancelled if it is short.
func (m *Model) follow(c rio.Completion[int], p, in []byte, then func(gone bool) error) {
	m.check = append(m.check, func() error {
		n, err := c.Wait()
		m.note(n)
		if err != nil || n < 1 || n > len(p) {
			return fmt.Errorf("linked pwrite of %d: %d, %w", len(p), n, err)
		}
		copy(in, p[:n])
		return then(n < len(p))
	})
}

func (m *Model) read(what string, c rio.Completion[int], p, in []byte) {
	m.check = append(m.check, func() error { return m.got(what, c, p, in, false) })
}

// got expects a read of what is in there, or part of it, or that it was cancelled.
func (m *Model) got(what string, c rio.Completion[int], p, in []byte, gone bool) error {
	n, err := c.Wait()
	m.note(n)
	switch {
	case gone && (!errors.Is(err, syscall.ECANCELED) || n != 0 || !blank(p)):
		return fmt.Errorf("%s behind a short write: %d, %w", what, n, err)
	case gone:
		return nil
	case err != nil || n < 1 || n > len(p):
		return fmt.Errorf("%s of %d: %d, %w", what, len(p), n, err)
	case !bytes.Equal(p[:n], in[:n]):
		return fmt.Errorf("%s of %d: other bytes than were written", what, len(p))
	case !blank(p[n:]):
		return fmt.Errorf("%s of %d: %d, but there is something behind", what, len(p), n)
	}
	return nil
}

func (m *Model) ended(what string, c rio.Completion[struct{}], gone bool) error {
	_, err := c.Wait()
	m.note(0)
	if gone != errors.Is(err, syscall.ECANCELED) || !gone && err != nil {
		return fmt.Errorf("%s (the one before was short: %v): %w", what, gone, err)
	}
	return nil
}

// resize changes a file's size and back, by way of the methods of File.
func (m *Model) resize() error {
	i := m.rand.IntN(files)
	f, size := m.files[i], m.rand.IntN(slots*slotSize)
	if err := f.Truncate(int64(size)); err != nil {
		return err
	}
	if fi, err := f.Stat(); err != nil || fi.Size() != int64(size) {
		return fmt.Errorf("stat after truncate to %d: %v, %w", size, fi, err)
	}
	clear(m.want[i][size:])
	p := m.bytes(m.rand.IntN(slots*slotSize - size))
	if _, err := f.Seek(0, 2); err != nil {
		return err
	}
	if n, err := f.Write(p); n != len(p) || err != nil {
		return fmt.Errorf("write of %d at the end: %d, %w", len(p), n, err)
	}
	copy(m.want[i][size:], p)
	if err := f.Truncate(slots * slotSize); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return m.compare(i)
}

// compare reads a whole file.
func (m *Model) compare(i int) error {
	p := make([]byte, slots*slotSize)
	if n, err := m.files[i].ReadAt(p, 0); n != len(p) || err != nil {
		return fmt.Errorf("read of %d: %d, %w", len(p), n, err)
	}
	if !bytes.Equal(p, m.want[i]) {
		for at := range p {
			if p[at] != m.want[i][at] {
				return fmt.Errorf("%s differs from the model at %d", m.files[i].Name(), at)
			}
		}
	}
	return nil
}

// note makes Sum depend on n.
func (m *Model) note(n int) { m.Sum = m.Sum*1099511628211 + uint64(n) + 1 }

func (m *Model) bytes(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(m.rand.Uint32()%255) + 1 // never zero, which is what was never written
	}
	return p
}

// pieces cuts p.
func (m *Model) pieces(p []byte) (bufs [][]byte) {
	for len(p) > 0 {
		n := 1 + m.rand.IntN(len(p))
		bufs = append(bufs, p[:n])
		p = p[n:]
	}
	return bufs
}

func blank(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}
