//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
)

// TestMain lets this program be the server and the client that the rows start.
func TestMain(m *testing.M) {
	if role := part(os.Args[1:]); role != nil {
		if err := role(os.Args[2:]); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// requireRing skips where there is no io_uring.
func requireRing(t *testing.T) {
	t.Helper()
	ring, err := rio.New(&rio.Config{Backend: rio.IOUring})
	if err == nil {
		ring.Close()
		return
	}
	forbidden := errors.Is(err, syscall.EPERM) || errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.ENOSYS)
	if forbidden && os.Getenv("RIO_TEST_REQUIRE") == "" {
		t.Skip(err)
	}
	t.Fatal(err)
}

// runBench runs the benchmark as the command does, and returns its results and what it said.
func runBench(t *testing.T, args ...string) (report Report, said, out string) {
	t.Helper()
	requireRing(t)
	out = t.TempDir()
	data := t.TempDir()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	args = append([]string{"-quick", "-rounds", "2", "-turn", "20ms", "-size", "16777216", "-dir", data, "-out", out}, args...)
	if err := run(t.Context(), args, log); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(out, "results.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(data); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	text, err = os.ReadFile(log.Name())
	if err != nil {
		t.Fatal(err)
	}
	return report, string(text), out
}

func TestARunOfARowWritesReportJSONAndChart(t *testing.T) {
	report, _, out := runBench(t, "-run", "^nop/one$|^depth/(64|128)$")
	if len(report.Rows) != 3 || report.Rows[0].Name != "nop/one" {
		t.Fatalf("rows: %+v", report.Rows)
	}
	row := report.Rows[0]
	ours := row.Sides[1]
	if ours.Name != "rio" || len(ours.Rounds) != 2 {
		t.Fatalf("rio's side: %+v", ours)
	}
	for _, f := range ours.Rounds {
		if f[Wall] <= 0 || math.Abs(f[Rate]*f[Wall]-1e9) > 1 || f[CPU] <= 0 || f[Enters] < 0.5 {
			t.Errorf("a NOP at a time, in a round: %v", f)
		}
	}
	g := row.Goals[0]
	if row.Sides[0].Skip == "" {
		var ratios []float64
		for i, f := range ours.Rounds {
			ratios = append(ratios, f[Wall]/row.Sides[0].Rounds[i][Wall])
		}
		want := spreadOf(ratios)
		if g.Ratio == nil || math.Abs(g.Ratio.Median-want.Median) > 1e-9 || g.Met != (want.Median <= 1.2) {
			t.Errorf("goal %+v of rounds %v", g, ratios)
		}
	} else if g.Ratio != nil || !strings.Contains(g.Why, row.Sides[0].Skip) {
		t.Errorf("a goal against a bar that isn't there: %+v", g)
	}

	text, err := os.ReadFile(filepath.Join(out, "RESULTS.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| NOP, one at a time | time |", "≤ 1.20 × C's time", "| kernel | Linux ", "## Measured elsewhere", "depth.svg"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("RESULTS.md has no %q:\n%s", want, text)
		}
	}
	checkTables(t, string(text))
	if row.Sides[0].Skip == "" {
		checkSVG(t, filepath.Join(out, "ratios.svg"), "nop/one", "depth/128")
	}
	checkSVG(t, filepath.Join(out, "depth.svg"), "ns a NOP", "rio")
	if _, err := os.Stat(filepath.Join(out, "echo.svg")); err == nil {
		t.Error("a chart of rows that have not been run")
	}
}

// checkTables looks whether all lines of a table have as many cells as its head.
func checkTables(t *testing.T, text string) {
	t.Helper()
	cells := 0
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "|") {
			cells = 0
			continue
		}
		n := strings.Count(line, "|") - strings.Count(line, `\|`)
		if cells == 0 {
			cells = n
		}
		if n != cells {
			t.Errorf("%d cells where its table has %d: %s", n-1, cells-1, line)
		}
	}
}

// checkSVG looks whether a chart is XML and has these texts in it.
func checkSVG(t *testing.T, name string, want ...string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for d, first := xml.NewDecoder(bytes.NewReader(text)), true; ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && first {
			if first = false; e.Name.Local != "svg" {
				t.Errorf("%s is a %s", name, e.Name.Local)
			}
		}
	}
	for _, w := range want {
		if !bytes.Contains(text, []byte(w)) {
			t.Errorf("%s doesn't say %q", name, w)
		}
	}
}

func TestARunSaysWhereItIs(t *testing.T) {
	_, said, _ := runBench(t, "-run", "^nop/")
	for _, want := range []string{"[1/3] nop/one\n", "[2/3] nop/64\n", "[3/3] nop/64goroutines\n", "× C's time: "} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in\n%s", want, said)
		}
	}
	if strings.ContainsAny(said, "\r\x1b") {
		t.Errorf("a file is no terminal:\n%q", said)
	}
}

func TestATerminalHasOneLineThatIsRewritten(t *testing.T) {
	var w bytes.Buffer
	p := newProgress(&w, true)
	p.begin(2)
	p.turn("a", "C", 0)
	p.turn("a", "rio", 1)
	if n := strings.Count(w.String(), "\n"); n != 0 {
		t.Errorf("%d new lines within a row: %q", n, w.String())
	}
	if !strings.Contains(w.String(), "\r\x1b[K[1/2] a  round 1: rio") {
		t.Errorf("no line for rio's round: %q", w.String())
	}
	p.say("done")
	if !strings.HasSuffix(w.String(), "\r\x1b[Kdone\n") {
		t.Errorf("the line is not wiped: %q", w.String())
	}
}

// Every row but the long ones has to come through, with figures for rio.
func TestEveryQuickRowHasFiguresForRio(t *testing.T) {
	report, _, out := runBench(t, "-rounds", "1", "-run", "nop|cached|direct|write|log|echo/64/")
	if len(report.Rows) != 16 {
		t.Errorf("%d rows", len(report.Rows))
	}
	for _, row := range report.Rows {
		if row.Skip != "" {
			t.Logf("%s: %s", row.Name, row.Skip)
			continue
		}
		for _, s := range row.Sides {
			if s.Skip != "" && s.Name != "rio" {
				t.Logf("%s, %s: %s", row.Name, s.Name, s.Skip)
			} else if s.Err != "" || s.Median[Rate] <= 0 {
				t.Errorf("%s, %s: %+v", row.Name, s.Name, s)
			}
			if strings.HasPrefix(row.Name, "direct/busy") && (s.Median[P50] <= 0 || s.Median[P99] < s.Median[P50]) {
				t.Errorf("%s, %s: latencies %v", row.Name, s.Name, s.Median)
			}
		}
		if len(row.Goals) == 0 {
			t.Errorf("%s wants nothing", row.Name)
		}
	}
	checkSVG(t, filepath.Join(out, "echo.svg"), "GOMAXPROCS=1", "GOMAXPROCS=2", "gnet")
}

func TestRowsHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range allRows() {
		if seen[r.Name] || r.Title == "" || r.Unit == "" || len(r.Goals) == 0 {
			t.Errorf("%+v", r)
		}
		seen[r.Name] = true
	}
	if _, err := selectRows("no such row"); err == nil {
		t.Error("a run of nothing")
	}
}

func TestASideThatCannotTakePartIsALine(t *testing.T) {
	requireRing(t)
	b := &Bench{ctx: context.Background(), options: Options{Rounds: 1, Turn: 1e6}, progress: newProgress(io.Discard, false)}
	works := func(context.Context, float64) (Figures, error) { return Figures{Wall: 2}, nil }
	turn := func(f func(context.Context, float64) (Figures, error)) Turn {
		return func(ctx context.Context, d time.Duration) (Figures, error) { return f(ctx, float64(d)) }
	}
	row := Row{Name: "r", Goals: []Goal{atMost(1, "absent", Wall), atMost(1, "broken", Wall), atMost(1, "same", Wall)},
		Open: func(*Stage) ([]Side, error) {
			return []Side{
				{Name: "absent", Skip: "not installed"},
				{Name: "broken", Turn: turn(func(context.Context, float64) (Figures, error) { return nil, errors.New("it broke") })},
				{Name: "same", Turn: turn(works)},
				{Name: "rio", Turn: turn(works)},
			}, nil
		}}
	res, err := b.measure(row)
	if err != nil {
		t.Fatal(err)
	}
	if w := res.Goals[0].Why; w != "absent: not installed" {
		t.Errorf("absent: %q", w)
	}
	if w := res.Goals[1].Why; w != "broken: it broke" {
		t.Errorf("broken: %q", w)
	}
	if g := res.Goals[2]; g.Ratio == nil || g.Ratio.Median != 1 || !g.Met {
		t.Errorf("same: %+v", g)
	}
	report := Report{Rows: []Result{res}}
	if err := report.failed(); err == nil || !strings.Contains(err.Error(), "it broke") || strings.Contains(err.Error(), "installed") {
		t.Errorf("what failed: %v", err)
	}
	if text := report.markdown(nil); !strings.Contains(text, "- r, absent: not installed\n") {
		t.Errorf("not in the report:\n%s", text)
	}
}
