//go:build linux

package main

import (
	"fmt"
	"math"
	"strings"
)

// format writes a value of a metric with three digits and a unit.
func (m Metric) format(v float64) string {
	switch m {
	case Wall, CPU, P50, P99:
		return scaled(v, 1000, []string{" ns", " µs", " ms", " s"})
	case Rate:
		return scaled(v, 1000, []string{"/s", " k/s", " M/s", " G/s"})
	case Bytes, RSS:
		return scaled(v, 1024, []string{" B", " KiB", " MiB", " GiB"})
	}
	return digits(v)
}

func scaled(v, step float64, units []string) string {
	i := 0
	for ; math.Abs(v) >= 0.9995*step && i+1 < len(units); i++ {
		v /= step
	}
	return digits(v) + units[i]
}

// digits writes three of them, and no zeros behind the point that say nothing.
func digits(v float64) string {
	a := math.Abs(v)
	switch {
	case a < 0.0005:
		return "0"
	case a >= 99.95:
		return fmt.Sprintf("%.0f", v)
	case a >= 9.995:
		return fmt.Sprintf("%.1f", v)
	case a >= 0.0995:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// wants is the goal as a sentence would have it.
func (g Goal) wants() string {
	sign := "≤"
	if g.AtLeast {
		sign = "≥"
	}
	of := g.Bar + "'s"
	if strings.HasSuffix(g.Bar, "s") {
		of = g.Bar + "'"
	}
	return fmt.Sprintf("%s %.2f × %s %s", sign, g.Limit, of, g.Metric.says())
}

func (s Spread) String() string { return fmt.Sprintf("%.2f (%.2f–%.2f)", s.Median, s.Q1, s.Q3) }

// verdict is what came of a goal: the ratio with its quartiles, and whether that is enough.
func (g GoalResult) verdict() string {
	switch {
	case g.Ratio == nil:
		return "not measured: " + g.Why
	case g.Met:
		return g.Ratio.String() + ", met"
	}
	return g.Ratio.String() + ", missed"
}

// headline is a side's median of what the row's first goal is about.
func (r Result) headline(s SideResult) string {
	if why := s.Skip + s.Err; why != "" {
		return "–"
	}
	m := Wall
	if len(r.Goals) > 0 {
		m = r.Goals[0].Metric
	}
	v, ok := s.Median[m]
	if !ok {
		return "–"
	}
	return m.format(v)
}
