package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/seed-9c58b644/rio"
)

// print writes r for a person.
func (r *report) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	defer w.Flush()
	if r.Works {
		fmt.Fprintf(w, "io_uring works here.\n")
		if r.Advice != nil {
			fmt.Fprintf(w, "But Listener.Serve %s\n", r.Loop)
		}
	} else {
		fmt.Fprintf(w, "io_uring does not work here: %s\n", r.Cause)
	}
	for _, s := range r.Advice {
		fmt.Fprintf(w, "  - %s\n", s)
	}
	if !r.Works && r.Backend == rio.Threads.String() {
		fmt.Fprintln(w, "Until then rio.New(nil) runs on threads: the same API, by plain system calls.")
	}
	fmt.Fprintln(w)
	pair := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, value)
		}
	}
	pair("system", r.OS)
	pair("kernel", r.Kernel)
	pair("rio.New(nil)", r.Backend+": "+r.Because)
	if r.OS == "linux" {
		r.printLinux(w, pair)
	}
	r.printDisk(w, pair)
	r.printSpeed(w)
}

func (r *report) printLinux(w io.Writer, pair func(name, value string)) {
	pair("kernel.io_uring_disabled", sysctl(r.Disabled, r.Group))
	pair("seccomp", r.Seccomp)
	pair("RLIMIT_MEMLOCK", unit(r.Memlock, "bytes"))
	pair("RLIMIT_NOFILE", r.Files)
	if r.Works {
		restricted := "to the opcodes below; the kernel refuses any other (EACCES)"
		if !r.Restricted {
			restricted = "no: this kernel can't (Linux 5.10 can)"
		}
		pair("rings are restricted", restricted)
		pair("Listener.Serve", r.Loop)
	}
	fmt.Fprintln(w)
	section(w, "IORING_FEAT_*", r.Features)
	section(w, "IORING_SETUP_*", r.Setup)
	section(w, "IORING_OP_*", r.Opcodes)
	if r.Others > 0 {
		fmt.Fprintf(w, "and %d other opcodes that this kernel knows and the library doesn't use\n\n", r.Others)
	}
}

// section lists what the library uses, a line each, and then the rest in one.
func section(w io.Writer, title string, abilities []ability) {
	fmt.Fprintln(w, title)
	var rest, causes []string
	for _, a := range abilities {
		has := "yes"
		switch {
		case a.Unknown != "":
			has = unknown
			if !slices.Contains(causes, a.Unknown) {
				causes = append(causes, a.Unknown)
			}
		case !a.Have:
			has = "no"
		}
		if a.Use == "" {
			if a.Have {
				rest = append(rest, a.Name)
			}
			continue
		}
		says := a.Use
		if has == "no" && a.Without != "" {
			says += "; without: " + a.Without
		}
		fmt.Fprintf(w, "  %d\t%s\t%s\t%s\n", a.Number, a.Name, has, says)
	}
	for _, s := range causes {
		fmt.Fprintf(w, "  unknown: %s\n", s)
	}
	if rest != nil {
		fmt.Fprintf(w, "  not used: %s\n", strings.Join(rest, ", "))
	}
	fmt.Fprintln(w)
}

func (r *report) printDisk(w io.Writer, pair func(name, value string)) {
	d := r.Disk
	pair("path", d.Path)
	if d.Error != "" {
		pair("", d.Error)
		return
	}
	pair("file system", d.FileSystem)
	pair("O_DIRECT", d.Direct)
	if d.Memory > 0 {
		pair("its alignment", fmt.Sprintf("buffers at multiples of %d, offsets and lengths of %d (STATX_DIOALIGN)", d.Memory, d.Offset))
	} else {
		pair("its alignment", d.Alignment)
	}
}

func (r *report) printSpeed(w io.Writer) {
	fmt.Fprintln(w)
	if r.Speed != nil {
		fmt.Fprintf(w, "measured just now\tring, ns\tpread, ns\tring : pread\n")
	}
	for _, s := range r.Speed {
		if s.Bar == 0 {
			fmt.Fprintf(w, "  %s\t%.0f\n", s.Name, s.Ring)
		} else {
			fmt.Fprintf(w, "  %s\t%.0f\t%.0f\t%.2f\n", s.Name, s.Ring, s.Bar, s.Ratio)
		}
	}
	if r.Unmeasured != "" {
		fmt.Fprintf(w, "not measured: %s\n", r.Unmeasured)
	}
}

// sysctl is kernel.io_uring_disabled in words.
func sysctl(v, group string) string {
	switch v {
	case "0":
		return "0: everybody may make rings"
	case "1":
		return "1: only CAP_SYS_ADMIN and the group " + group + " may"
	case "2":
		return "2: nobody may"
	case "":
		return "not there: before Linux 6.6 everybody may make rings"
	case unknown:
		return "unknown: there is no /proc, or it can't be read"
	}
	return v
}

func unit(n, what string) string {
	if n == "" || n == "unlimited" {
		return n
	}
	return n + " " + what
}
