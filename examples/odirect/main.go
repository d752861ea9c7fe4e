// Odirect writes a temporary file past the page cache, reads it back while it does so, and compares.
//
// It shows O_DIRECT with the aligned buffers it asks for, and a Chain: the read of a chunk is linked to its write, so
// that the kernel goes from one to the other by itself, with many such pairs in flight.
//
//	go run ./examples/odirect [-size 1GiB] [-depth 32] [-dir .]
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio"
)

const chunk = 1 << 20 // a multiple of any block size, as offsets and lengths have to be

func main() {
	// A signal ends ctx and nothing else, so that run gets to remove its file.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "odirect:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	flags := flag.NewFlagSet("odirect", flag.ExitOnError)
	depth := flags.Int("depth", 32, "how many chunks of 1 MiB in flight")
	parent := flags.String("dir", ".", "where to make the temporary directory")
	size := int64(1 << 30)
	flags.Func("size", "how much to write, as 256MiB, 10GiB, 1GB; rounded up to whole chunks (default 1GiB)",
		func(s string) (err error) { size, err = parseSize(s); return err })
	flags.Parse(args)
	if *depth < 1 || flags.NArg() > 0 {
		return errors.New("-depth must be at least 1, and there are no arguments but flags")
	}

	ring, err := rio.New(&rio.Config{Depth: 2 * *depth}) // a write and a read for each chunk
	if err != nil {
		return err
	}
	defer ring.Close()

	dir, err := os.MkdirTemp(*parent, "rio-odirect-")
	if err != nil {
		return err
	}
	defer func() {
		if e := os.RemoveAll(dir); err == nil {
			err = e
		}
	}()
	name := filepath.Join(dir, "data")
	file, err := ring.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL|rio.O_DIRECT, 0o600)
	if err != nil {
		return err
	}
	defer file.Close() // This waits for what an early return leaves in flight.

	chunks := (size-1)/chunk + 1
	fmt.Fprintf(stdout, "%d MiB to %s, %d in flight\n", chunks, name, *depth)
	begin := time.Now()
	if err := writeAndRead(ctx, ring, file, chunks, *depth, progress(stderr, chunks)); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	elapsed := time.Since(begin)
	fmt.Fprintf(stdout, "written, read back and compared in %v: %.0f MiB/s each way\n",
		elapsed.Round(time.Millisecond), float64(chunks)/elapsed.Seconds())
	return nil
}

// writeAndRead keeps depth chunks in flight: it finishes the oldest before it starts another in its place.
func writeAndRead(ctx context.Context, ring *rio.Ring, f *rio.File, chunks int64, depth int, progress func(int64)) error {
	bufs, err := ring.Buffers(2*depth, chunk)
	if err != nil {
		return err
	}
	slots := make([]slot, depth)
	for i := range slots {
		slots[i].out, slots[i].in = bufs[2*i], bufs[2*i+1]
	}
	defer progress(chunks)
	for i := range chunks + int64(depth) {
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		s := &slots[i%int64(depth)]
		if i >= int64(depth) {
			if err := s.finish(f); err != nil {
				return err
			}
			progress(i - int64(depth))
		}
		if i < chunks {
			if err := s.start(ring, f, i*chunk); err != nil {
				return err
			}
		}
	}
	return nil
}

// A slot is a chunk in flight. The kernel has its buffers from start until finish.
type slot struct {
	off         int64
	out, in     []byte
	write, read rio.Completion[int]
}

func (s *slot) start(ring *rio.Ring, f *rio.File, off int64) error {
	s.off = off
	for i := 0; i < chunk; i += 8 { // Every eight bytes hold their own offset: none can pass for another.
		binary.LittleEndian.PutUint64(s.out[i:], uint64(off)+uint64(i))
	}
	chain := ring.Chain()
	s.write = chain.WriteAt(f, s.out, off)
	s.read = chain.ReadAt(f, s.in, off)
	return chain.Submit()
}

func (s *slot) finish(f *rio.File) error {
	wrote, err := s.write.Wait()
	if err != nil {
		return err // The read is cancelled then, and can be forgotten: this slot is not used again.
	}
	read, err := s.read.Wait()
	if wrote < chunk || err == nil && read < chunk {
		// Short is not wrong, but nothing follows it in a chain. The methods of File go on to the end, or to the
		// reason why there is none: mostly a full disk.
		if _, err := f.WriteAt(s.out[wrote:], s.off+int64(wrote)); err != nil {
			return err
		}
		_, err = f.ReadAt(s.in, s.off)
	}
	if err != nil {
		return err
	}
	if !bytes.Equal(s.in, s.out) {
		return fmt.Errorf("the chunk at %d came back different", s.off)
	}
	return nil
}

// progress returns a function that draws a bar if w is a terminal, and removes it when all is done.
func progress(w io.Writer, all int64) func(done int64) {
	f, ok := w.(*os.File)
	if !ok {
		return func(int64) {}
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return func(int64) {}
	}
	last := -1
	return func(done int64) {
		if percent := int(100 * done / all); percent == 100 {
			fmt.Fprint(w, "\r\x1b[K")
		} else if percent != last {
			fmt.Fprintf(w, "\r[%-50s] %3d%%", strings.Repeat("#", percent/2), percent)
			last = percent
		}
	}
}

var units = map[string]int64{"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "KB": 1e3, "MB": 1e6, "GB": 1e9}

func parseSize(s string) (int64, error) {
	digits := strings.TrimRight(s, "KMGiB")
	n, err := strconv.ParseInt(digits, 10, 64)
	unit := units[s[len(digits):]]
	if err != nil || n < 1 || unit == 0 || n > math.MaxInt64/unit {
		return 0, errors.New("a size is 4096, 256MiB or 1GB")
	}
	return n * unit, nil
}
