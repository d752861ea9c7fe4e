// Command kernels boots Debian's kernels under qemu, with the tests of rio as what they run, and prints a line for each:
//
//	go run ./kernels -quick     # three kernels and a selection of tests
//	go run ./kernels            # all of them, all tests that need nothing but a kernel
//
// It needs qemu, apt-get on a Debian that is amd64, and mkfs.ext4; nothing is installed, and no KVM is asked for. A kernel
// that lacks something makes tests skip; a test that fails makes the command fail.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// A machine is a kernel to be booted: the newest package of a series, "newest" being the last of all.
type machine struct{ series, arch string }

func (m machine) String() string {
	if m.arch == "amd64" {
		return m.series
	}
	return m.series + "-" + m.arch
}

var (
	everything = []machine{{"5.10", "amd64"}, {"6.1", "amd64"}, {"6.1", "arm64"}, {"6.12", "amd64"}, {"newest", "amd64"}}
	few        = []machine{{"5.10", "amd64"}, {"6.1", "amd64"}, {"newest", "amd64"}}
)

// needs are tests that want more than a kernel: the source, a Go toolchain, loop devices.
const needs = "Readme|RaceDetector|Example|TheErrorOfASyncStays|NothingFollowsAFailedSync"

// slow are tests that the quick set leaves out.
const slow = "ServeStopsReceiving|ServeThatIsEndedAtOnce|ServeKeepsMany|ServeEchoesMessages|ServeEndsWith|ServeToldOf|MethodsNeverSay|CloseOfAListener|ThousandPending|NetHTTP|UnderFire"

// quick is what the quick set runs: how operations reach the kernel and come back, their order, and what the traps of
// old kernels would break.
const quick = "Chain|Link|Drain|Cancel|Close|Conn|Serve|Received|Yields|Alignment|DirectIO|Stats|Nonblocking|Thread|Lent|Flags|Config|Every|Poll|Deadline"

func main() {
	fast := flag.Bool("quick", false, "three kernels, and a selection of the tests")
	only := flag.String("only", "", "only the kernels whose name contains this")
	run := flag.String("run", "", "only tests that match this")
	cache := flag.String("cache", "", "where kernels are kept (default: the user's cache directory)")
	onlyFetch := flag.Bool("fetch", false, "only fetch the kernels")
	verbose := flag.Bool("v", false, "print what the guests print")
	limit := flag.Duration("timeout", 10*time.Minute, "for one kernel")
	flag.Parse()
	if err := matrix(*fast, *onlyFetch, *only, *run, *cache, *verbose, *limit); err != nil {
		fmt.Fprintln(os.Stderr, "kernels:", err)
		os.Exit(1)
	}
}

func matrix(fast, onlyFetch bool, only, run, cache string, verbose bool, limit time.Duration) error {
	machines, skip := everything, needs
	if fast {
		machines, skip = few, needs+"|"+slow
		if run == "" {
			run = quick
		}
	}
	if only != "" {
		var some []machine
		for _, m := range everything {
			if strings.Contains(m.String(), only) {
				some = append(some, m)
			}
		}
		machines = some
	}
	if cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			dir = os.TempDir()
		}
		cache = filepath.Join(dir, "rio-kernels")
	}
	tmp, err := os.MkdirTemp("", "kernels")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	kernels, err := fetch(machines, cache, tmp)
	if err != nil || onlyFetch {
		return err
	}

	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "kernel\tversion\tpassed\tfailed\tskipped\tfeatures\tfound\tseconds")
	var failed []string
	for _, m := range machines {
		initrd, err := payload(m, run, skip, cache, tmp)
		if err != nil {
			return err
		}
		began := time.Now()
		r, err := boot(m, kernels[m], initrd, tmp, limit, verbose)
		if err != nil {
			fmt.Printf("%v: %v\n", m, err)
			failed = append(failed, m.String())
			continue
		}
		if r.failed > 0 || r.status != 0 {
			failed = append(failed, m.String())
		}
		if r.passed == 0 {
			return fmt.Errorf("%v: no test ran", m)
		}
		fmt.Fprintf(table, "%v\t%s\t%d\t%d\t%d\t%s\t%s\t%.0f\n", m, r.version, r.passed, r.failed, r.skipped, r.features, r.found, time.Since(began).Seconds())
		fmt.Fprintf(os.Stderr, "%v: %d passed, %d failed, %d skipped\n", m, r.passed, r.failed, r.skipped)
	}
	table.Flush()
	if failed != nil {
		return errors.New("failed on " + strings.Join(failed, ", "))
	}
	return nil
}

// payload builds the tests and the guest's init for m, and makes an initramfs of them.
func payload(m machine, run, skip, cache, tmp string) (string, error) {
	_, file, _, _ := runtime.Caller(0)
	here := filepath.Dir(file)
	root := filepath.Dir(filepath.Dir(here))
	initrd := filepath.Join(tmp, "initrd-"+m.String())
	build := func(dir, out string, args ...string) error {
		cmd := exec.Command("go", append(args, "-o", out, ".")...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+m.arch)
		if b, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %v\n%s", cmd, err, b)
		}
		return nil
	}
	files := map[string]string{}
	for _, b := range []struct {
		name, dir string
		args      []string
	}{
		{"init", filepath.Join(here, "guest"), []string{"build"}},
		{"rio.test", root, []string{"test", "-c", "-trimpath"}},
		{"faults.test", filepath.Dir(here), []string{"test", "-c", "-trimpath"}},
		{"uring.test", filepath.Join(root, "internal", "uring"), []string{"test", "-c", "-trimpath"}},
	} {
		out := filepath.Join(tmp, b.name+"-"+m.arch)
		files[b.name] = out
		if _, err := os.Stat(out); err == nil {
			continue // another kernel's
		}
		if err := build(b.dir, out, append(b.args, "-ldflags=-s -w")...); err != nil {
			return "", err
		}
	}
	for _, name := range modules {
		if file := module(cache, name, m); size(file) > 0 {
			files[name+".ko"] = file
		}
	}
	return initrd, writeInitramfs(initrd, files, map[string]string{
		"etc/passwd": "root:x:0:0::/:/\nnobody:x:65534:65534::/:/\n",
		"etc/hosts":  "127.0.0.1 localhost\n::1 localhost\n",
		"go.mod":     "module guest\n", // tests read it
		"args":       "-test.v\n-test.short\n-test.timeout=8m\n-test.skip=" + skip + "\n-test.run=" + run + "\n",
	})
}

func size(file string) int64 {
	fi, err := os.Stat(file)
	if err != nil {
		return 0
	}
	return fi.Size()
}
