// Pebble loads a key-value store and reads it back at random, once on the file system of the operating system and once
// on the ring's, and prints what each has done in a second.
//
// It shows how a store is put on a ring (pebblevfs.New is all), and lets you see whether yours should be. The store's own
// cache is next to nothing, so that every read is one of a file; what the kernel's page cache holds decides the rest.
//
//	cd examples/pebble && go run . [-records 200000] [-value 400] [-reads 200000] [-readers 64] [-dir .] [-cold]
//
// With -cold the files are dropped from the page cache before they are read, so that the disk has to read them. What has
// been read is there again, so there should be fewer reads than blocks then: -cold -reads 10000.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/seed-9c58b644/rio"
	"github.com/seed-9c58b644/rio/pebblevfs"
)

func main() {
	// A signal ends ctx and nothing else, so that run gets to remove its files.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "pebble:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	flags := flag.NewFlagSet("pebble", flag.ContinueOnError)
	flags.SetOutput(stderr)
	records := flags.Int("records", 200_000, "how many records to load")
	reads := flags.Int("reads", 200_000, "how many records to read back")
	readers := flags.Int("readers", 64, "how many goroutines read")
	value := flags.Int("value", 400, "how many bytes a value has")
	parent := flags.String("dir", ".", "where to make the temporary directory")
	cold := flags.Bool("cold", false, "drop the files from the page cache before reading")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	}
	if min(*records, *reads, *readers, *value) < 1 || flags.NArg() > 0 {
		return errors.New("-records, -reads, -readers and -value must be at least 1, and there are no arguments but flags")
	}

	ring, err := rio.New(nil)
	if err != nil {
		return err
	}
	defer ring.Close()
	dir, err := os.MkdirTemp(*parent, "rio-pebble-")
	if err != nil {
		return err
	}
	defer func() {
		if e := os.RemoveAll(dir); err == nil {
			err = e
		}
	}()

	load := load{records: *records, reads: *reads, readers: *readers, value: *value, cold: *cold}
	fmt.Fprintf(stdout, "%d records of %d bytes, %d reads by %d goroutines, in %s\n",
		*records, *value, *reads, *readers, dir)
	fmt.Fprintf(stdout, "%-12s %12s %12s\n", "", "writes/s", "reads/s")
	for _, side := range []struct {
		name string
		fs   vfs.FS
	}{
		{"vfs.Default", vfs.Default},
		{"ring", pebblevfs.New(ring)},
	} {
		took, err := load.run(ctx, side.fs, filepath.Join(dir, side.name), progress(stderr, side.name))
		if err != nil {
			return fmt.Errorf("%s: %w", side.name, err)
		}
		fmt.Fprintf(stdout, "%-12s %12.0f %12.0f\n", side.name, rate(*records, took.load), rate(*reads, took.read))
	}
	stats := ring.Stats()
	fmt.Fprintf(stdout, "the ring has done %d operations in %d system calls\n", stats.Completed, stats.Enters)
	return nil
}

func rate(n int, took time.Duration) float64 { return float64(n) / took.Seconds() }
