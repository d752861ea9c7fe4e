package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Faults that a process can't do to itself, or would not outlive, are done to a child: this program again, told by its
// environment what to do. What it has seen it prints as the last line.

const childEnv = "RIO_FAULTS_CHILD"

// An outcome is what a child has seen.
type outcome struct {
	Ops, Lost, Wrong                int64
	Goroutines, Descriptors, Pinned int
	Err                             string // of the work as a whole
	Note                            string
	Enters                          uint64
	CPU                             time.Duration
}

// failed is the outcome of a child that can't even begin.
func failed(err error) outcome { return outcome{Lost: 1, Err: err.Error()} }

// children are what a child may be told to do. They return what they have seen.
var children = map[string]func(arg string) outcome{}

// child does what name says, after ":" its argument, and returns the exit status.
func child(name string) int {
	name, arg, _ := strings.Cut(name, ":")
	do, ok := children[name]
	if !ok {
		fmt.Println("there is no child", name)
		return 2
	}
	goroutines, descriptors := 0, 0
	if name != "fuse" {
		warm()
		goroutines, descriptors = runtime.NumGoroutine(), openDescriptors()
	}
	o := do(arg)
	for range 200 {
		o.Goroutines, o.Descriptors = runtime.NumGoroutine()-goroutines, openDescriptors()-descriptors
		if o.Goroutines <= 0 && o.Descriptors <= 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	o.Goroutines, o.Descriptors = max(0, o.Goroutines), max(0, o.Descriptors)
	b, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	fmt.Printf("\nOUTCOME %s\n", b)
	return 0
}

// warm has the runtime open and start what it does once.
func warm() {
	if r, w, err := os.Pipe(); err == nil {
		r.Close()
		w.Close()
	}
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	signal.Stop(c)
}

// spawn returns a command that is the child name, under prefix: strace, setpriv and their arguments.
func spawn(name string, prefix ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	args := append(prefix, self)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), childEnv+"="+name)
	return cmd
}

// nobody returns a command that is the child name under prefix, as a user who may nothing.
func nobody(f *fault, name string, prefix ...string) *exec.Cmd {
	f.t.Helper()
	// That user may not read where this program lies: a copy is.
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o755)
	self, err := os.Executable()
	if err != nil {
		f.t.Fatal(err)
	}
	b, err := os.ReadFile(self)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/test", b, 0o755); err != nil {
		f.t.Fatal(err)
	}
	cmd := spawn(name, append(prefix, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")...)
	cmd.Args[len(cmd.Args)-1] = dir + "/test"
	cmd.Dir = dir
	return cmd
}

// run has the child do its work, and counts what it has seen as f's.
func (f *fault) run(name string, env []string, prefix ...string) outcome {
	f.t.Helper()
	cmd := spawn(name, prefix...)
	cmd.Env = append(cmd.Env, env...)
	return f.finish(cmd)
}

// finish is run for a command that is there already. What is to happen to the child while it works is done to it by plagues.
func (f *fault) finish(cmd *exec.Cmd, plagues ...func(*os.Process)) (o outcome) {
	f.t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	defer func() { // a plague may have ended the test
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
			f.t.Logf("the child: %s", tail(out.Bytes()))
		}
	}()
	for _, plague := range plagues {
		plague(cmd.Process)
	}
	late := time.AfterFunc(max(f.limit, 90*time.Second), func() { cmd.Process.Signal(syscall.SIGQUIT) })
	err := cmd.Wait()
	if !late.Stop() {
		f.lost.Add(1)
		f.t.Fatalf("the child hangs\n%s", tail(out.Bytes()))
	}
	_, said, ok := strings.Cut(out.String(), "\nOUTCOME ")
	if !ok || err != nil {
		f.t.Fatalf("the child: %v\n%s", err, tail(out.Bytes()))
	}
	if err := json.Unmarshal([]byte(strings.SplitN(said, "\n", 2)[0]), &o); err != nil {
		f.t.Fatal(err)
	}
	f.ops.Add(o.Ops)
	f.lost.Add(o.Lost)
	f.wrong.Add(o.Wrong)
	if o.Goroutines+o.Descriptors+o.Pinned > 0 {
		f.t.Errorf("the child has left over %d goroutines, %d descriptors, %d pinned buffers\n%s", o.Goroutines, o.Descriptors, o.Pinned, tail(out.Bytes()))
	}
	if o.Lost+o.Wrong > 0 {
		f.t.Errorf("the child: %s\n%s", o.Err, tail(out.Bytes()))
	}
	return o
}

// tail is the end of b, and its beginning, where the stack that matters is.
func tail(b []byte) []byte {
	if len(b) <= 24000 {
		return b
	}
	return fmt.Appendf(nil, "%s\n...\n%s", b[:12000], b[len(b)-12000:])
}
