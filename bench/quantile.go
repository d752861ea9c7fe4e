//go:build linux

package main

import (
	"math"
	"math/bits"
	"slices"
)

// A Spread is the median of some values with its quartiles.
type Spread struct {
	Q1     float64 `json:"q1"`
	Median float64 `json:"median"`
	Q3     float64 `json:"q3"`
}

func spreadOf(values []float64) Spread {
	sorted := slices.Sorted(slices.Values(values))
	return Spread{quantile(sorted, 0.25), quantile(sorted, 0.5), quantile(sorted, 0.75)}
}

// quantile interpolates between the two values that q falls between.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := q * float64(len(sorted)-1)
	low := int(at)
	if low+1 == len(sorted) {
		return sorted[low]
	}
	return sorted[low] + (at-float64(low))*(sorted[low+1]-sorted[low])
}

// medians is the median of each metric that all rounds have.
func medians(rounds []Figures) Figures {
	if len(rounds) == 0 {
		return nil
	}
	out := Figures{}
	for m := range rounds[0] {
		var values []float64
		for _, f := range rounds {
			if v, ok := f[m]; ok {
				values = append(values, v)
			}
		}
		if len(values) == len(rounds) {
			out[m] = spreadOf(values).Median
		}
	}
	return out
}

// A Histogram counts latencies, in buckets that are a thirty-second of their value wide. It is not for several
// goroutines at once.
type Histogram struct {
	counts [64 * fine]uint64
	total  uint64
}

const fine = 32

// bucketOf and valueOf: what is less than fine has a bucket of its own; above, the five bits behind the highest one
// count.
func bucketOf(ns uint64) int {
	if ns < fine {
		return int(ns)
	}
	shift := bits.Len64(ns) - 6
	return shift*fine + int(ns>>shift)
}

func valueOf(bucket int) float64 {
	if bucket < 2*fine {
		return float64(bucket)
	}
	shift := bucket/fine - 1
	return (float64(bucket%fine+fine) + 0.5) * float64(uint64(1)<<shift)
}

func (h *Histogram) add(ns int64) {
	h.counts[bucketOf(uint64(max(ns, 0)))]++
	h.total++
}

func (h *Histogram) merge(other *Histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
}

func (h *Histogram) reset() {
	if h != nil {
		*h = Histogram{}
	}
}

// Quantile is the value that a share q of what was added is not above.
func (h *Histogram) Quantile(q float64) float64 {
	want := uint64(math.Ceil(q * float64(h.total)))
	var seen uint64
	for i, n := range h.counts {
		if seen += n; n > 0 && seen >= want {
			return valueOf(i)
		}
	}
	return 0
}
