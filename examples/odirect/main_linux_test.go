package main

import (
	"bufio"
	"bytes"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-9c58b644/rio/examples/internal/extest"
	"github.com/seed-9c58b644/rio/internal/uring/seccomptest"
)

func TestFullDiskIsOneLine(t *testing.T) {
	extest.RequireRing(t)
	dir := extest.Mount(t, "tmpfs", "size=4m")
	if err := run(t.Context(), []string{"-size=1MiB", "-dir", dir}, new(bytes.Buffer), new(bytes.Buffer)); err != nil {
		t.Skip("the tmpfs of Linux before 6.6 has no O_DIRECT: ", err)
	}
	for _, depth := range []string{"1", "4", "32"} {
		cmd := extest.Command(t, "-size", "64MiB", "-depth", depth, "-dir", dir)
		extest.WantFailure(t, cmd, "no space left on device")
		extest.WantEmpty(t, dir)
	}
}

func TestFileSystemWithoutDirectIsOneLine(t *testing.T) {
	extest.RequireRing(t)
	dir := extest.Mount(t, "ramfs", "")
	extest.WantFailure(t, extest.Command(t, "-size", "1MiB", "-dir", dir), "have O_DIRECT?")
	extest.WantEmpty(t, dir)
}

func TestSignalLeavesNothingBehind(t *testing.T) {
	extest.RequireRing(t)
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		dir := t.TempDir()
		cmd := extest.Command(t, "-size", "10GiB", "-dir", dir)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(stdout).ReadString('\n'); err == nil { // It has begun.
			cmd.Process.Signal(sig)
		} else if cmd.Wait(); strings.Contains(stderr.String(), "have O_DIRECT?") {
			t.Skip(stderr.String())
		} else {
			t.Fatalf("first line %q, %v\n%s", line, err, stderr.String())
		}
		cmd.Wait()
		if status := cmd.ProcessState.ExitCode(); status != 1 || !strings.Contains(stderr.String(), "interrupted") {
			t.Errorf("%v: exit status %d\n%s", sig, status, stderr.String())
		}
		extest.WantEmpty(t, dir)
	}
}

func TestForbiddenRingIsOneLine(t *testing.T) {
	dir := t.TempDir()
	cmd := extest.Command(t, "-size", "1MiB", "-dir", dir)
	cmd.Env = append(cmd.Env, forbid+"=1", "RIO_BACKEND=iouring")
	extest.WantFailure(t, cmd, "seccomp")
	extest.WantEmpty(t, dir)
}

func TestForbiddenRingIsThreads(t *testing.T) {
	cmd := extest.Command(t, "-size", "1MiB", "-dir", t.TempDir())
	cmd.Env = append(cmd.Env, forbid+"=1", "RIO_BACKEND=auto")
	if status, stdout, stderr := extest.Status(t, cmd); status != 0 || stdout == "" {
		t.Errorf("exit status %d\n%s%s", status, stdout, stderr)
	}
}

const forbid = "RIO_EXAMPLE_FORBID"

// A process with this variable forbids itself io_uring, the way containers do: a seccomp filter has io_uring_setup fail
// with EPERM.
func init() {
	if os.Getenv(forbid) == "" {
		return
	}
	os.Unsetenv(forbid)
	const ioUringSetup = 425
	if err := seccomptest.Forbid(ioUringSetup, syscall.EPERM); err != nil {
		panic(err)
	}
}
