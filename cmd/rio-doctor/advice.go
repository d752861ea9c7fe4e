package main

import (
	"errors"
	"os"
	"runtime"
	"syscall"

	"github.com/seed-9c58b644/rio"
)

// What to do about a seccomp filter, behind whether there is one. Docker's default profile has forbidden io_uring since 25.0 (moby/moby pull request
// 46762), containerd's since 2.0 (containerd/containerd pull request 9320), Podman's always (ENOSYS).
var filtered = []string{
	"Docker since 25.0, containerd since 2.0 and Podman do so by default.",
	"docker, podman: run with --security-opt seccomp=FILE, a copy of the default profile that also allows io_uring_setup, io_uring_enter and io_uring_register; --security-opt seccomp=unconfined shows whether that is it.",
	"Kubernetes: securityContext.seccompProfile {type: Localhost, localhostProfile: FILE}, with such a profile on the node.",
	"systemd: SystemCallFilter=io_uring_setup io_uring_enter io_uring_register, behind the filter of the unit.",
}

// advise says in whole sentences why there is no ring, and what to do about it.
func (r *report) advise(err error) (says []string) {
	switch {
	case runtime.GOOS != "linux":
		return []string{"Only Linux has io_uring; this is " + runtime.GOOS + "."}
	case misnamed(os.Getenv("RIO_BACKEND")):
		return []string{"Set the environment variable RIO_BACKEND to auto, iouring or threads, or not at all."}
	case forbidden(err):
		if r.Disabled == "2" {
			says = append(says, "The sysctl kernel.io_uring_disabled is 2: nobody may make a ring. RHEL 9 comes so from 9.3 on, and so do hardened systems.",
				"As root: sysctl -w kernel.io_uring_disabled=0; to keep it: echo kernel.io_uring_disabled=0 > /etc/sysctl.d/90-io_uring.conf")
		}
		if r.Disabled == "1" && !(r.exempt && r.Seccomp == "filter") {
			says = append(says, "The sysctl kernel.io_uring_disabled is 1: only who has CAP_SYS_ADMIN, or is in the group kernel.io_uring_group ("+r.Group+"), may make a ring.",
				"As root: sysctl -w kernel.io_uring_group=GID, with a group of this user; or kernel.io_uring_disabled=0 for everybody. To keep it: a line in /etc/sysctl.d.")
		}
		if r.Disabled == unknown {
			says = append(says, "The sysctl kernel.io_uring_disabled may forbid it (1 or 2), and can't be seen: there is no /proc here, or it can't be read. sysctl kernel.io_uring_disabled, outside of the container, shows it.")
		}
		switch {
		case r.Seccomp == "filter" && r.Disabled == unknown:
			says = append(append(says, "A seccomp filter may forbid it, too: there is one (prctl(PR_GET_SECCOMP) is 2)."), filtered...)
		case r.Seccomp == "filter":
			says = append(append(says, "A seccomp filter forbids io_uring (prctl(PR_GET_SECCOMP) is 2)."), filtered...)
		case r.Disabled == unknown:
			says = append(says, "There is no seccomp filter. If it is not the sysctl, it may be SELinux or another security module.")
		}
		if says == nil {
			says = []string{"Neither the sysctl kernel.io_uring_disabled nor a seccomp filter is to be seen, so it may be SELinux or another security module: look for io_uring in the audit log (ausearch -m avc)."}
		}
	case errors.Is(err, syscall.ENOSYS):
		says = []string{"This kernel answers that it has no io_uring: it is older than 5.1, was built without CONFIG_IO_URING (RHEL 9 before 9.3), or is none, like gVisor's. Linux 5.11 has what is needed."}
		if r.Seccomp == "filter" {
			says = append(append(says, "Or a seccomp filter hides it: there is one (prctl(PR_GET_SECCOMP) is 2)."), filtered...)
		}
	case errors.Is(err, syscall.ENOMEM) && mapping(err):
		says = []string{"There is no room to map a ring's memory. Shell: ulimit -v. systemd: LimitAS=. All mappings: sysctl vm.max_map_count."}
	case errors.Is(err, syscall.ENOMEM):
		says = []string{"The limit on locked memory (RLIMIT_MEMLOCK, " + r.Memlock + " bytes) is used up: Linux before 5.12, and 6.16 to 7.1, count a ring's memory.",
			"Shell: ulimit -l. Login: memlock in /etc/security/limits.conf. systemd: LimitMEMLOCK=infinity, or an amount. docker: --ulimit memlock=-1."}
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		says = []string{"The limit on descriptors (RLIMIT_NOFILE, " + r.Files + ") is used up. Shell: ulimit -n. systemd: LimitNOFILE=. docker: --ulimit nofile=N."}
	case errors.Is(err, errors.ErrUnsupported):
		says = []string{"This kernel is too old. Linux 5.11 has what is needed, and Debian 11's 5.10 too."}
	default:
		says = []string{"That is not one of the usual causes; strace -e trace=io_uring_setup,io_uring_register,io_uring_enter shows which call it was."}
	}
	return says
}

// misnamed reports whether no Backend has that name; New fails with any such.
func misnamed(name string) bool {
	for _, b := range []rio.Backend{rio.Auto, rio.IOUring, rio.Threads} {
		if name == b.String() {
			return false
		}
	}
	return name != ""
}

// mapping reports whether it was mmap(2) that failed.
func mapping(err error) bool {
	var call *os.SyscallError
	return errors.As(err, &call) && call.Syscall == "mmap"
}
