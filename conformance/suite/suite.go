// Package suite runs other people's tests on a ring: a copy of their module in a temporary directory, with a file of
// ours added that puts the ring under them. Little of theirs is changed otherwise, and nothing of theirs is kept here.
package suite

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A Copy is a copy of another module, at the version that the calling test's module requires.
type Copy struct {
	Module string
	Dir    string
	file   string // a go.mod like the caller's, but with the copy in the module's place
}

// Make copies module. What imports it in a test run on the copy, imports the copy.
func Make(t *testing.T, module string) *Copy {
	t.Helper()
	tmp := t.TempDir()
	c := &Copy{Module: module, Dir: filepath.Join(tmp, "copy"), file: filepath.Join(tmp, "go.mod")}
	if err := os.CopyFS(c.Dir, os.DirFS(output(t, "go", "list", "-m", "-f", "{{.Dir}}", module))); err != nil {
		t.Fatal(err)
	}
	own := filepath.Dir(output(t, "go", "env", "GOMOD"))
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(own, name))
		if err != nil {
			t.Fatal(err)
		}
		c.write(t, filepath.Join(tmp, name), content)
	}
	var mod struct {
		Replace []struct {
			Old, New struct{ Path string }
		}
	}
	if err := json.Unmarshal([]byte(output(t, "go", "mod", "edit", "-json", c.file)), &mod); err != nil {
		t.Fatal(err)
	}
	edit := []string{"go", "mod", "edit", "-replace=" + module + "=" + c.Dir}
	for _, r := range mod.Replace {
		edit = append(edit, "-replace="+r.Old.Path+"="+filepath.Join(own, r.New.Path))
	}
	output(t, append(edit, c.file)...)
	return c
}

// Add puts the file that is named from into the copy, as to.
func (c *Copy) Add(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	c.write(t, filepath.Join(c.Dir, to), content)
}

// Replace puts in another line where file has old, which has to be there once.
func (c *Copy) Replace(t *testing.T, file, old, with string) {
	t.Helper()
	name := filepath.Join(c.Dir, file)
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(content, []byte(old)); n != 1 {
		t.Fatalf("%s has %q %d times", file, old, n)
	}
	c.write(t, name, bytes.Replace(content, []byte(old), []byte(with), 1))
}

func (c *Copy) write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Test runs the tests of the copy's packages, which are named as from within it, with the flags of go test given. They
// end after timeout, and before t would have to.
func (c *Copy) Test(t *testing.T, packages []string, timeout time.Duration, flags ...string) *Result {
	t.Helper()
	if end, ok := t.Deadline(); ok {
		timeout = min(timeout, time.Until(end)-10*time.Second)
	}
	flags = append(flags, "-timeout="+timeout.String())
	args := append([]string{"test", "-modfile=" + c.file, "-json", "-count=1", "-vet=off"}, flags...)
	if race {
		args = append(args, "-race")
	}
	for _, p := range packages {
		args = append(args, c.Module+strings.TrimPrefix(p, "."))
	}
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "GOWORK=off")
	var out, diag bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diag
	err := cmd.Run()
	r := parse(out.Bytes())
	if err != nil || len(r.Failed) > 0 {
		t.Errorf("go %s: %v\n%s", strings.Join(args, " "), err, diag.String())
		for _, name := range r.Failed {
			t.Errorf("%s\n%s", name, r.Output[name])
		}
	}
	return r
}

func output(t *testing.T, command ...string) string {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "GOWORK=off")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", strings.Join(command, " "), err)
	}
	return strings.TrimSpace(string(out))
}
