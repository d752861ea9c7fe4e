//go:build linux

// Compare measures the library against its bars on a machine that is shared with others: both sides take turns of a
// few hundred milliseconds, and what counts is the median of the rounds' ratios.
//
//	go run ./internal/cbar/compare [-rounds 10] [-turn 300ms] [-only regexp] [-cpuprofile file]
//
// It prints what was measured, then how that stands to the four bars, and exits with 0 whatever that is: a timing is
// no verdict. Where the file it reads is made is up to $RIO_BENCH_DIR.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"runtime/pprof"
	"slices"
	"time"

	"github.com/seed-9c58b644/rio"
	"github.com/seed-9c58b644/rio/internal/cbar"
)

var (
	rounds  = flag.Int("rounds", 10, "how often each side takes its turn")
	length  = flag.Duration("turn", 300*time.Millisecond, "how long a turn is")
	only    = flag.String("only", "", "only the rows whose name matches this `regexp`")
	profile = flag.String("cpuprofile", "", "write a CPU profile of the rows to this `file`; best with -only")
)

func main() {
	flag.Parse()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
	}
}

// A row is one comparison: a name, what the bar is, and the turns of both sides.
type row struct {
	name, against string
	bar, rio      turn
}

// A goal is what a row is measured for: the median of ratio must be at most (or, with atLeast, at least) want.
type goal struct {
	row, says string
	ratio     func(r, bar cbar.Figures) float64
	want      float64
	atLeast   bool
}

func timeRatio(r, bar cbar.Figures) float64 { return r.Wall / bar.Wall }
func rateRatio(r, bar cbar.Figures) float64 { return bar.Wall / r.Wall }
func cpuRatio(r, bar cbar.Figures) float64  { return r.CPU / bar.CPU }

var goals = []goal{
	{row: "nop/one", says: "of C's time", ratio: timeRatio, want: 1.5},
	{row: "nop/64", says: "of C's time", ratio: timeRatio, want: 2},
	{row: "direct/one", says: "of pread's time", ratio: timeRatio, want: 1},
	{row: "direct/64goroutines", says: "of pread's IOPS", ratio: rateRatio, want: 1.4, atLeast: true},
	{row: "direct/64goroutines", says: "of pread's CPU per read", ratio: cpuRatio, want: 0.5},
}

// results are the turns of one row, those of the same round at the same index.
type results struct{ bar, rio []cbar.Figures }

func run() error {
	pattern, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	ring, err := rio.New(nil)
	if err != nil {
		return err
	}
	defer ring.Close()
	dir, err := os.MkdirTemp("", "rio-compare-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	data, err := cbar.NewData()
	if err != nil {
		return err
	}
	defer os.Remove(data)

	var rows []row
	c, err := cbar.Build(dir)
	switch {
	case err == nil:
		rows = append(rows, nopRows(ring, c)...)
	case errors.Is(err, exec.ErrNotFound):
		fmt.Println("no rows for NOP:", err)
	default:
		return err
	}
	for _, cache := range []string{"direct", "page"} {
		if cache == "direct" && cbar.InMemory(data) {
			fmt.Println("no rows for O_DIRECT: there is no disk below", data, "- set RIO_BENCH_DIR")
			continue
		}
		more, err := readRows(ring, data, cache)
		if err != nil {
			return err
		}
		rows = append(rows, more...)
	}
	rows = slices.DeleteFunc(rows, func(r row) bool { return !pattern.MatchString(r.name) })

	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	fmt.Printf("%s, GOMAXPROCS=%d, %d rounds, %v a turn; medians, and the spread of the rounds' ratios\n\n",
		runtime.Version(), runtime.GOMAXPROCS(0), *rounds, *length)
	fmt.Printf("%-20s %-6s %10s %10s %6s %15s %12s %12s %6s %10s\n",
		"", "bar", "ns/op", "rio", "ratio", "", "cpu-ns/op", "rio", "ratio", "enters/op")
	measured := map[string]results{}
	for _, r := range rows {
		res, err := r.measure()
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		measured[r.name] = res
		res.print(r)
	}
	fmt.Println()
	for _, g := range goals {
		if res, ok := measured[g.row]; ok {
			g.print(res)
		}
	}
	return nil
}

// measure takes a turn of each to warm up, then alternates; who begins alternates too.
func (r row) measure() (res results, err error) {
	for i := range *rounds + 1 {
		var f [2]cbar.Figures
		sides := [2]turn{r.bar, r.rio}
		for j := range sides {
			side := (i + j) % 2
			if f[side], err = sides[side](*length); err != nil {
				return res, err
			}
		}
		if i > 0 {
			res.bar, res.rio = append(res.bar, f[0]), append(res.rio, f[1])
		}
	}
	return res, nil
}

func (res results) print(r row) {
	wall := func(f cbar.Figures) float64 { return f.Wall }
	cpu := func(f cbar.Figures) float64 { return f.CPU }
	enters := func(f cbar.Figures) float64 { return f.Enters }
	times := res.ratios(timeRatio)
	fmt.Printf("%-20s %-6s %10.0f %10.0f %6.2f %15s %12.0f %12.0f %6.2f %10.3f\n", r.name, r.against,
		median(each(res.bar, wall)), median(each(res.rio, wall)), median(times),
		fmt.Sprintf("%.2f to %.2f", times[0], times[len(times)-1]),
		median(each(res.bar, cpu)), median(each(res.rio, cpu)), median(res.ratios(cpuRatio)),
		median(each(res.rio, enters)))
}

func (g goal) print(res results) {
	got, sign, verdict := median(res.ratios(g.ratio)), "<=", "reached"
	if g.atLeast {
		sign = ">="
	}
	if g.atLeast != (got >= g.want) && got != g.want {
		verdict = "missed"
	}
	fmt.Printf("%-20s %6.2f %-24s wanted %s %.2f  %s\n", g.row, got, g.says, sign, g.want, verdict)
}

// ratios are those of each round, sorted.
func (res results) ratios(of func(r, bar cbar.Figures) float64) []float64 {
	rs := make([]float64, len(res.rio))
	for i := range rs {
		rs[i] = of(res.rio[i], res.bar[i])
	}
	slices.Sort(rs)
	return rs
}

func each(fs []cbar.Figures, of func(cbar.Figures) float64) []float64 {
	values := make([]float64, len(fs))
	for i, f := range fs {
		values[i] = of(f)
	}
	slices.Sort(values)
	return values
}

func median(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
