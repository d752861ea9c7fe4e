package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/seed-9c58b644/rio"
	"github.com/seed-9c58b644/rio/internal/uring"
)

// childVariable makes the doctor its own child, which makes io_uring's system calls and nothing else: a seccomp filter may
// kill whoever makes one, and nobody could tell of it.
const childVariable = "RIO_DOCTOR_CHILD"

// patience is how long the child may take.
const patience = 10 * time.Second

// threadKilled is the child's exit status where a filter has killed only the thread that made the call.
const threadKilled = 3

// calls are the system calls, and what makes them first.
var calls = []struct {
	name string
	make func()
}{
	{"io_uring_setup", func() { uring.TrySetup(0) }},
	{"io_uring_register", func() { uring.Supported() }},
	{"io_uring_enter", func() {
		if k, err := uring.Open(uring.Config{Entries: 1, Wait: time.Millisecond}); err == nil {
			k.Close()
		}
	}},
}

// child names each call before it makes it, and returns the exit status. What the kernel answers is for the parent to find
// out.
func child(out io.Writer) int {
	noCore()
	for _, c := range calls {
		fmt.Fprintln(out, c.name)
		if !survives(c.make) {
			return threadKilled
		}
	}
	return 0
}

// killer names the call that a seccomp filter kills the process for, or the thread; "" if there is none, or no child can be
// started.
func (r *report) killer() (call string) {
	if r.Seccomp != "filter" {
		return ""
	}
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0] // without /proc
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), childVariable+"=1")
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = new(bytes.Buffer), &out, &errs // there may be no /dev/null
	cmd.Run()
	end := cmd.ProcessState
	if end == nil {
		return ""
	}
	trapped := bytes.Contains(errs.Bytes(), []byte("SIGSYS")) // SECCOMP_RET_TRAP: Go's runtime tells of it
	if !badCall(end) && !trapped && end.ExitCode() != threadKilled && ctx.Err() == nil {
		return ""
	}
	names := bytes.Fields(out.Bytes())
	if len(names) == 0 {
		return "" // it has not come so far
	}
	return string(names[len(names)-1])
}

// killed says what there is to be said where nobody may make that call and live.
func (r *report) killed(call string) {
	r.Cause = "a seccomp filter kills whoever calls " + call
	r.Advice = append([]string{
		"It kills, and doesn't refuse the call: so rio.New would end the program (SIGSYS) instead of going on with threads. systemd's SystemCallFilter= does that if no SystemCallErrorNumber= is set.",
		"systemd: SystemCallErrorNumber=EPERM has rio.New(nil) run on threads.",
		"Until then set the environment variable RIO_BACKEND=threads, or Config.Backend: nothing of io_uring is called then.",
	}, filtered[1:]...)
	r.Backend, r.Because = "none", "it would be killed"
	if os.Getenv("RIO_BACKEND") == rio.Threads.String() {
		r.backend(false)
	}
	for i, f := range features {
		r.Features = append(r.Features, ability{Name: f.name, Number: i, Unknown: r.Cause, Use: f.use, Without: f.without})
	}
	for _, s := range setups {
		r.Setup = append(r.Setup, ability{Name: s.name, Number: s.number, Unknown: r.Cause, Use: s.use, Without: s.without})
	}
	for _, o := range uring.Operations {
		r.Opcodes = append(r.Opcodes, ability{Name: o.Name, Number: int(o.Op), Unknown: r.Cause, Use: o.Use})
	}
}
