package rio_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
)

// What differs on Windows, for the tests that run there too.

const onWindows = runtime.GOOS == "windows"

// notOnWindows are the tests that need what it hasn't, or not in packages os and net.
var notOnWindows = []leftOut{
	{"CloseRead there ends no read that waits", `TestCloseReadEndsReads`},
	{"Wine's sockets have no File", `TestAddressesAreThoseOfPackageNet`},
	{"Wine tells package net of a reset as of the end at times", `TestAResetIsSeenAsWithPackageNet`},
	{"Wine's writes to who has gone may wait for ever, package net's alone as well", `TestLinkedSendIsCompleteWhenAllIsSent`},
}

// windows are the numbers by which Windows says the same.
var windows = map[error][]syscall.Errno{
	syscall.EBADF:      {5},          // ERROR_ACCESS_DENIED: it isn't open for that
	syscall.EISDIR:     {1, 5},       // ERROR_INVALID_FUNCTION
	syscall.EPIPE:      {232, 10058}, // ERROR_NO_DATA, WSAESHUTDOWN
	syscall.ECONNRESET: {10054},      // WSAECONNRESET
}

// is reports whether err is target, or what Windows has for it.
func is(err, target error) bool {
	return errors.Is(err, target) ||
		onWindows && slices.ContainsFunc(windows[target], func(e syscall.Errno) bool { return errors.Is(err, e) })
}

// hasUnix reports whether there are unix sockets: everywhere, but on some Windows.
var hasUnix = sync.OnceValue(func() bool {
	dir, err := os.MkdirTemp("", "rio")
	if err != nil {
		return true
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		return !onWindows
	}
	l.Close()
	return true
})

// local is the network with the fewest rules: unix sockets', where there are any.
func local() string {
	if hasUnix() {
		return "unix"
	}
	return "tcp4"
}

// scratch is a directory for files that may be open still when the test's own directories are removed, which Windows refuses:
// there it is removed when the process ends.
func scratch(t testing.TB) string {
	if !onWindows {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("", "rio-scratch")
	if err != nil {
		t.Fatal(err)
	}
	scratches.mu.Lock()
	scratches.dirs = append(scratches.dirs, dir)
	scratches.mu.Unlock()
	return dir
}

var scratches struct {
	mu   sync.Mutex
	dirs []string
}

// leaveNoScratch removes them.
func leaveNoScratch() {
	for _, dir := range scratches.dirs {
		os.RemoveAll(dir)
	}
}
