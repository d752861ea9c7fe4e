// Package extest is what the tests of the examples have in common: they run an example's run function, or the whole
// program where its exit status, its standard error or a signal matters.
//
// The program is the test binary itself, started again with an environment variable that has Main call main. So it is
// built with the tests' own flags (-race), and needs no go command where the tests run.
package extest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
)

// Patience is how long anything may take before it counts as hung.
const Patience = time.Minute

const asProgram = "RIO_EXAMPLE_PROGRAM"

// Main is for TestMain: it runs the tests, or program in a process that Command started.
func Main(m *testing.M, program func()) {
	if os.Getenv(asProgram) != "" {
		program()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// RequireRing skips the test where io_uring isn't there or is forbidden, and fails it if RIO_TEST_REQUIRE=1 says that
// it ought to be there.
func RequireRing(t testing.TB) {
	t.Helper()
	ring, err := rio.New(nil)
	switch {
	case err == nil:
		ring.Close()
	case os.Getenv("RIO_TEST_REQUIRE") == "1":
		t.Fatal("RIO_TEST_REQUIRE=1, but there is no io_uring: ", err)
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, syscall.EPERM):
		t.Skip("no io_uring: ", err)
	default:
		t.Fatal(err)
	}
}

// Command is the example as a program. One that hangs is ended with SIGQUIT, which prints where it hangs.
func Command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGQUIT) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// Status runs cmd and returns its exit status, -1 if a signal ended it, and what it printed, unless cmd sends that
// elsewhere.
func Status(t testing.TB, cmd *exec.Cmd) (status int, stdout, stderr string) {
	t.Helper()
	var out, diag bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &out
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &diag
	}
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v\n%s", err, diag.String())
	}
	return cmd.ProcessState.ExitCode(), out.String(), diag.String()
}

// WantFailure runs cmd, which has to print nothing but one line about what, and to exit with status 1.
func WantFailure(t testing.TB, cmd *exec.Cmd, what string) {
	t.Helper()
	status, _, stderr := Status(t, cmd)
	if status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
	if !strings.HasSuffix(stderr, "\n") || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, what) {
		t.Errorf("standard error:\n%s\nwant one line with %q", stderr, what)
	}
}

// WantEmpty fails the test if there is anything in dir.
func WantEmpty(t testing.TB, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		t.Errorf("left behind: %s", entry.Name())
	}
}
