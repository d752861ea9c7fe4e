//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio"
)

// A Result is what came of a row.
type Result struct {
	Name  string       `json:"name"`
	Title string       `json:"title"`
	Unit  string       `json:"unit"`
	Skip  string       `json:"skip,omitempty"` // why there is no result at all
	Err   string       `json:"error,omitempty"`
	Sides []SideResult `json:"sides,omitempty"`
	Goals []GoalResult `json:"goals,omitempty"`

	Seconds float64 `json:"seconds"` // all of it
}

// A SideResult has the figures of each round; the rounds of all sides took place together.
type SideResult struct {
	Name   string    `json:"name"`
	Skip   string    `json:"skip,omitempty"`
	Err    string    `json:"error,omitempty"`
	Median Figures   `json:"median,omitempty"`
	Rounds []Figures `json:"rounds,omitempty"`
}

// A GoalResult has the spread of the rounds' ratios.
type GoalResult struct {
	Goal
	Ratio *Spread `json:"ratio,omitempty"`
	Met   bool    `json:"met"`
	Why   string  `json:"why,omitempty"` // not measured
}

// quickRow is how long a row may go on beginning rounds with -quick, where a slow machine must not make it long.
const quickRow = 2500 * time.Millisecond

// measure lets each side take a turn to warm up, then all of them in turn. Who begins changes with the round. Only the
// end of the context is an error; what goes wrong in a row is part of its Result.
func (b *Bench) measure(r Row) (Result, error) {
	res := Result{Name: r.Name, Title: r.Title, Unit: r.Unit}
	began := time.Now()
	s := &Stage{Bench: b}
	defer s.close()
	b.progress.turn(r.Name, "", 0)
	sides, err := r.Open(s)
	if err != nil {
		res.Skip, res.Err = explain(err)
	}
	for _, side := range sides {
		res.Sides = append(res.Sides, SideResult{Name: side.Name, Skip: side.Skip})
	}
	first := 0
	if r.Cold {
		first = 1
	}
	for round := first; round <= r.rounds(b.options); round++ {
		if round > 1 && b.options.Quick && time.Since(began) > quickRow {
			break
		}
		for i := range sides {
			which := (round + i) % len(sides)
			side, sr := sides[which], &res.Sides[which]
			if err := b.ctx.Err(); err != nil {
				return res, err
			}
			if sr.Skip != "" || sr.Err != "" {
				continue
			}
			b.progress.turn(r.Name, side.Name, round)
			f, err := b.turn(r, side, round)
			if err != nil {
				sr.Skip, sr.Err = explain(err)
				sr.Rounds = nil
			} else if round > 0 {
				sr.Rounds = append(sr.Rounds, f)
			}
		}
	}
	for i := range res.Sides {
		res.Sides[i].Median = medians(res.Sides[i].Rounds)
	}
	for _, g := range r.Goals {
		res.Goals = append(res.Goals, res.judge(g))
	}
	res.Seconds = time.Since(began).Seconds()
	return res, b.ctx.Err()
}

func explain(err error) (skipped, failed string) {
	var s skip
	if errors.As(err, &s) {
		return s.Error(), ""
	}
	return "", err.Error()
}

func (r Row) rounds(o Options) int {
	if r.Rounds > 0 {
		return min(r.Rounds, o.Rounds)
	}
	return o.Rounds
}

// turn lets a side work, on a heap without the garbage of the one before. Round 0 is for warming up.
func (b *Bench) turn(r Row, side Side, round int) (Figures, error) {
	d := b.options.Turn
	if round == 0 {
		d /= 2
	}
	runtime.GC()
	// What hangs is worth its goroutines' stacks.
	limit := d + time.Minute
	hung := time.AfterFunc(limit, func() {
		fmt.Fprintf(os.Stderr, "\nbench: %s: %s has not come back in %v\n", r.Name, side.Name, limit)
		pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
		b.remove()
		os.Exit(1)
	})
	defer hung.Stop()
	f, err := side.Turn(b.ctx, d)
	if err != nil {
		return nil, err
	}
	if ns, ok := f[Wall]; ok && ns > 0 {
		f[Rate] = 1e9 / ns
	}
	return f, nil
}

// judge looks up what both sides of a goal have measured.
func (res Result) judge(g Goal) GoalResult {
	out := GoalResult{Goal: g}
	find := func(name string) *SideResult {
		for i := range res.Sides {
			if res.Sides[i].Name == name {
				return &res.Sides[i]
			}
		}
		return &SideResult{Name: name, Skip: "it takes no part"}
	}
	ours, bar := find(g.Side), find(g.Bar)
	if why := res.Skip + res.Err; why != "" {
		out.Why = why
		return out
	}
	for _, s := range []*SideResult{ours, bar} {
		if why := s.Skip + s.Err; why != "" {
			out.Why = s.Name + ": " + why
			return out
		}
	}
	var ratios []float64
	for i := range ours.Rounds {
		a, ok := ours.Rounds[i][g.Metric]
		c, ok2 := bar.Rounds[i][g.Metric]
		if ok && ok2 && c > 0 {
			ratios = append(ratios, a/c)
		}
	}
	if len(ratios) == 0 {
		out.Why = "no figures"
		return out
	}
	spread := spreadOf(ratios)
	out.Ratio, out.Met = &spread, g.met(spread.Median)
	return out
}

// A load does operations until then, in this process, and says how many they were.
type load func(until time.Time) (n int, err error)

// turn measures the load. The ring may be nil, and so may what the load tells its latencies to.
func (l load) turn(ring *rio.Ring, lat *Histogram) Turn {
	return func(ctx context.Context, d time.Duration) (Figures, error) {
		lat.reset()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		enters, cpu, start := ring.Stats().Enters, ownCPU(), time.Now()
		n, err := l(start.Add(d))
		wall := time.Since(start)
		cpu = ownCPU() - cpu
		enters = ring.Stats().Enters - enters
		runtime.ReadMemStats(&after)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return nil, errors.New("nothing was done")
		}
		ops := float64(n)
		f := Figures{
			Wall:   float64(wall) / ops,
			CPU:    float64(cpu) / ops,
			Allocs: float64(after.Mallocs-before.Mallocs) / ops,
		}
		if ring != nil {
			f[Enters] = float64(enters) / ops
		}
		if lat != nil {
			f[P50], f[P99] = lat.Quantile(0.5), lat.Quantile(0.99)
		}
		return f, nil
	}
}

// ownCPU is the time that all threads of this process have run, the kernel's workers for its rings among them.
func ownCPU() time.Duration {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		panic("getrusage: " + err.Error()) // its arguments are constants
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}
