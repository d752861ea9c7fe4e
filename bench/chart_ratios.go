//go:build linux

package main

import (
	"fmt"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A ratioBar is how many times as well as a bar rio did, whatever was compared.
type ratioBar struct {
	label          string
	low, mid, high float64
	goal           float64
	met            bool
}

// ratioBars is one for each row and bar: that of its first goal.
func (r *Report) ratioBars() []ratioBar {
	var bars []ratioBar
	for _, row := range r.Rows {
		seen := map[string]bool{}
		for _, g := range row.Goals {
			if g.Ratio == nil || seen[g.Bar] || g.Ratio.Q1 <= 0 {
				continue
			}
			seen[g.Bar] = true
			b := ratioBar{
				label: fmt.Sprintf("%s  (%s, %s)", row.Name, g.Bar, g.Metric.says()),
				low:   g.Ratio.Q1, mid: g.Ratio.Median, high: g.Ratio.Q3, goal: g.Limit, met: g.Met,
			}
			if !g.AtLeast {
				b.low, b.mid, b.high, b.goal = 1/b.high, 1/b.mid, 1/b.low, 1/b.goal
			}
			bars = append(bars, b)
		}
	}
	return bars
}

const ratioPitch = vg.Length(15)

func (r *Report) drawRatios() (*vgsvg.Canvas, error) {
	bars := r.ratioBars()
	if len(bars) == 0 {
		return nil, nil
	}
	p := newPlot("rio beside its bars: to the right of 1.0 rio did better")
	p.X.Scale = plot.LogScale{}
	p.X.Min, p.X.Max = 0.5, 2
	for _, b := range bars {
		p.X.Min, p.X.Max = min(p.X.Min, b.low/1.1), max(p.X.Max, b.high*1.15)
	}
	p.X.Tick.Marker = ratioTicks{}
	p.X.Label.Text = "times as good (log scale); teal: goal met, orange: missed; | the goal; thin line: quartiles"
	p.Y.Min, p.Y.Max = -0.7, float64(len(bars))-0.3
	var ticks []plot.Tick
	for i, b := range bars {
		ticks = append(ticks, plot.Tick{Value: float64(len(bars) - 1 - i), Label: b.label})
	}
	p.Y.Tick.Marker = plot.ConstantTicks(ticks)
	p.Y.Tick.Length = 0
	p.Y.LineStyle.Width = 0
	p.Add(ratioPlot(bars))
	canvas := newCanvas(760, 80+ratioPitch*vg.Length(len(bars)))
	p.Draw(draw.Crop(draw.New(canvas), 8, -16, 8, -8))
	return canvas, nil
}

type ratioPlot []ratioBar

func (bars ratioPlot) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for _, t := range (ratioTicks{}).Ticks(p.X.Min, p.X.Max) {
		if t.Label != "" {
			c.StrokeLine2(draw.LineStyle{Color: faint, Width: 0.7}, x(t.Value), c.Min.Y, x(t.Value), c.Max.Y)
		}
	}
	for i, b := range bars {
		at, col := y(float64(len(bars)-1-i)), bad
		if b.met {
			col = good
		}
		fill(c, col, x(1), at-4.5, x(b.mid), at+4.5)
		c.StrokeLine2(draw.LineStyle{Color: ink, Width: 0.8}, x(b.low), at, x(b.high), at)
		c.StrokeLine2(draw.LineStyle{Color: ink, Width: 1.5}, x(b.goal), at-6, x(b.goal), at+6)
	}
	c.StrokeLine2(draw.LineStyle{Color: ink, Width: 1}, x(1), c.Min.Y, x(1), c.Max.Y)
}

// ratioTicks are 0.1, 0.2, 0.5, 1, 2, 5, 10 and so on.
type ratioTicks struct{}

func (ratioTicks) Ticks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for e := math.Floor(math.Log10(low)); e <= math.Ceil(math.Log10(high)); e++ {
		for _, m := range []float64{1, 2, 5} {
			if v := m * math.Pow(10, e); v >= low && v <= high {
				ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprintf("%.4g", v)})
			}
		}
	}
	return ticks
}
