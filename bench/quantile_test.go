//go:build linux

package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestQuartilesInterpolate(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   Spread
	}{
		{[]float64{7}, Spread{7, 7, 7}},
		{[]float64{2, 1}, Spread{1.25, 1.5, 1.75}},
		{[]float64{3, 1, 2}, Spread{1.5, 2, 2.5}},
		{[]float64{50, 10, 40, 20, 30}, Spread{20, 30, 40}},
		{[]float64{4, 3, 2, 1}, Spread{1.75, 2.5, 3.25}},
	} {
		if got := spreadOf(c.values); got != c.want {
			t.Errorf("%v: %+v, want %+v", c.values, got, c.want)
		}
	}
	if !math.IsNaN(quantile(nil, 0.5)) {
		t.Error("nothing has a median")
	}
}

func TestMediansLeaveOutWhatSomeRoundsLack(t *testing.T) {
	got := medians([]Figures{{Wall: 1, CPU: 5}, {Wall: 3}, {Wall: 2, CPU: 6}})
	if len(got) != 1 || got[Wall] != 2 {
		t.Errorf("%v", got)
	}
}

func TestHistogramIsWithinAThirtySecond(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var h Histogram
	values := make([]float64, 20000)
	for i := range values {
		ns := int64(math.Exp(r.Float64() * 25))
		values[i] = float64(ns)
		h.add(ns)
	}
	slices.Sort(values)
	for _, q := range []float64{0.001, 0.25, 0.5, 0.9, 0.99, 1} {
		want := values[int(math.Ceil(q*float64(len(values))))-1]
		if got := h.Quantile(q); math.Abs(got-want) > want/32 {
			t.Errorf("%v: %v, want %v", q, got, want)
		}
	}
	for b := range 58 * fine { // the bucket of a value is that value's
		if got := bucketOf(uint64(valueOf(b))); got != b {
			t.Fatalf("bucket %d stands for %v, which is in %d", b, valueOf(b), got)
		}
	}
	h.add(math.MaxInt64)
	h.add(-1)
	var sum Histogram
	sum.merge(&h)
	if sum.total != 20002 || sum.Quantile(1) < math.MaxInt64/2 {
		t.Errorf("%d, up to %v", sum.total, sum.Quantile(1))
	}
}

func TestFiguresHaveThreeDigitsAndAUnit(t *testing.T) {
	for _, c := range []struct {
		m    Metric
		v    float64
		want string
	}{
		{Wall, 346.2, "346 ns"}, {Wall, 999.8, "1.00 µs"}, {P99, 57312, "57.3 µs"}, {P50, 2.5e9, "2.50 s"},
		{Rate, 134200, "134 k/s"}, {Rate, 12.34, "12.3/s"}, {Bytes, 7012, "6.85 KiB"}, {Bytes, 406, "406 B"},
		{Allocs, 0, "0"}, {Enters, 0.0156, "0.016"}, {ClientCPU, 0.7, "0.70"},
	} {
		if got := c.m.format(c.v); got != c.want {
			t.Errorf("%s of %v: %q, want %q", c.m, c.v, got, c.want)
		}
	}
}
