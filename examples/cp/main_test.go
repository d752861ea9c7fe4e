package main

import (
	"bytes"
	"context"
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

// wantCopy runs cp with args, and wants a file dst with that content, alone in its directory.
func wantCopy(t *testing.T, dst string, content []byte, args ...string) {
	t.Helper()
	var stderr bytes.Buffer
	if err := run(t.Context(), args, &stderr); err != nil || stderr.Len() > 0 {
		t.Fatalf("cp %q: %v\n%s", args, err, stderr.String())
	}
	got, err := os.ReadFile(dst)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("cp %q: %d bytes (%v), want %d, or they differ", args, len(got), err, len(content))
	}
	if entries, _ := os.ReadDir(filepath.Dir(dst)); len(entries) != 1 {
		t.Errorf("cp %q: left behind: %v", args, entries)
	}
}

func TestCopyOfAllSizes(t *testing.T) {
	extest.RequireRing(t)
	const chunk = 4096
	for _, n := range []int{0, 1, chunk - 1, chunk, chunk + 1, 7 * chunk, 64 * chunk, 65*chunk + 1, 300*chunk + 123} {
		src, content := tempFile(t, n)
		for _, depth := range []string{"1", "3", "32"} {
			dst := filepath.Join(t.TempDir(), "copy")
			wantCopy(t, dst, content, "-chunk", "4KiB", "-depth", depth, src, dst)
		}
	}
}

func TestCopyIntoDirectory(t *testing.T) {
	extest.RequireRing(t)
	src, content := tempFile(t, 1000)
	dir := t.TempDir()
	wantCopy(t, filepath.Join(dir, "file"), content, src, dir)
}

func TestCopyReplacesWhatWasThere(t *testing.T) {
	extest.RequireRing(t)
	src, content := tempFile(t, 1000)
	dst, _ := tempFile(t, 500_000)
	if err := os.Chmod(src, 0o754); err != nil {
		t.Fatal(err)
	}
	wantCopy(t, dst, content, src, dst)
	if info, err := os.Stat(dst); err != nil || info.Mode() != 0o754 {
		t.Errorf("mode %v, %v; want that of the source", info.Mode(), err)
	}
}

func TestCopyKeepsLinkAndReplacesItsTarget(t *testing.T) {
	extest.RequireRing(t)
	src, content := tempFile(t, 1000)
	dst, _ := tempFile(t, 500)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dst, link); err != nil {
		t.Skip("no symbolic links here: ", err)
	}
	wantCopy(t, dst, content, src, link)
	if to, err := os.Readlink(link); to != dst {
		t.Errorf("the link is %q now, %v", to, err)
	}
}

func TestALinkToNothingIsRefused(t *testing.T) {
	src, _ := tempFile(t, 10)
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink("nowhere", link); err != nil {
		t.Skip("no symbolic links here: ", err)
	}
	extest.WantFailure(t, extest.Command(t, src, link), "a symbolic link to nowhere")
	if to, err := os.Readlink(link); to != "nowhere" {
		t.Errorf("the link is %q now, %v", to, err)
	}
}

func TestSameFileIsRefused(t *testing.T) {
	src, content := tempFile(t, 1000)
	dir := t.TempDir()
	hard, soft := filepath.Join(dir, "hard"), filepath.Join(dir, "soft")
	if err := os.Link(src, hard); err != nil {
		t.Skip("no links here: ", err)
	}
	if err := os.Symlink(src, soft); err != nil {
		t.Skip("no symbolic links here: ", err)
	}
	for _, dst := range []string{src, hard, soft, filepath.Dir(src)} {
		extest.WantFailure(t, extest.Command(t, src, dst), "are the same file")
	}
	if got, err := os.ReadFile(src); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the file has changed: %d bytes, %v", len(got), err)
	}
}

func TestMistakesAreOneLine(t *testing.T) {
	src, _ := tempFile(t, 1)
	dir := t.TempDir()
	for _, c := range []struct{ want, args string }{
		{"usage", src},
		{"usage", src + " a b"},
		{"usage", "-depth 0 " + src + " " + dir},
		{"no such file", dir + "/missing " + dir},
		{"not a regular file", dir + " " + dir},
	} {
		extest.WantFailure(t, extest.Command(t, strings.Fields(c.args)...), c.want)
	}
	extest.RequireRing(t)
	extest.WantFailure(t, extest.Command(t, src, dir+"/missing/copy"), "no such file")
	extest.WantEmpty(t, dir)
}

func TestInterruptLeavesNothingBehind(t *testing.T) {
	extest.RequireRing(t)
	src, _ := tempFile(t, 1000)
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, []string{src, dir}, new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("interrupted: %v", err)
	}
	extest.WantEmpty(t, dir)
}
