//go:build linux

package main

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

//go:embed c/*.c c/*.h
var sources embed.FS

// programs are the bars in C, by name.
type programs map[string]program

// A program is where it is, or why it isn't.
type program struct {
	path string
	skip string
}

const noCompiler = "no C compiler"

// compile builds all of them below dir, with $CC or cc.
func compile(dir string, p *Progress) programs {
	out := programs{}
	names, err := sources.ReadDir("c")
	if err != nil {
		panic(err) // it is embedded
	}
	cc := os.Getenv("CC")
	if cc == "" {
		cc = "cc"
	}
	cc, missing := exec.LookPath(cc)
	if missing != nil {
		p.say("no C compiler: the bars in C are skipped")
	}
	for _, e := range names {
		text, err := sources.ReadFile(path.Join("c", e.Name()))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, e.Name()), text, 0o644)
		}
		if err != nil && missing == nil {
			missing = err
		}
	}
	for _, e := range names {
		name, isProgram := strings.CutSuffix(e.Name(), ".c")
		if !isProgram {
			continue
		}
		if missing != nil {
			out[name] = program{skip: noCompiler}
			continue
		}
		bin := filepath.Join(dir, name)
		cmd := exec.Command(cc, "-O2", "-Wall", "-pthread", "-o", bin, bin+".c")
		if text, err := cmd.CombinedOutput(); err != nil {
			p.say("%s does not compile, its bar is skipped: %v\n%s", e.Name(), err, text)
			out[name] = program{skip: e.Name() + " does not compile here"}
			continue
		}
		out[name] = program{path: bin}
	}
	return out
}

// side is a bar that runs a program for each turn. The last argument, milliseconds, is the turn's.
func (ps programs) side(label, name string, args ...string) Side {
	p, ok := ps[name]
	if !ok {
		panic("no such program: " + name)
	}
	return Side{Name: label, Skip: p.skip, Turn: func(ctx context.Context, d time.Duration) (Figures, error) {
		ms := fmt.Sprintf("%.3f", d.Seconds()*1e3)
		r, err := p.run(ctx, append(args, ms)...)
		if err != nil {
			return nil, skip(err.Error())
		}
		return Figures{Wall: r.Wall / r.Ops, CPU: r.CPU / r.Ops, Enters: r.Enters / r.Ops}, nil
	}}
}

// counted is what such a program prints: totals, times in nanoseconds.
type counted struct{ Ops, Wall, CPU, Enters float64 }

func (p program) run(ctx context.Context, args ...string) (counted, error) {
	var c counted
	cmd := exec.CommandContext(ctx, p.path, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.Output()
	if err != nil {
		return c, fmt.Errorf("%s: %w: %s", filepath.Base(p.path), err, strings.TrimSpace(stderr.String()))
	}
	if err := json.Unmarshal(out, &c); err != nil || c.Ops <= 0 {
		return c, fmt.Errorf("%s printed %q", filepath.Base(p.path), out)
	}
	return c, nil
}
