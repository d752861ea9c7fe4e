package uring

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// hint names the likely cause of a refusal.
func hint(errno syscall.Errno) string {
	switch errno {
	case unix.EPERM, unix.EACCES:
		v, group, seen := Disabled()
		return forbidden(v, seen, Exempt(group), Seccomp() == "filter")
	case unix.ENOSYS:
		return " (this kernel has no io_uring, or a seccomp filter hides it; Linux 5.11 has what is needed)"
	case unix.ENOMEM:
		return " (the limit on locked memory: ulimit -l, RLIMIT_MEMLOCK)"
	case unix.EINVAL:
		return " (this kernel does not know one of the flags, or can't combine them)"
	case unix.EAGAIN:
		return " (the limit on threads: ulimit -u, RLIMIT_NPROC, or the cgroup's pids.max)"
	}
	return scarce(errno)
}

// scarce is hint for the limits that any call for a descriptor meets.
func scarce(errno syscall.Errno) string {
	switch errno {
	case unix.EMFILE:
		return " (the limit on descriptors: ulimit -n, RLIMIT_NOFILE)"
	case unix.ENFILE:
		return " (the whole system's limit on open files: sysctl fs.file-max)"
	}
	return ""
}

// forbidden says who is likely to have said EPERM: the sysctl's value, "" for none, and whether it was seen, whether it leaves
// this process alone, and whether there is a seccomp filter.
func forbidden(v string, seen, exempt, filter bool) string {
	switch {
	case v == "2", v == "1" && !(exempt && filter):
		return " (sysctl kernel.io_uring_disabled is " + v + ")"
	case !seen && filter:
		return " (seccomp or the sysctl kernel.io_uring_disabled; /proc can't be read, which would tell)"
	case !seen:
		return " (the sysctl kernel.io_uring_disabled, or a security module; /proc can't be read, which would tell)"
	case filter:
		return " (a seccomp filter forbids io_uring; containers often have one)"
	}
	return " (neither the sysctl kernel.io_uring_disabled nor a seccomp filter: a security module, perhaps)"
}

// eventfdError is nil for nil.
func eventfdError(err error) error {
	if err == nil {
		return nil
	}
	errno, _ := err.(syscall.Errno)
	return fmt.Errorf("rio: what wakes a ring's reader: %w%s", os.NewSyscallError("eventfd", err), scarce(errno))
}

// procSys is where the sysctls are; tests have them elsewhere.
var procSys = "/proc/sys/kernel/"

// Disabled is the sysctl kernel.io_uring_disabled, "" if this kernel doesn't have it, and kernel.io_uring_group. They are not
// seen where there is no /proc, or it can't be read.
func Disabled() (value, group string, seen bool) {
	b, err := os.ReadFile(procSys + "io_uring_disabled")
	if errors.Is(err, os.ErrNotExist) {
		_, err = os.Stat(procSys)
		return "", "", err == nil
	}
	g, _ := os.ReadFile(procSys + "io_uring_group")
	return strings.TrimSpace(string(b)), strings.TrimSpace(string(g)), err == nil
}

// Exempt reports whether kernel.io_uring_disabled=1 is for others: this process has CAP_SYS_ADMIN, or is in
// kernel.io_uring_group. In a user namespace it may be that the capability doesn't count.
func Exempt(group string) bool {
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&h, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0 {
		return true
	}
	gid, err := strconv.Atoi(group)
	if err != nil || gid < 0 {
		return false
	}
	gids, _ := unix.Getgroups()
	return gid == unix.Getegid() || slices.Contains(gids, gid)
}

// Seccomp is the calling thread's mode: none, strict or filter (PR_GET_SECCOMP, which needs no /proc).
func Seccomp() string {
	mode, err := unix.PrctlRetInt(unix.PR_GET_SECCOMP, 0, 0, 0, 0)
	switch {
	case err == unix.EINVAL, err == nil && mode == 0:
		return "none" // EINVAL: nor can there be one
	case err == nil && mode == 1:
		return "strict"
	}
	return "filter" // if it is an error, that is who refuses prctl
}
