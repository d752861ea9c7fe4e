//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Progress says what is going on: on a terminal in one line that is rewritten, elsewhere in a line for each row.
type Progress struct {
	mu       sync.Mutex
	w        io.Writer
	terminal bool
	began    time.Time
	rows     int
	row      int    // which
	name     string // of it
	shown    bool   // there is a line to be wiped
}

func newProgress(w io.Writer, terminal bool) *Progress {
	return &Progress{w: w, terminal: terminal, began: time.Now()}
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// begin tells how many rows there will be.
func (p *Progress) begin(rows int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.began, p.rows = time.Now(), rows
}

// turn says who is at work. Round 0 is the one for warming up.
func (p *Progress) turn(row, side string, round int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if row != p.name {
		p.name = row
		p.row++
		if !p.terminal {
			fmt.Fprintf(p.w, "[%d/%d] %s\n", p.row, p.rows, row)
		}
	}
	if side == "" {
		side = "getting ready"
	}
	if !p.terminal {
		return
	}
	what := fmt.Sprintf("round %d", round)
	if round == 0 {
		what = "warm-up"
	}
	fmt.Fprintf(p.w, "\r\x1b[K[%d/%d] %s  %s: %s  %s", p.row, p.rows, row, what, side, p.left())
	p.shown = true
}

// left guesses by the rows that are done how long the others will take.
func (p *Progress) left() string {
	spent := time.Since(p.began)
	if p.row < 2 {
		return spent.Round(time.Second).String()
	}
	left := time.Duration(float64(spent) / float64(p.row-1) * float64(p.rows-p.row+1))
	return fmt.Sprintf("%v, about %v left", spent.Round(time.Second), left.Round(10*time.Second))
}

// result says what came of a row.
func (p *Progress) result(r Result) {
	var b strings.Builder
	fmt.Fprintf(&b, "%-22s", r.Name)
	if why := r.Skip + r.Err; why != "" {
		p.say("%s %s", b.String(), why)
		return
	}
	for _, s := range r.Sides {
		fmt.Fprintf(&b, "  %s %s", s.Name, r.headline(s))
	}
	for _, g := range r.Goals {
		fmt.Fprintf(&b, "\n%22s  %s: %s", "", g.wants(), g.verdict())
	}
	p.say("%s", b.String())
}

// say prints a line of its own.
func (p *Progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
	fmt.Fprintf(p.w, format+"\n", args...)
}
