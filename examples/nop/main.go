// Nop makes the kernel do nothing, a million times: what is left is the price of an operation.
//
// It shows the smallest loop that keeps several operations in flight, the table that Config.Profile asks for, and
// Stats.
//
//	go run ./examples/nop [-n 1000000] [-depth 64]
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/seed-9c58b644/rio"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "nop:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("nop", flag.ExitOnError)
	n := flags.Int("n", 1_000_000, "how many")
	depth := flags.Int("depth", 64, "how many in flight")
	flags.Parse(args)
	if *n < 1 || *depth < 1 || flags.NArg() > 0 {
		return errors.New("-n and -depth must be at least 1, and there is nothing else to say")
	}

	ring, err := rio.New(&rio.Config{Depth: *depth, Profile: stdout})
	if err != nil {
		return err
	}
	defer ring.Close()

	begin := time.Now()
	if err := nops(ring, *n, *depth); err != nil {
		return err
	}
	elapsed := time.Since(begin)

	_, err = fmt.Fprintf(stdout, "%d NOPs, %d in flight, in %v: %.0f a second\n%+v\n",
		*n, *depth, elapsed.Round(time.Millisecond), float64(*n)/elapsed.Seconds(), ring.Stats())
	if err != nil {
		return err
	}

	return ring.Close() // This one writes the profile; the deferred one finds nothing left to do.
}

// nops keeps depth operations in flight: it waits for the oldest before it starts another in its place.
func nops(ring *rio.Ring, n, depth int) error {
	inFlight := make([]rio.Completion[struct{}], depth)
	for i := 0; i < n+depth; i++ {
		slot := &inFlight[i%depth]
		if i >= depth {
			if _, err := slot.Wait(); err != nil {
				return err
			}
		}
		if i < n {
			*slot = ring.Nop()
		}
	}
	return nil
}
