// Rio-doctor explains on one page what io_uring is on this machine: whether it is allowed, and if not, why and what to do
// about it; what the kernel can, and what this library uses of that; what O_DIRECT asks for on a disk; and a measurement
// that takes a second.
//
//	go run ./cmd/rio-doctor [-json] [path]
//
// The path is a directory, or a file in one: a temporary file is made there, and removed. It is the current directory if
// none is given. The exit status is 0 if io_uring works, 1 if it doesn't, or nothing can be printed, 2 if the command
// line is wrong.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	if os.Getenv(childVariable) != "" {
		os.Exit(child(os.Stdout))
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("rio-doctor", flag.ContinueOnError)
	flags.SetOutput(stderr)
	asJSON := flags.Bool("json", false, "print JSON")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	if flags.NArg() > 1 {
		fmt.Fprintln(stderr, "rio-doctor: one path at most")
		return 2
	}
	path := "."
	if flags.NArg() == 1 {
		path = flags.Arg(0)
	}
	r := examine(path)
	var page bytes.Buffer
	if *asJSON {
		e := json.NewEncoder(&page)
		e.SetIndent("", "  ")
		e.Encode(r)
	} else {
		r.print(&page)
	}
	if _, err := page.WriteTo(stdout); err != nil {
		fmt.Fprintln(stderr, "rio-doctor:", err)
		return 1
	}
	if !r.Works {
		return 1
	}
	return 0
}
