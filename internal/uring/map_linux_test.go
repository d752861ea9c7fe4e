package uring

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-9c58b644/rio/internal/uring/seccomptest"
)

// openBoth opens a Ring and a Loop.
func openBoth() (errs [2]error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r, err := Open(Config{Entries: 4, Wait: time.Millisecond})
	if errs[0] = err; err == nil {
		r.Close()
	}
	l, err := OpenLoop(4, 8, false, false, nil)
	if errs[1] = err; err == nil {
		l.Close()
	}
	return errs
}

func TestRefusedMmapIsNotToldAsSetup(t *testing.T) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("the filter knows how amd64 and arm64 call mmap")
	}
	open(t, Config{Entries: 4, Wait: time.Millisecond}) // or skip
	if !inChild(t, "entries") {                         // the queues' own offset is 0, as everybody's is
		return
	}
	if err := seccomptest.ForbidWith(unix.SYS_MMAP, 5, offSQEs, unix.ENOMEM); err != nil {
		t.Fatal(err)
	}
	before := descriptors(t)
	for i, err := range openBoth() {
		var call *os.SyscallError
		if !errors.Is(err, unix.ENOMEM) || !errors.As(err, &call) || call.Syscall != "mmap" {
			t.Errorf("%d: it is not mmap that failed: %v", i, err)
			continue
		}
		if s := err.Error(); strings.Contains(s, "io_uring_setup") || strings.Contains(s, "MEMLOCK") || !strings.Contains(s, "RLIMIT_AS") {
			t.Errorf("%d: %q", i, s)
		}
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors became %d", before, after)
	}
}
