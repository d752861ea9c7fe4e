// Package seccomptest is for tests: it forbids a process a system call, as the seccomp filters of containers do. It lies below
// internal/uring because it needs unsafe.
package seccomptest
