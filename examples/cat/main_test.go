package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-9c58b644/rio/examples/internal/extest"
)

func TestMain(m *testing.M) { extest.Main(m, main) }

// tempFile makes a file of n bytes.
func tempFile(t *testing.T, n int) (name string, content []byte) {
	t.Helper()
	content = make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(content)
	name = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name, content
}

// wantCat runs it and wants exactly the given output, and nothing on standard error.
func wantCat(t *testing.T, want []byte, stdin *os.File, args ...string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if status := run(args, stdin, &stdout, &stderr); status != 0 || stderr.Len() > 0 {
		t.Errorf("cat %q: status %d, %s", args, status, stderr.String())
	}
	if !bytes.Equal(stdout.Bytes(), want) {
		t.Errorf("cat %q: %d bytes, want %d, or they differ", args, stdout.Len(), len(want))
	}
}

func TestFilesOfAllSizes(t *testing.T) {
	extest.RequireRing(t)
	for _, n := range []int{0, 1, chunk - 1, chunk, chunk + 1, 3 * chunk, 70*chunk + 123} {
		name, content := tempFile(t, n)
		for _, depth := range []string{"1", "2", "32"} {
			wantCat(t, content, nil, "-depth", depth, name)
		}
	}
}

func TestSeveralFilesInOrder(t *testing.T) {
	extest.RequireRing(t)
	a, contentA := tempFile(t, 5*chunk+1)
	b, contentB := tempFile(t, 77)
	wantCat(t, bytes.Join([][]byte{contentA, contentB, contentB, contentA}, nil), nil, a, b, b, a)
}

func TestPipeOnStandardInput(t *testing.T) {
	extest.RequireRing(t)
	name, content := tempFile(t, 2*chunk+5)
	for _, args := range [][]string{nil, {"-"}, {name, "-", name}} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			w.Write(content) // more than a pipe holds, so it comes in pieces
			w.Close()
		}()
		wantCat(t, bytes.Repeat(content, max(1, len(args))), r, args...)
		r.Close()
	}
}

func TestStandardInputIsReadFromItsPosition(t *testing.T) {
	extest.RequireRing(t)
	name, content := tempFile(t, 3*chunk)
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(1000, 0); err != nil {
		t.Fatal(err)
	}
	wantCat(t, content[1000:], f, "-", "-") // The first one leaves nothing to the second.
}

func TestMissingFileDoesNotStopTheOthers(t *testing.T) {
	extest.RequireRing(t)
	name, content := tempFile(t, 100)
	missing := filepath.Join(t.TempDir(), "missing")
	dir := t.TempDir()
	status, stdout, stderr := extest.Status(t, extest.Command(t, missing, name, dir, name))
	if status != 1 || stdout != string(content)+string(content) {
		t.Errorf("status %d and %d bytes, want 1 and the file twice", status, len(stdout))
	}
	lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], missing) || !strings.Contains(lines[1], dir) {
		t.Errorf("standard error:\n%s\nwant a line on %s and one on %s", stderr, missing, dir)
	}
}
