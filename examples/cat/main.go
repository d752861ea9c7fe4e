// Cat prints files to standard output, with many reads of a file in flight.
//
// It shows how to keep a queue of reads and still take their results in order, what a short read asks for, and how to
// read what has no size: pipes, terminals, files in /proc.
//
//	go run ./examples/cat [-depth 32] [file ...]
//
// Without a file, or for the file "-", it prints standard input.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/seed-9c58b644/rio"
)

const chunk = 128 << 10

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run returns the exit status. A file that can't be read is reported, and doesn't keep it from the next one.
func run(args []string, stdin *os.File, stdout, stderr io.Writer) (status int) {
	flags := flag.NewFlagSet("cat", flag.ExitOnError)
	depth := flags.Int("depth", 32, "how many reads in flight")
	flags.Parse(args)
	report := func(err error) {
		fmt.Fprintln(stderr, "cat:", err)
		status = 1
	}
	if *depth < 1 {
		report(errors.New("-depth must be at least 1"))
		return
	}

	ring, err := rio.New(&rio.Config{Depth: *depth})
	if err != nil {
		report(err)
		return
	}
	defer ring.Close()

	names := flags.Args()
	if len(names) == 0 {
		names = []string{"-"}
	}
	c := &cat{ring: ring, out: stdout, bufs: make([][]byte, *depth)}
	for i := range c.bufs {
		c.bufs[i] = make([]byte, chunk)
	}
	for _, name := range names {
		if err := c.name(name, stdin); err != nil {
			report(err)
		}
		if c.outErr != nil { // There is nowhere to print the other ones to.
			return
		}
	}
	return
}

type cat struct {
	ring   *rio.Ring
	bufs   [][]byte // one for each read in flight
	out    io.Writer
	outErr error
}

func (c *cat) name(name string, stdin *os.File) error {
	if name == "-" {
		return c.file("standard input", stdin)
	}
	f, err := c.ring.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return c.file(name, f)
}

// file is what *rio.File and *os.File have in common.
type file interface {
	syscall.Conn
	io.Seeker
	Stat() (fs.FileInfo, error)
}

// file prints what f has up to its size with many reads in flight, and what is beyond with one at a time. What has no
// size is all beyond, and so is what a growing file got meanwhile.
func (c *cat) file(name string, f file) error {
	off, err := f.Seek(0, io.SeekCurrent) // Standard input may have been read in part.
	if err != nil {
		off = 0 // A pipe: the offset of a read is ignored.
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Mode().IsRegular() && off < info.Size() {
		if err := c.sized(f, off, info.Size()); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		off = info.Size()
	}
	for {
		n, err := c.ring.ReadAt(f, c.bufs[0], off).Wait()
		if err == nil && n > 0 {
			err = c.print(c.bufs[0][:n])
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if n == 0 {
			f.Seek(off, io.SeekStart) // Whoever reads on finds the position where read(2) would have left it.
			return nil
		}
		off += int64(n)
	}
}

// sized prints f from off to size.
func (c *cat) sized(f file, off, size int64) error {
	type read struct {
		buf  []byte
		off  int64
		done rio.Completion[int]
	}
	var queue []read // what is in flight, the oldest first
	defer func() {
		for _, r := range queue { // After an error: the next file uses the same buffers.
			r.done.Wait()
		}
	}()
	for i := 0; off < size || len(queue) > 0; {
		for ; off < size && len(queue) < len(c.bufs); i++ {
			buf := c.bufs[i%len(c.bufs)][:min(chunk, size-off)]
			queue = append(queue, read{buf, off, c.ring.ReadAt(f, buf, off)})
			off += int64(len(buf))
		}
		r := queue[0]
		queue = queue[1:]
		n, err := r.done.Wait()
		for more := n; err == nil && more > 0 && n < len(r.buf); n += more { // It was short: ask for the rest.
			more, err = c.ring.ReadAt(f, r.buf[n:], r.off+int64(n)).Wait()
		}
		if err := c.print(r.buf[:n]); err != nil {
			return err
		}
		if err != nil || n < len(r.buf) { // Less than its size: somebody made the file shorter.
			return err
		}
	}
	return nil
}

func (c *cat) print(p []byte) error {
	_, c.outErr = c.out.Write(p)
	return c.outErr
}
