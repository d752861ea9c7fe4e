//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: io_uring is Linux's; there is nothing to measure here")
	os.Exit(1)
}
