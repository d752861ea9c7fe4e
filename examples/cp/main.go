// Cp copies a file, with many reads and writes in flight.
//
// It shows two queues in one loop, what short reads and writes ask for, and how to write a file that is there either
// whole or not at all: under another name first, synced, then renamed.
//
//	go run ./examples/cp [-depth 32] [-chunk 128KiB] src dst
//
// If dst is a directory, the copy goes into it. A file that was there before is replaced.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/seed-9c58b644/rio"
)

func main() {
	// A signal ends ctx and nothing else, so that run gets to remove its file.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "cp:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet("cp", flag.ExitOnError)
	depth := flags.Int("depth", 32, "how many reads, and how many writes, in flight")
	chunk := int64(128 << 10)
	flags.Func("chunk", "how much to read at once (default 128KiB)",
		func(s string) (err error) { chunk, err = parseSize(s); return err })
	flags.Parse(args)
	if flags.NArg() != 2 || *depth < 1 {
		return errors.New("usage: cp [-depth 32] [-chunk 128KiB] src dst")
	}

	info, err := os.Stat(flags.Arg(0))
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", flags.Arg(0))
	}
	dst, err := target(info, flags.Arg(1))
	if err != nil {
		return err
	}

	ring, err := rio.New(&rio.Config{Depth: 2 * *depth})
	if err != nil {
		return err
	}
	defer ring.Close()
	in, err := ring.OpenFile(flags.Arg(0), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	size := info.Size()
	j := job{ring: ring, in: in, size: size, chunk: min(chunk, max(size, 1)), depth: int64(*depth)}
	err = replace(ring, dst, info.Mode().Perm(), func(out *rio.File) error {
		return j.copyTo(ctx, out, progress(stderr))
	})
	if err != nil {
		return fmt.Errorf("copying %s to %s: %w", flags.Arg(0), dst, err)
	}
	return nil
}

// target is the name that the copy gets.
func target(src fs.FileInfo, dst string) (string, error) {
	info, err := os.Stat(dst)
	if err == nil && info.IsDir() {
		dst = filepath.Join(dst, src.Name())
		info, err = os.Stat(dst)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if link, err := os.Readlink(dst); err == nil {
			return "", fmt.Errorf("%s is a symbolic link to %s, which is not there", dst, link)
		}
		return dst, nil
	case err != nil:
		return "", err
	case os.SameFile(src, info):
		return "", fmt.Errorf("source and %s are the same file", dst)
	case !info.Mode().IsRegular(): // lest a copy take the place of /dev/null
		return "", fmt.Errorf("%s is not a regular file", dst)
	}
	return filepath.EvalSymlinks(dst) // A link stays one: what it points to is replaced.
}

// replace has write fill a temporary file next to dst, and gives it that name when everything is on the disk.
func replace(ring *rio.Ring, dst string, perm fs.FileMode, write func(*rio.File) error) error {
	f, err := os.CreateTemp(filepath.Dir(dst), ".cp-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // Once it is renamed there is nothing of this name.
	defer f.Close()           // Once the ring has taken it over there is nothing to close.
	if err := f.Chmod(perm); err != nil {
		return err
	}
	out, err := ring.NewFile(f)
	if err != nil {
		return err
	}
	defer out.Close() // This waits for what a failed write leaves in flight.

	if err := write(out); err != nil {
		return err
	}
	if _, err := ring.Fdatasync(out).Wait(); err != nil { // Some disks notice only now that they are full.
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), dst)
}

type job struct {
	ring               *rio.Ring
	in                 *rio.File
	size, chunk, depth int64
}

// copyTo keeps depth reads and depth writes in flight. A chunk is read for depth rounds of the loop and written for
// as many; then its slot is the next one's.
func (j *job) copyTo(ctx context.Context, out *rio.File, progress func(percent int64)) error {
	type slot struct {
		buf []byte // the kernel's until op has been waited for
		op  rio.Completion[int]
	}
	chunks := (j.size + j.chunk - 1) / j.chunk
	slots := make([]slot, min(chunks, 2*j.depth))
	at := func(i int64) *slot { return &slots[i%int64(len(slots))] }
	defer progress(100)
	for i := range chunks + 2*j.depth {
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		if i := i - 2*j.depth; 0 <= i && i < chunks {
			if _, err := finish(at(i).op, at(i).buf, i*j.chunk, out.WriteAt); err != nil {
				return err
			}
			progress(100 * i / chunks)
		}
		if i := i - j.depth; 0 <= i && i < chunks {
			n, err := finish(at(i).op, at(i).buf, i*j.chunk, j.in.ReadAt)
			if err != nil && err != io.EOF { // An early end is one too: the file got shorter, or is one of /sys.
				return err
			}
			at(i).buf = at(i).buf[:n]
			at(i).op = j.ring.WriteAt(out, at(i).buf, i*j.chunk)
		}
		if i < chunks {
			if at(i).buf == nil {
				at(i).buf = make([]byte, j.chunk)
			}
			at(i).buf = at(i).buf[:min(j.chunk, j.size-i*j.chunk)]
			at(i).op = j.ring.ReadAt(j.in, at(i).buf, i*j.chunk)
		}
	}

	// What a growing file got meanwhile, and what says it is empty but isn't, as in /proc.
	rest := io.NewSectionReader(j.in, j.size, math.MaxInt64-j.size)
	_, err := io.Copy(io.NewOffsetWriter(out, j.size), rest)
	return err
}

// finish waits for op. Short is not wrong: the rest is for a method of File, which goes on to the end or to the reason
// why there is none, as a full disk.
func finish(op rio.Completion[int], p []byte, off int64, rest func([]byte, int64) (int, error)) (n int, err error) {
	n, err = op.Wait()
	if err == nil && n < len(p) {
		var more int
		more, err = rest(p[n:], off+int64(n))
		n += more
	}
	return n, err
}

// progress returns a function that says how far it got if w is a terminal, and wipes that when all is done.
func progress(w io.Writer) func(percent int64) {
	f, ok := w.(*os.File)
	if !ok {
		return func(int64) {}
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return func(int64) {}
	}
	last := int64(-1)
	return func(percent int64) {
		if percent == 100 {
			fmt.Fprint(w, "\r\x1b[K")
		} else if percent != last {
			fmt.Fprintf(w, "\r%3d%%", percent)
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
