package seccomptest

import (
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Forbid has the kernel answer a system call of this process with errno, from now on: on all its threads, and in whatever it
// starts.
func Forbid(nr uint32, errno syscall.Errno) error {
	return filter(nr, unix.SECCOMP_RET_ERRNO|uint32(errno))
}

// Kill has the kernel end the process that makes the call, likewise: by SIGSYS.
func Kill(nr uint32) error { return filter(nr, unix.SECCOMP_RET_KILL_PROCESS) }

// KillThread has it end the thread only.
func KillThread(nr uint32) error { return filter(nr, unix.SECCOMP_RET_KILL_THREAD) }

// ForbidWith is Forbid for calls whose argument, counted from 0, has this lower half. The byte order is little-endian.
func ForbidWith(nr uint32, arg int, value uint32, errno syscall.Errno) error {
	return filter(nr, unix.SECCOMP_RET_ERRNO|uint32(errno),
		unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: uint32(16 + 8*arg)},
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: value, Jf: 1})
}

// filter has calls of nr that pass the tests, the last of which jumps over one instruction if not, end with action.
func filter(nr, action uint32, tests ...unix.SockFilter) error {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number of the system call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: nr, Jf: uint8(1 + len(tests))},
	}
	filter = append(append(filter, tests...), []unix.SockFilter{
		{Code: unix.BPF_RET | unix.BPF_K, K: action},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}...)
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread() // both calls are to be one thread's: the first counts for no other
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	tid, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	if e != 0 {
		return e
	}
	if tid != 0 {
		return fmt.Errorf("seccomp: thread %d has a filter of its own", tid)
	}
	return nil
}
