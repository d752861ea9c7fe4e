package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-9c58b644/rio/examples/internal/extest"
)

func TestFullDiskIsOneLine(t *testing.T) {
	extest.RequireRing(t)
	dir := extest.Mount(t, "tmpfs", "size=1m")
	src, _ := tempFile(t, 4<<20+1)
	for _, chunk := range []string{"4KiB", "100KB", "128KiB", "8MiB"} {
		extest.WantFailure(t, extest.Command(t, "-chunk", chunk, src, dir), "no space left on device")
		extest.WantEmpty(t, dir)
	}
}

func TestFullDiskKeepsWhatWasThere(t *testing.T) {
	extest.RequireRing(t)
	dir := extest.Mount(t, "tmpfs", "size=1m")
	src, _ := tempFile(t, 4<<20)
	dst := filepath.Join(dir, "file")
	if err := os.WriteFile(dst, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	extest.WantFailure(t, extest.Command(t, src, dst), "no space left on device")
	if got, err := os.ReadFile(dst); string(got) != "precious" {
		t.Errorf("the old file is %q now, %v", got, err)
	}
}

func TestSignalLeavesNothingBehind(t *testing.T) {
	extest.RequireRing(t)
	src := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(src, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(src, 16<<30); err != nil { // It is all hole, and takes no room; a copy would.
		t.Skip("no sparse files here: ", err)
	}
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		dir := t.TempDir()
		written := extest.Written(t, dir)
		cmd := extest.Command(t, src, dir)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		written()
		cmd.Process.Signal(sig)
		cmd.Wait()
		if status := cmd.ProcessState.ExitCode(); status != 1 || !strings.HasSuffix(stderr.String(), "interrupted\n") {
			t.Errorf("%v: exit status %d\n%s", sig, status, stderr.String())
		}
		extest.WantEmpty(t, dir)
	}
}

func TestFilesThatLieAboutTheirSize(t *testing.T) {
	extest.RequireRing(t)
	for _, name := range []string{"/proc/version", "/sys/devices/system/cpu/possible"} {
		want, err := os.ReadFile(name)
		if err != nil {
			t.Skip("these are not mounted here: ", err)
		}
		dst := filepath.Join(t.TempDir(), "copy")
		wantCopy(t, dst, want, name, dst)
		wantCopy(t, dst, want, "-chunk", "3", name, dst)
	}
}

func TestPipesAreRefused(t *testing.T) {
	src, _ := tempFile(t, 1)
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip("no named pipes here: ", err)
	}
	extest.WantFailure(t, extest.Command(t, src, pipe), "not a regular file")
	extest.WantFailure(t, extest.Command(t, pipe, src), "not a regular file")
}
