package uring

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// As SendNow, RecvNow and ReadNow, but the runtime is told that they are system calls.

func sendTold(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.Syscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	return int(n), errno
}

func recvTold(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.Syscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

func readTold(fd int, p []byte, off int64) (int, syscall.Errno) {
	v := Iovec{base: uintptr(unsafe.Pointer(unsafe.SliceData(p))), len: uintptr(len(p))}
	n, _, errno := syscall.Syscall6(unix.SYS_PREADV2, uintptr(fd), uintptr(unsafe.Pointer(&v)), 1, uintptr(off), uintptr(off>>32), 8)
	return int(n), errno
}

// What moves up to FewBytes keeps its P; without, the runtime is told. Bytes through a socket of one's own, and cached reads, in one
// goroutine and in two.
func BenchmarkWorthTellingNobody(b *testing.B) {
	name := filepath.Join(b.TempDir(), "data")
	if err := os.WriteFile(name, make([]byte, FewBytes), 0o600); err != nil {
		b.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if _, errno := ReadNow(int(f.Fd()), make([]byte, 1), 0); errno != 0 {
		b.Skip("a file system that can't tell what is cached: ", errno)
	}
	for _, what := range []string{"socket", "file"} {
		for _, goroutines := range []int{1, 2} {
			for _, size := range []int{128, 4 << 10, FewBytes} {
				for _, with := range []string{"with", "without"} {
					b.Run(fmt.Sprintf("%s/%s/%d/%d", with, what, goroutines, size), func(b *testing.B) {
						send, recv, read := SendNow, RecvNow, ReadNow
						if with == "without" {
							send, recv, read = sendTold, recvTold, readTold
						}
						moves(b, goroutines, func(g int) (do func() (int, syscall.Errno)) {
							p := make([]byte, size)
							if what == "file" {
								return func() (int, syscall.Errno) { return read(int(f.Fd()), p, 0) }
							}
							fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
							if err != nil {
								b.Fatal(err)
							}
							b.Cleanup(func() { unix.Close(fds[0]); unix.Close(fds[1]) })
							return func() (int, syscall.Errno) {
								if n, errno := send(fds[0], p); n != size {
									return n, errno
								}
								return recv(fds[1], p)
							}
						}, size)
					})
				}
			}
		}
	}
}

// moves is so many goroutines that do what make has made them.
func moves(b *testing.B, goroutines int, make func(g int) (do func() (int, syscall.Errno)), want int) {
	cpu := func() int64 {
		var u syscall.Rusage
		syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		return u.Utime.Nano() + u.Stime.Nano()
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	var all sync.WaitGroup
	b.ResetTimer()
	began := cpu()
	for g := range goroutines {
		do := make(g)
		all.Go(func() {
			for left.Add(-1) >= 0 {
				if n, errno := do(); n < want {
					b.Error(n, errno)
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(cpu()-began)/float64(b.N), "cpu-ns/op")
}

// A tail that is stored plainly, where that does; without, atomically. What is timed is an SQE, from lock to unlock.
func BenchmarkWorthPlainTail(b *testing.B) {
	for _, with := range []string{"with", "without"} {
		b.Run(with, func(b *testing.B) {
			show := publish
			if with == "without" {
				show = atomic.StoreUint32
			}
			var mu sync.Mutex
			var tail uint32
			sqes := make([]SQE, 512)
			for i := uint32(0); b.Loop(); i++ {
				mu.Lock()
				sqes[i%512].Fill(0, 0, -1, 0, Addr{}, 0, 0, uint64(i))
				show(&tail, i)
				mu.Unlock()
			}
		})
	}
}
