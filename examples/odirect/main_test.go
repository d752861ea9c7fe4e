package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/seed-9c58b644/rio/examples/internal/extest"
)

func TestMain(m *testing.M) { extest.Main(m, main) }

func TestFileIsComparedAndRemoved(t *testing.T) {
	extest.RequireRing(t)
	dir := t.TempDir()
	for _, args := range []string{"-size 8MiB", "-size 1", "-size 40MiB -depth 3", "-size 9MB -depth 1"} {
		var stdout, stderr bytes.Buffer
		err := run(t.Context(), append(strings.Fields(args), "-dir", dir), &stdout, &stderr)
		if err != nil && strings.Contains(err.Error(), "have O_DIRECT?") {
			t.Skip(err)
		}
		if err != nil || stderr.Len() > 0 {
			t.Errorf("odirect %s: %v\n%s", args, err, stderr.String())
		}
		if !strings.Contains(stdout.String(), "written, read back and compared") {
			t.Errorf("odirect %s: no result in\n%s", args, stdout.String())
		}
		extest.WantEmpty(t, dir)
	}
}

// onWrite calls a function when something is printed.
type onWrite func()

func (f onWrite) Write(p []byte) (int, error) { f(); return len(p), nil }

func TestInterruptLeavesNothingBehind(t *testing.T) {
	extest.RequireRing(t)
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := run(ctx, []string{"-size", "10GiB", "-dir", dir}, onWrite(cancel), new(bytes.Buffer))
	if err == nil || !strings.Contains(err.Error(), "interrupted") && !strings.Contains(err.Error(), "have O_DIRECT?") {
		t.Errorf("interrupted: %v", err)
	}
	extest.WantEmpty(t, dir)
}

func TestMistakesAreOneLine(t *testing.T) {
	extest.WantFailure(t, extest.Command(t, "-depth", "0"), "at least 1")
	extest.WantFailure(t, extest.Command(t, "everything"), "no arguments")
	extest.RequireRing(t)
	extest.WantFailure(t, extest.Command(t, "-dir", t.TempDir()+"/missing"), "no such file or directory")
}

func TestSizes(t *testing.T) {
	for s, want := range map[string]int64{"1": 1, "4096": 4096, "256MiB": 256 << 20, "10GiB": 10 << 30, "1GB": 1e9, "2KiB": 2048} {
		if n, err := parseSize(s); n != want || err != nil {
			t.Errorf("%q: %d, %v; want %d", s, n, err, want)
		}
	}
	for _, s := range []string{"", "0", "-1", "MiB", "1MiBMiB", "1M", "1 MiB", "1.5GiB", "9223372036854775807KiB", "x1"} {
		if n, err := parseSize(s); err == nil {
			t.Errorf("%q: %d, want an error", s, n)
		}
	}
}
