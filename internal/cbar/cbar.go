//go:build linux

// Package cbar holds the bars the library is measured against, and what the benchmarks and the compare command
// need to measure both sides alike: the C loop in nop.c, a file to read from, and the CPU clock of the process.
package cbar

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

//go:embed nop.c
var nopSource []byte

// Nop is the C loop, compiled.
type Nop struct{ path string }

// Figures are what one operation cost.
type Figures struct {
	Wall, CPU float64 // in nanoseconds
	Enters    float64 // calls of io_uring_enter
}

// Build compiles nop.c into dir, with $CC or cc. Where there is no compiler it returns an error that is
// exec.ErrNotFound.
func Build(dir string) (Nop, error) {
	cc := os.Getenv("CC")
	if cc == "" {
		cc = "cc"
	}
	path, err := exec.LookPath(cc)
	if err != nil {
		return Nop{}, err
	}
	bin := filepath.Join(dir, "nop")
	cmd := exec.Command(path, "-O2", "-Wall", "-o", bin, "-x", "c", "-")
	cmd.Stdin = bytes.NewReader(nopSource)
	if out, err := cmd.CombinedOutput(); err != nil {
		return Nop{}, fmt.Errorf("%s nop.c: %w\n%s", cc, err, out)
	}
	return Nop{bin}, nil
}

// Run does n NOPs, in the form "one" (one at a time) or "64" (64 at once), in a process of its own. Starting that
// process is not part of the figures: it measures itself.
func (c Nop) Run(form string, n int) (Figures, error) {
	cmd := exec.Command(c.path, form, strconv.Itoa(n))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return Figures{}, fmt.Errorf("the C loop: %w", err)
	}
	var f Figures
	report := map[string]*float64{"nop_" + form: &f.Wall, "nop_" + form + "_cpu": &f.CPU, "nop_" + form + "_enters": &f.Enters}
	for line := range strings.Lines(string(out)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if p := report[key]; p != nil {
			if *p, err = strconv.ParseFloat(value, 64); err != nil {
				return Figures{}, fmt.Errorf("the C loop: %w", err)
			}
			delete(report, key)
		}
	}
	if len(report) != 0 {
		return Figures{}, fmt.Errorf("the C loop: a report that says too little: %q", out)
	}
	return f, nil
}
