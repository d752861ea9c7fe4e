package rio_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// What the README shows is part of an example that runs.
func TestReadmeShowsTheExamples(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var examples []byte
	for _, name := range []string{"example_test.go", "example_net_test.go", "serve_example_test.go", "pebblevfs/example_test.go"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		examples = append(examples, text...)
	}
	flat := func(s string) string { return regexp.MustCompile(`\n\s*`).ReplaceAllString(s, "\n") }
	snippets := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	if len(snippets) < 4 {
		t.Fatalf("%d snippets", len(snippets))
	}
	for _, s := range snippets {
		if !strings.Contains(flat(string(examples)), flat(s[1])) {
			t.Errorf("no example has these lines:\n%s", s[1])
		}
	}
}
