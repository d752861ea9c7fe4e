//go:build linux

package main

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A chart is a file beside RESULTS.md.
type chart struct{ title, file string }

// Each side has a color of its own, in all charts: rio's is the one that stands out.
var (
	ink    = color.RGBA{0x33, 0x33, 0x33, 0xff}
	faint  = color.RGBA{0xe4, 0xe4, 0xe4, 0xff}
	good   = color.RGBA{0x2a, 0x8c, 0x82, 0xff}
	bad    = color.RGBA{0xd1, 0x6a, 0x3a, 0xff}
	colors = map[string]color.Color{
		"net":        color.RGBA{0x9a, 0xa5, 0xb1, 0xff},
		"gnet":       color.RGBA{0xc9, 0xb4, 0x8a, 0xff},
		"C epoll":    color.RGBA{0x8f, 0xb3, 0xd9, 0xff},
		"C io_uring": color.RGBA{0x3f, 0x6f, 0xa8, 0xff},
		"C":          color.RGBA{0x3f, 0x6f, 0xa8, 0xff},
		"rio":        color.RGBA{0xc8, 0x3a, 0x2f, 0xff},
	}
	spare = color.RGBA{0x7a, 0x4f, 0x9a, 0xff} // of a side that isn't in there
)

func colorOf(side string) color.Color {
	if c, ok := colors[side]; ok {
		return c
	}
	return spare
}

func init() {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
}

// charts draws what there are rows for.
func (r *Report) charts(dir string) ([]chart, error) {
	var out []chart
	for _, c := range []struct {
		chart
		draw func(*Report) (*vgsvg.Canvas, error)
	}{
		{chart{"rio beside its bars", "ratios.svg"}, (*Report).drawRatios},
		{chart{"TCP echo", "echo.svg"}, (*Report).drawEcho},
		{chart{"NOPs in flight", "depth.svg"}, (*Report).drawDepth},
	} {
		canvas, err := c.draw(r)
		if err != nil {
			return nil, err
		}
		name := filepath.Join(dir, c.file)
		if canvas == nil { // an old one would belong to other figures
			os.Remove(name)
			continue
		}
		var svg bytes.Buffer
		if _, err := canvas.WriteTo(&svg); err != nil {
			return nil, err
		}
		if err := os.WriteFile(name, withFallback(svg.Bytes()), 0o644); err != nil {
			return nil, err
		}
		out = append(out, c.chart)
	}
	return out, nil
}

// withFallback names fonts for where there is no Liberation: the widths are the same.
func withFallback(svg []byte) []byte {
	return bytes.ReplaceAll(svg, []byte("font-family:Liberation Sans"),
		[]byte("font-family:'Liberation Sans',Arial,Helvetica,sans-serif"))
}

func newCanvas(w, h vg.Length) *vgsvg.Canvas {
	c := vgsvg.New(w, h)
	c.SetColor(color.White)
	var all vg.Path
	all.Move(vg.Point{})
	all.Line(vg.Point{X: w})
	all.Line(vg.Point{X: w, Y: h})
	all.Line(vg.Point{Y: h})
	all.Close()
	c.Fill(all)
	return c
}

func newPlot(title string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	p.Title.Text = title
	p.Title.TextStyle.Font.Size = 12
	p.Title.TextStyle.Color = ink
	p.Title.Padding = 8
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Color, a.Tick.Color, a.Label.TextStyle.Color, a.Tick.Label.Color = ink, ink, ink, ink
		a.Label.TextStyle.Font.Size = 10
		a.Tick.Label.Font.Size = 9
		a.Label.Padding = 5
		a.Tick.Marker = roundTicks{}
		a.LineStyle.Width, a.Tick.LineStyle.Width = 0.5, 0.5
	}
	p.Legend.Top = true
	p.Legend.TextStyle.Font.Size = 9
	p.Legend.TextStyle.Color = ink
	p.Legend.Padding = 3
	return p
}

// roundTicks are a handful, at multiples of 1, 2 or 5.
type roundTicks struct{}

func (roundTicks) Ticks(low, high float64) []plot.Tick {
	step := math.Pow(10, math.Floor(math.Log10((high-low)/4)))
	for _, m := range []float64{1, 2, 5, 10} {
		if (high-low)/(step*m) <= 7 {
			step *= m
			break
		}
	}
	var ticks []plot.Tick
	for i := math.Ceil(low / step); i*step <= high; i++ {
		ticks = append(ticks, plot.Tick{Value: i * step, Label: fmt.Sprintf("%.5g", i*step)})
	}
	return ticks
}

// fill is a rectangle in a chart's own coordinates.
func fill(c draw.Canvas, col color.Color, x0, y0, x1, y1 vg.Length) {
	c.FillPolygon(col, []vg.Point{{X: x0, Y: y0}, {X: x1, Y: y0}, {X: x1, Y: y1}, {X: x0, Y: y1}})
}
