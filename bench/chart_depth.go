//go:build linux

package main

import (
	"fmt"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// drawDepth has a line for each side, with the quartiles of its rounds.
func (r *Report) drawDepth() (*vgsvg.Canvas, error) {
	lines := map[string]*depthLine{}
	var order []string
	var ticks []plot.Tick
	for _, row := range r.Rows {
		var depth float64
		if n, _ := fmt.Sscanf(row.Name, "depth/%g", &depth); n != 1 {
			continue
		}
		ticks = append(ticks, plot.Tick{Value: depth, Label: strings.TrimPrefix(row.Name, "depth/")})
		for _, s := range row.Sides {
			if len(s.Rounds) == 0 {
				continue
			}
			if lines[s.Name] == nil {
				lines[s.Name] = new(depthLine)
				order = append(order, s.Name)
			}
			lines[s.Name].add(depth, s.Rounds)
		}
	}
	if len(order) == 0 || len(ticks) < 2 {
		return nil, nil
	}
	p := newPlot("NOPs in flight from one goroutine, in C from one thread; quartiles")
	p.X.Label.Text, p.Y.Label.Text = "in flight (log scale)", "ns a NOP"
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = faint, faint
	p.Add(grid)
	for _, name := range order {
		l := lines[name]
		line, points, err := plotter.NewLinePoints(l)
		if err != nil {
			return nil, err
		}
		spread, err := plotter.NewYErrorBars(l)
		if err != nil {
			return nil, err
		}
		line.Color, points.Color, spread.Color = colorOf(name), colorOf(name), colorOf(name)
		line.Width, points.Shape, points.Radius = 1.5, draw.CircleGlyph{}, 2.5
		p.Add(spread, line, points)
		p.Legend.Add(name, line, points)
	}
	p.X.Scale = plot.LogScale{}
	p.X.Tick.Marker = plot.ConstantTicks(ticks)
	p.X.Min, p.X.Max = ticks[0].Value*0.85, ticks[len(ticks)-1].Value*1.18
	p.Y.Min, p.Y.Max = 0, p.Y.Max*1.1
	p.Legend.Left, p.Legend.XOffs = true, 10
	canvas := newCanvas(640, 340)
	p.Draw(draw.Crop(draw.New(canvas), 8, -16, 8, -8))
	return canvas, nil
}

// A depthLine is the points of a side.
type depthLine struct {
	x []float64
	y []Spread
}

func (l *depthLine) add(depth float64, rounds []Figures) {
	var values []float64
	for _, f := range rounds {
		values = append(values, f[Wall])
	}
	l.x, l.y = append(l.x, depth), append(l.y, spreadOf(values))
}

func (l *depthLine) Len() int                    { return len(l.x) }
func (l *depthLine) XY(i int) (float64, float64) { return l.x[i], l.y[i].Median }
func (l *depthLine) YError(i int) (float64, float64) {
	return l.y[i].Median - l.y[i].Q1, l.y[i].Q3 - l.y[i].Median
}
