package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// progress returns a function that draws a bar if w is a terminal, and removes it when all is done.
func progress(w io.Writer, name string) func(part float64) {
	f, ok := w.(*os.File)
	if !ok {
		return func(float64) {}
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return func(float64) {}
	}
	last := -1
	return func(part float64) {
		if percent := int(100 * part); percent >= 100 {
			fmt.Fprint(w, "\r\x1b[K")
		} else if percent != last {
			fmt.Fprintf(w, "\r%-12s [%-50s] %3d%%", name, strings.Repeat("#", percent/2), percent)
			last = percent
		}
	}
}
