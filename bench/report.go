//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A Report is what a run has found out.
type Report struct {
	Machine Machine  `json:"machine"`
	Options Options  `json:"options"`
	Seconds float64  `json:"seconds"`
	Rows    []Result `json:"rows"`
}

// write makes RESULTS.md, results.json and the charts in a directory.
func (r *Report) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	charts, err := r.charts(dir)
	if err != nil {
		return err
	}
	var data bytes.Buffer
	enc := json.NewEncoder(&data)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "\t")
	if err := enc.Encode(r); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "results.json"), data.Bytes(), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "RESULTS.md"), []byte(r.markdown(charts)), 0o644)
}

// failed is an error that names what went wrong, apart from what could only not be measured.
func (r *Report) failed() error {
	var errs []error
	for _, row := range r.Rows {
		if row.Err != "" {
			errs = append(errs, fmt.Errorf("%s: %s", row.Name, row.Err))
		}
		for _, s := range row.Sides {
			if s.Err != "" {
				errs = append(errs, fmt.Errorf("%s: %s: %s", row.Name, s.Name, s.Err))
			}
		}
	}
	return errors.Join(errs...)
}

func (r *Report) markdown(charts []chart) string {
	var b strings.Builder
	b.WriteString("# Results\n\n")
	b.WriteString("Written by `go run .` in bench/. All sides of a row take turns in one run; who begins changes with the round. A figure\n")
	b.WriteString("is the median of the rounds; a ratio is the median of the rounds' ratios, with its quartiles. Compare columns, not machines.\n\n")
	r.writeMachine(&b)
	for _, c := range charts {
		fmt.Fprintf(&b, "![%s](%s)\n\n", c.title, c.file)
	}
	r.writeGoals(&b)
	r.writeFigures(&b)
	r.writeGaps(&b)
	b.WriteString(elsewhere)
	return b.String()
}

func (r *Report) writeMachine(b *strings.Builder) {
	m := r.Machine
	b.WriteString("| | |\n|---|---|\n")
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(b, "| %s | %s |\n", name, value)
		}
	}
	line("machine", fmt.Sprintf("%d CPUs, %s, %s", m.CPUs, m.CPU, m.Arch))
	line("kernel", "Linux "+m.Kernel)
	line("Go", fmt.Sprintf("%s, GOMAXPROCS=%d where a row does not say otherwise", m.Go, m.GOMAXPROCS))
	line("C compiler", m.C)
	line("fio", m.Fio)
	line("disk", strings.Trim(m.FileSystem+", "+m.Disk, ", "))
	line("date", m.Date)
	how := fmt.Sprintf("%d rounds (fewer where a turn takes long), %v a turn, files of %d MiB; it took %v", r.Options.Rounds,
		r.Options.Turn, r.Options.Size>>20, time.Duration(r.Seconds*float64(time.Second)).Round(time.Second))
	if r.Options.Quick {
		how = "-quick: " + how
	}
	if r.Options.Run != "" {
		how += fmt.Sprintf("; only rows that match `%s`", strings.ReplaceAll(r.Options.Run, "|", `\|`))
	}
	line("run", how)
	line("load of the machine", fmt.Sprintf("%s before, %s after", m.LoadBefore, m.LoadAfter))
	b.WriteString("\n")
}

// writeGoals has a line for each goal; those of one row follow each other.
func (r *Report) writeGoals(b *strings.Builder) {
	met, missed, open := 0, 0, 0
	for _, row := range r.Rows {
		for _, g := range row.Goals {
			switch {
			case g.Ratio == nil:
				open++
			case g.Met:
				met++
			default:
				missed++
			}
		}
	}
	fmt.Fprintf(b, "## Goals\n\n%d met, %d missed, %d not measured.\n\n", met, missed, open)
	b.WriteString("| row | | bars | rio | rio : bar | goal | |\n|---|---|---|---|---|---|---|\n")
	for _, row := range r.Rows {
		title := row.Title
		for _, g := range row.Goals {
			var bars []string
			ours := "–"
			for _, s := range row.Sides {
				v, ok := s.Median[g.Metric]
				switch {
				case s.Name == g.Side && ok:
					ours = g.Metric.format(v)
				case s.Name != g.Side && ok:
					bars = append(bars, s.Name+" "+g.Metric.format(v))
				}
			}
			ratio, verdict := "–", "not measured"
			if g.Ratio != nil {
				ratio, verdict = g.Ratio.String(), "met"
				if !g.Met {
					verdict = "**missed**"
				}
			}
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s |\n", title, g.Metric.says(), strings.Join(bars, ", "), ours,
				ratio, g.wants(), verdict)
			title = ""
		}
	}
	b.WriteString("\n")
}

// columns are the metrics of the table of figures.
var columns = []struct {
	head string
	m    Metric
}{
	{"time", Wall}, {"a second", Rate}, {"CPU", CPU}, {"p50", P50}, {"p99", P99}, {"allocations", Allocs},
	{"enters", Enters}, {"client's CPU", ClientCPU}, {"heap and stacks", Bytes}, {"resident", RSS},
}

func (r *Report) writeFigures(b *strings.Builder) {
	b.WriteString("## Figures\n\nFor one operation. CPU is that of all threads of whoever did the work, in user and kernel mode; with a server,\n")
	b.WriteString("the server's. Enters are calls of io_uring_enter. The client's CPU is a share of one processor.\n\n| row | |")
	for _, c := range columns {
		fmt.Fprintf(b, " %s |", c.head)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(columns)) + "\n")
	for _, row := range r.Rows {
		title := row.Name
		for _, s := range row.Sides {
			if s.Median == nil {
				continue
			}
			fmt.Fprintf(b, "| %s | %s |", title, s.Name)
			for _, c := range columns {
				cell := ""
				if v, ok := s.Median[c.m]; ok {
					cell = c.m.format(v)
				}
				fmt.Fprintf(b, " %s |", cell)
			}
			b.WriteString("\n")
			title = ""
		}
	}
	b.WriteString("\n")
}

// writeGaps says what has no figures, and why.
func (r *Report) writeGaps(b *strings.Builder) {
	var lines []string
	for _, row := range r.Rows {
		if why := row.Skip + row.Err; why != "" {
			lines = append(lines, fmt.Sprintf("- %s: %s", row.Name, why))
		}
		for _, s := range row.Sides {
			if why := s.Skip + s.Err; why != "" {
				lines = append(lines, fmt.Sprintf("- %s, %s: %s", row.Name, s.Name, why))
			}
		}
	}
	if len(lines) > 0 {
		b.WriteString("## Not measured\n\n" + strings.Join(lines, "\n") + "\n\n")
	}
}
