package suite

import (
	"slices"
	"testing"

	"github.com/seed-9c58b644/rio"
)

func TestResultIsWhatGoTestSays(t *testing.T) {
	r := parse([]byte(`{"Action":"start","Package":"p"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:1: short mode\n"}
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB/one","Output":"broken\n"}
{"Action":"fail","Package":"p","Test":"TestB/one"}
{"Action":"pass","Package":"p","Test":"TestC"}
{"Action":"output","Package":"p","Output":"ring under test: 7 started, 6 completed, 5 submitted, 4 enters\n"}
{"Action":"output","Package":"q","Output":"ring under test: 70 started, 60 completed, 50 submitted, 40 enters\n"}
no JSON
{"ImportPath":"r","Action":"build-output","Output":"undefined: x\n"}
{"ImportPath":"r","Action":"build-fail"}
{"Action":"pass","Package":"q"}`))
	for _, c := range []struct {
		what      string
		got, want []string
	}{
		{"passed", r.Passed, []string{"p.TestC", "q"}},
		{"failed", r.Failed, []string{"p.TestB/one", "r"}},
		{"skipped", r.Skipped, []string{"p.TestA"}},
		{"output", []string{r.Output["p.TestA"], r.Output["p.TestB/one"], r.Output["r"]},
			[]string{"    a_test.go:1: short mode\n", "broken\n", "undefined: x\n"}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: %q, want %q", c.what, c.got, c.want)
		}
	}
	if want := (rio.Stats{Started: 77, Completed: 66, Submitted: 55, Enters: 44}); r.Ring != want {
		t.Errorf("the rings: %+v, want %+v", r.Ring, want)
	}
}
