package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/seed-9c58b644/rio/examples/internal/extest"
)

func TestMain(m *testing.M) { extest.Main(m, main) }

func TestNopsAreCountedAndProfiled(t *testing.T) {
	extest.RequireRing(t)
	for _, args := range []string{"-n 10000", "-n 1 -depth 8", "-n 1000 -depth 1", "-n 64", "-n 65"} {
		var out bytes.Buffer
		if err := run(strings.Fields(args), &out); err != nil {
			t.Fatalf("nop %s: %v", args, err)
		}
		n := strings.Fields(args)[1]
		for _, want := range []string{n + " NOPs", "InFlight:0", "Completed:" + n + " "} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("nop %s: no %q in\n%s", args, want, out.String())
			}
		}
		if _, table, _ := strings.Cut(out.String(), "Overflows:0}\n"); !strings.Contains(table, "nop") {
			t.Errorf("nop %s: no profile in\n%s", args, out.String())
		}
	}
}

// full takes nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space") }

func TestWhatCannotBePrintedIsAFailure(t *testing.T) {
	extest.RequireRing(t)
	if err := run([]string{"-n", "10"}, full{}); err == nil || err.Error() != "no space" {
		t.Error(err)
	}
}

func TestMistakesAreOneLine(t *testing.T) {
	for _, args := range []string{"-n 0", "-depth 0", "100"} {
		extest.WantFailure(t, extest.Command(t, strings.Fields(args)...), "at least 1")
	}
	extest.RequireRing(t)
	extest.WantFailure(t, extest.Command(t, "-depth", "40000"), "nop: ")
}
