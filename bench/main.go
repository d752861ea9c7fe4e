//go:build linux

// Bench measures rio against its bars: the standard library, C over the raw system calls, fio, gnet. All sides of a row
// take turns in one run.
//
//	go run . [-quick] [-run regexp] [-rounds n] [-turn d] [-size bytes] [-dir d] [-out d] [-list]
//
// It writes RESULTS.md, results.json and charts. What can't be measured here is a line that says why. How well rio does
// is no verdict on the run: the exit status is that of the measuring.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio"
)

func main() {
	var err error
	if role := part(os.Args[1:]); role != nil {
		err = role(os.Args[2:])
	} else {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		err = run(ctx, os.Args[1:], os.Stdout)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// part is what a process does that the benchmark has started as a copy of itself; nil in the benchmark.
func part(args []string) func([]string) error {
	if len(args) == 0 {
		return nil
	}
	switch args[0] {
	case "serve":
		return serve
	case "client":
		return client
	}
	return nil
}

// Options are what the command line says.
type Options struct {
	Quick  bool          `json:"quick"`
	Run    string        `json:"run,omitempty"`
	Rounds int           `json:"rounds"`
	Turn   time.Duration `json:"turn_ns"`
	Size   int64         `json:"file_bytes"`
	dir    string
	out    string
	list   bool
}

func parse(args []string, stderr io.Writer) (Options, error) {
	var o Options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.BoolVar(&o.Quick, "quick", false, "fewer and shorter turns: all of it within two minutes")
	flags.StringVar(&o.Run, "run", "", "only the rows whose name matches this `regexp`")
	flags.IntVar(&o.Rounds, "rounds", 0, "how often each side takes its turn (7; quick: 3)")
	flags.DurationVar(&o.Turn, "turn", 0, "how long a turn is (600ms; quick: 100ms)")
	flags.Int64Var(&o.Size, "size", 256<<20, "size of the files to read and write, in `bytes`")
	flags.StringVar(&o.dir, "dir", "", "make them in this `directory`, on a real disk (default: the temporary one, or the current one if that is in memory)")
	flags.StringVar(&o.out, "out", ".", "write the results into this `directory`")
	flags.BoolVar(&o.list, "list", false, "print the names of the rows, and end")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	rounds, turn := 7, 600*time.Millisecond
	if o.Quick {
		rounds, turn = 3, 100*time.Millisecond
	}
	if o.Rounds == 0 {
		o.Rounds = rounds
	}
	if o.Turn == 0 {
		o.Turn = turn
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected %q", flags.Arg(0))
	case o.Rounds < 1 || o.Turn < time.Millisecond:
		return o, errors.New("at least one round, at least a millisecond a turn")
	case o.Size < 16<<20:
		return o, errors.New("-size: at least 16777216 bytes")
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout *os.File) error {
	o, err := parse(args, os.Stderr)
	if err != nil {
		return err
	}
	rows, err := selectRows(o.Run)
	if err != nil {
		return err
	}
	if o.list {
		for _, r := range rows {
			fmt.Fprintf(stdout, "%-24s %s\n", r.Name, r.Title)
		}
		return nil
	}
	probe, err := rio.New(&rio.Config{Backend: rio.IOUring}) // the bars are for io_uring; RIO_BACKEND=threads shows the other one
	if err != nil {
		return err // it names the cause
	}
	if err := probe.Close(); err != nil {
		return err
	}

	progress := newProgress(stdout, isTerminal(stdout))
	b, err := newBench(ctx, o, progress)
	if err != nil {
		return err
	}
	defer b.remove()
	report := Report{Machine: describe(b), Options: o}
	began := time.Now()
	progress.begin(len(rows))
	for _, r := range rows {
		result, err := b.measure(r)
		if err != nil {
			return err // the context has ended
		}
		report.Rows = append(report.Rows, result)
		progress.result(result)
	}
	report.Machine.LoadAfter = loadAverage()
	report.Seconds = time.Since(began).Seconds()
	if err := report.write(o.out); err != nil {
		return err
	}
	progress.say("%d rows in %v; RESULTS.md, results.json and the charts are written", len(rows), time.Since(began).Round(time.Second))
	return report.failed()
}

// selectRows is those whose name matches.
func selectRows(pattern string) ([]Row, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	var rows []Row
	for _, r := range allRows() {
		if re.MatchString(r.Name) {
			rows = append(rows, r)
		}
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("no row's name matches %q; -list prints them", pattern)
	}
	return rows, nil
}
