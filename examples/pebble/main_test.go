package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/seed-9c58b644/rio/examples/internal/extest"
)

func TestMain(m *testing.M) { extest.Main(m, main) }

func TestBothSidesLoadAndReadBack(t *testing.T) {
	extest.RequireRing(t)
	least := []int{500, 6}
	for i, args := range []string{"-records 20000 -reads 5000 -readers 8 -value 100", "-records 2500 -reads 1 -readers 3 -value 1 -cold"} {
		dir := t.TempDir()
		var out, diag bytes.Buffer
		if err := run(t.Context(), append(strings.Fields(args), "-dir", dir), &out, &diag); err != nil {
			t.Fatalf("%s: %v", args, err)
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 5 {
			t.Fatalf("%s:\n%s", args, out.String())
		}
		for line, name := range []string{"vfs.Default", "ring"} {
			var writes, reads float64
			fields := strings.Fields(lines[2+line])
			if n, err := fmt.Sscan(strings.Join(fields[1:], " "), &writes, &reads); n != 2 || fields[0] != name || writes <= 0 || reads <= 0 {
				t.Errorf("%s: %q, %v", args, lines[2+line], err)
			}
		}
		var operations, calls int
		// Each batch of the load is at least one write, and one sync; and what was loaded doesn't fit into the cache.
		if n, err := fmt.Sscanf(lines[4], "the ring has done %d operations in %d system calls", &operations, &calls); n != 2 || operations < least[i] || calls < 1 {
			t.Errorf("%s: %q, %v", args, lines[4], err)
		}
		if diag.Len() > 0 {
			t.Errorf("%s: a bar where there is no terminal: %q", args, diag.String())
		}
		extest.WantEmpty(t, dir)
	}
}

func TestInterruptLeavesNothingBehind(t *testing.T) {
	extest.RequireRing(t)
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, []string{"-dir", dir}, new(bytes.Buffer), new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("interrupted: %v", err)
	}
	extest.WantEmpty(t, dir)
}

func TestMistakesAreOneLine(t *testing.T) {
	extest.WantFailure(t, extest.Command(t, "-records", "0"), "at least 1")
	extest.WantFailure(t, extest.Command(t, "argument"), "no arguments")
	extest.RequireRing(t)
	extest.WantFailure(t, extest.Command(t, "-dir", t.TempDir()+"/missing"), "no such file")
}
