package suite

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seed-9c58b644/rio"
)

// A Result is what became of the tests that were run. They are named "package.Test/subtest", a package just as it is.
type Result struct {
	Passed, Failed, Skipped []string
	Output                  map[string]string
	Ring                    rio.Stats // the sum of what the processes that called Done have done
}

// parse reads what go test -json prints.
func parse(out []byte) *Result {
	r := &Result{Output: make(map[string]string)}
	for lines := bufio.NewReader(bytes.NewReader(out)); ; {
		line, err := lines.ReadBytes('\n')
		var event struct{ Action, Package, Test, Output, ImportPath string }
		if json.Unmarshal(line, &event) == nil {
			r.add(event.Action, strings.TrimSuffix(event.Package+event.ImportPath+"."+event.Test, "."), event.Output)
		}
		if err != nil {
			return r
		}
	}
}

func (r *Result) add(action, name, output string) {
	switch action {
	case "pass":
		r.Passed = append(r.Passed, name)
	case "skip":
		r.Skipped = append(r.Skipped, name)
	case "fail", "build-fail":
		r.Failed = append(r.Failed, name)
	case "output", "build-output":
		r.Output[name] += output
		var one rio.Stats
		if at := strings.Index(output, mark); at >= 0 {
			if n, _ := fmt.Sscanf(output[at:], mark+figures, &one.Started, &one.Completed, &one.Submitted, &one.Enters); n == 4 {
				r.Ring.Started += one.Started
				r.Ring.Completed += one.Completed
				r.Ring.Submitted += one.Submitted
				r.Ring.Enters += one.Enters
			}
		}
	}
}

// Want fails t unless all of tests have passed, at least passed of them and subtests together, and none was skipped but for
// one of reasons, which its name or its output has; and unless the ring has done at least operations, of which none is left.
func (r *Result) Want(t *testing.T, tests []string, passed int, reasons []string, operations uint64) {
	t.Helper()
	for _, name := range tests {
		if !slices.Contains(r.Passed, name) {
			t.Errorf("%s has not passed", name)
		}
	}
	if len(r.Passed) < passed {
		t.Errorf("%d tests have passed, want at least %d", len(r.Passed), passed)
	}
	for _, name := range r.Skipped {
		why := name + "\n" + r.Output[name]
		if !slices.ContainsFunc(reasons, func(reason string) bool { return strings.Contains(why, reason) }) {
			t.Errorf("skipped: %s", why)
		}
		t.Logf("skipped: %s", name)
	}
	requests := uint64(1) // much needs none
	if race {
		requests = operations / 2
	}
	if r.Ring.Completed < operations || r.Ring.Completed != r.Ring.Started || r.Ring.Submitted < requests || r.Ring.Enters == 0 {
		t.Errorf("the ring has done too little, or left something: %+v, want at least %d", r.Ring, operations)
	}
	t.Logf("%d passed, %d skipped; on the ring %d operations, %d requests in %d enters",
		len(r.Passed), len(r.Skipped), r.Ring.Completed, r.Ring.Submitted, r.Ring.Enters)
}
