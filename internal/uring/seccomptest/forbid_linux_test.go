package seccomptest

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
)

// What is forbidden stays so: it happens in a child, and the child's child is to have it forbidden from the beginning.
func TestForbiddenCallFailsOnEveryThreadAndInAChild(t *testing.T) {
	const role = "RIO_SECCOMPTEST_ROLE"
	again := func(as string) {
		t.Helper()
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), role+"="+as)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
	call := func() error { return syscall.Sysinfo(new(syscall.Sysinfo_t)) }
	switch os.Getenv(role) {
	case "":
		again("forbids")
		return
	case "inherits":
		if err := call(); err != syscall.EXDEV {
			t.Error("in a child:", err)
		}
		return
	}
	const threads = 4
	ready, forbidden, errs := make(chan bool), make(chan bool), make(chan error)
	for range threads {
		go func() {
			runtime.LockOSThread() // and never unlocked: a thread of its own
			ready <- true
			<-forbidden
			errs <- call()
		}()
	}
	for range threads {
		<-ready
	}
	if err := call(); err != nil {
		t.Error("before it is forbidden:", err)
	}
	if err := Forbid(syscall.SYS_SYSINFO, syscall.EXDEV); err != nil {
		t.Error(err)
	}
	close(forbidden)
	for range threads {
		if err := <-errs; err != syscall.EXDEV {
			t.Error("on a thread that was there:", err)
		}
	}
	if err := syscall.Uname(new(syscall.Utsname)); err != nil {
		t.Error("another call:", err)
	}
	again("inherits")
}
