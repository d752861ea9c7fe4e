//go:build linux

package main

import (
	"context"
	"time"
)

// A Row is one line of the table: a piece of work that rio and its bars do in turn, and what is wanted of rio.
type Row struct {
	Name   string // what -run selects
	Title  string
	Unit   string // what one operation is
	Goals  []Goal
	Rounds int  // at most so many, if not 0: for rows of slow turns
	Cold   bool // warming up would be for nothing
	Open   func(*Stage) ([]Side, error)
}

// A Side is one that does the work. The one called rio is the library; the others are bars.
type Side struct {
	Name string
	Skip string // why it can't take part, if so
	Turn Turn
}

// A Turn works for about d and says what an operation cost.
type Turn func(ctx context.Context, d time.Duration) (Figures, error)

// Figures are what an operation cost. What a side can't know isn't in there.
type Figures map[Metric]float64

// A Metric is a key of Figures.
type Metric string

const (
	Wall   Metric = "ns/op"
	CPU    Metric = "cpu-ns/op"
	Rate   Metric = "ops/s"
	P50    Metric = "p50-ns"
	P99    Metric = "p99-ns"
	Allocs Metric = "allocs/op"
	Enters Metric = "enters/op"
	Bytes  Metric = "bytes"     // of heap and stacks in use
	RSS    Metric = "rss-bytes" // of memory resident
)

// says is how a goal calls a metric.
func (m Metric) says() string {
	switch m {
	case Wall:
		return "time"
	case CPU:
		return "CPU"
	case Rate:
		return "throughput"
	case P50:
		return "p50"
	case P99:
		return "p99"
	case Bytes:
		return "heap and stacks"
	case RSS:
		return "resident memory"
	}
	return string(m)
}

// A Goal is a bound on the ratio of one side to another in the same round. Side is rio if empty.
type Goal struct {
	Side    string  `json:"side"`
	Bar     string  `json:"bar"`
	Metric  Metric  `json:"metric"`
	AtLeast bool    `json:"at_least"`
	Limit   float64 `json:"limit"`
}

// atMost and atLeast make goals for rio.
func atMost(limit float64, bar string, m Metric) Goal {
	return Goal{Side: "rio", Bar: bar, Metric: m, Limit: limit}
}

func atLeast(limit float64, bar string, m Metric) Goal {
	return Goal{Side: "rio", Bar: bar, Metric: m, Limit: limit, AtLeast: true}
}

// met says whether a ratio is what the goal wants.
func (g Goal) met(ratio float64) bool {
	if g.AtLeast {
		return ratio >= g.Limit
	}
	return ratio <= g.Limit
}

// A skip is an error that only means that something can't be measured here.
type skip string

func (s skip) Error() string { return string(s) }

// allRows is the table.
func allRows() []Row {
	var rows []Row
	rows = append(rows, nopRows()...)
	rows = append(rows, cachedRows()...)
	rows = append(rows, directRows()...)
	rows = append(rows, bufferedRows()...)
	rows = append(rows, logRows()...)
	rows = append(rows, echoRows()...)
	rows = append(rows, idleRows()...)
	return append(rows, depthRows()...)
}
