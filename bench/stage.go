//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/seed-9c58b644/rio"
)

// A Bench is what all rows share: the directory on a disk, the compiled bars, the file that is read.
type Bench struct {
	ctx      context.Context
	options  Options
	progress *Progress
	dir      string
	programs programs
	fio      string // where it is; empty if nowhere
	once     sync.Once
}

// A Stage is a Bench for one row. What the row opens is closed when its turns are over.
type Stage struct {
	*Bench
	undo []func()
}

func newBench(ctx context.Context, o Options, p *Progress) (*Bench, error) {
	base := o.dir
	if base == "" {
		base = os.TempDir()
		if inMemory(base) {
			base = "."
		}
	}
	dir, err := os.MkdirTemp(base, "rio-bench-")
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	b := &Bench{ctx: ctx, options: o, progress: p, dir: dir}
	b.programs = compile(dir, p)
	if b.fio, err = exec.LookPath("fio"); err != nil {
		p.say("no fio: its bars are skipped")
	}
	return b, nil
}

func (b *Bench) remove() { b.once.Do(func() { os.RemoveAll(b.dir) }) }

func (s *Stage) cleanup(f func()) { s.undo = append(s.undo, f) }

func (s *Stage) close() {
	for i := len(s.undo) - 1; i >= 0; i-- {
		s.undo[i]()
	}
	s.undo = nil
}

// ring opens a ring for the row; nil means the default configuration.
func (s *Stage) ring(cfg *rio.Config) (*rio.Ring, error) {
	ring, err := rio.New(cfg)
	if err != nil {
		return nil, err
	}
	s.cleanup(func() { ring.Close() })
	return ring, nil
}

// data is the name of a file of random bytes, really written: zeros and unwritten extents are read without asking the
// disk. It is made when it is first wanted.
func (b *Bench) data(name string) (string, error) {
	path := filepath.Join(b.dir, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var seed [32]byte
	rand.Read(seed[:])
	if _, err = io.Copy(f, io.LimitReader(mrand.NewChaCha8(seed), b.options.Size)); err == nil {
		err = f.Sync()
	}
	if err != nil {
		os.Remove(path)
		return "", fmt.Errorf("a file to read: %w", err)
	}
	return path, nil
}

// cached is data, read just now, so that it is in the page cache.
func (b *Bench) cached(name string) (string, error) {
	path, err := b.data(name)
	if err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, make([]byte, 1<<20))
	return path, err
}

// direct is data, which O_DIRECT opens and reaches a disk with; a skip if it doesn't.
func (b *Bench) direct(name string) (string, error) {
	if inMemory(b.dir) {
		return "", skip("O_DIRECT: the files are in memory; see -dir")
	}
	path, err := b.data(name)
	if err != nil {
		return "", err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|rio.O_DIRECT, 0)
	if errors.Is(err, syscall.EINVAL) {
		return "", skip("the file system has no O_DIRECT; see -dir")
	}
	if err != nil {
		return "", err
	}
	return path, f.Close()
}

// inMemory reports whether path is on a file system without a disk.
func inMemory(path string) bool {
	const tmpfs, ramfs = 0x01021994, 0x858458f6
	var st syscall.Statfs_t
	err := syscall.Statfs(path, &st)
	return err == nil && (uint32(st.Type) == tmpfs || uint32(st.Type) == ramfs)
}
