package main

import (
	"os"
	"runtime"
	"syscall"
	"time"
)

// badCall reports whether a process has ended as a seccomp filter ends it.
func badCall(s *os.ProcessState) bool {
	w, ok := s.Sys().(syscall.WaitStatus)
	return ok && w.Signaled() && w.Signal() == syscall.SIGSYS
}

// noCore has the end of this process leave no file behind.
func noCore() { syscall.Setrlimit(syscall.RLIMIT_CORE, new(syscall.Rlimit)) }

// survives runs f on a thread of its own, and reports whether that has lived to see the end of it.
func survives(f func()) bool {
	threads, over := make(chan int), make(chan struct{})
	var run func()
	run = func() {
		runtime.LockOSThread()
		if syscall.Gettid() == syscall.Getpid() {
			go run() // of the first thread something is left when it dies
			select {}
		}
		threads <- syscall.Gettid()
		f()
		close(over)
	}
	go run()
	for thread := <-threads; ; {
		gone := syscall.Tgkill(syscall.Getpid(), thread, 0) == syscall.ESRCH // it closes over before it goes of itself
		select {
		case <-over:
			return true
		default:
			if gone {
				return false
			}
		}
		time.Sleep(time.Millisecond)
	}
}
