//go:build linux

package main

import (
	"fmt"
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// drawEcho has a panel for each number of Ps: throughput above, CPU below.
func (r *Report) drawEcho() (*vgsvg.Canvas, error) {
	rows := map[int][]Result{}
	for _, row := range r.Rows {
		var conns, procs int
		if n, _ := fmt.Sscanf(row.Name, "echo/%d/procs=%d", &conns, &procs); n == 2 && len(row.Sides) > 0 {
			rows[procs] = append(rows[procs], row)
		}
	}
	var columns []int
	for _, procs := range []int{1, 2} {
		if len(rows[procs]) > 0 {
			columns = append(columns, procs)
		}
	}
	if len(columns) == 0 {
		return nil, nil
	}
	plots := make([][]*plot.Plot, 2)
	for i, what := range []struct {
		metric Metric
		scale  float64
		label  string
	}{{Rate, 1e-3, "1,000 messages a second"}, {CPU, 1e-3, "server's CPU a message, µs"}} {
		top := 0.0
		for _, procs := range columns {
			title := ""
			if i == 0 {
				title = fmt.Sprintf("TCP echo, 128 B, GOMAXPROCS=%d", procs)
			}
			p := newPlot(title)
			if procs == columns[0] {
				p.Y.Label.Text = what.label
			}
			if i == 1 {
				p.X.Label.Text = "connections"
			}
			if err := groups(p, rows[procs], what.metric, what.scale, i == 0 && procs == columns[len(columns)-1]); err != nil {
				return nil, err
			}
			plots[i] = append(plots[i], p)
			top = max(top, p.Y.Max)
		}
		for _, p := range plots[i] {
			p.Y.Min, p.Y.Max = 0, top*1.02
			if i == 0 {
				p.Y.Max = top * 1.3 // for the legend
			}
		}
	}
	canvas := newCanvas(vg.Length(390*len(columns)), 520)
	tiles := draw.Tiles{Rows: 2, Cols: len(columns), PadX: 14, PadY: 10, PadTop: 8, PadBottom: 8, PadLeft: 8, PadRight: 12}
	for j, line := range plot.Align(plots, tiles, draw.New(canvas)) {
		for i, c := range line {
			plots[j][i].Draw(c)
		}
	}
	return canvas, nil
}

// groups are bars for each row, one for each side.
func groups(p *plot.Plot, rows []Result, m Metric, scale float64, legend bool) error {
	var names []string
	for _, row := range rows {
		var conns int
		fmt.Sscanf(row.Name, "echo/%d/", &conns)
		names = append(names, fmt.Sprint(conns))
	}
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	grid.Horizontal.Color = faint
	p.Add(grid)
	const width = 14
	sides := rows[0].Sides
	for i, side := range sides {
		values := make(plotter.Values, len(rows))
		for j, row := range rows {
			values[j] = row.Sides[i].Median[m] * scale // 0 if there is none
		}
		bars, err := plotter.NewBarChart(values, width)
		if err != nil {
			return err
		}
		bars.Color = colorOf(side.Name)
		bars.LineStyle.Width = 0
		bars.Offset = width * (vg.Length(i) - vg.Length(len(sides)-1)/2)
		p.Add(bars)
		if legend {
			p.Legend.Add(side.Name, swatch{colorOf(side.Name)})
		}
	}
	p.Legend.ThumbnailWidth = 16
	p.NominalX(names...)
	p.X.Min, p.X.Max = -0.5, float64(len(rows))-0.5
	return nil
}

// swatch is a color in a legend.
type swatch struct{ color.Color }

func (s swatch) Thumbnail(c *draw.Canvas) {
	fill(*c, s.Color, c.Min.X+5, c.Min.Y+1, c.Max.X, c.Max.Y-1)
}
