package faults

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The README names a test for each fault of the list, and each test that it names is there.
func TestReadmeNamesTests(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Skip(err)
	}
	defined := map[string]bool{}
	declaration := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example)\w*)\(`)
	err = filepath.WalkDir("..", func(p string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(p, "_test.go") {
			return err
		}
		b, err := os.ReadFile(p)
		for _, m := range declaration.FindAllSubmatch(b, -1) {
			defined[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, m := range regexp.MustCompile("`((?:Test|Fuzz)\\w+)`").FindAllSubmatch(readme, -1) {
		name := string(m[1])
		named[name] = true
		if !defined[name] {
			t.Errorf("there is no %s", name)
		}
	}
	for n := 1; n <= 37; n++ {
		if !regexp.MustCompile(fmt.Sprintf("(?m)^\\| %d \\| .*`(Test|Fuzz)|^\\| %d \\| .*kernels", n, n)).Match(readme) {
			t.Errorf("nothing is said of fault %d", n)
		}
	}
	own, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range own {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range declaration.FindAllSubmatch(b, -1) {
			if name := string(m[1]); !named[name] && name != "TestMain" && name != "TestReadmeNamesTests" {
				t.Errorf("the README doesn't name %s", name)
			}
		}
	}
}
