//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ClientReport is what the client prints: what happened while it measured, and All, which is what happened at all.
type ClientReport struct {
	Messages  float64 `json:"messages"`
	All       float64 `json:"all"`
	Wall      float64 `json:"wall_ns"`
	ServerCPU float64 `json:"server_cpu_ns"`
	ClientCPU float64 `json:"client_cpu_ns"`
	P50       float64 `json:"p50_ns"`
	P99       float64 `json:"p99_ns"`
}

// client is the part of a client process. One thread with epoll has one message on each of its connections: it sends
// one, and the next when all of it has come back. It takes the server's CPU time from that process's clock, at the
// beginning and at the end of what it measures.
//
// With -hold it sends one message on each, prints a line, and waits until its input ends.
func client(args []string) error {
	var c echoClient
	flags := flag.NewFlagSet("client", flag.ContinueOnError)
	addr := flags.String("addr", "", "the server's address")
	conns := flags.Int("conns", 64, "how many connections")
	size := flags.Int("size", 128, "bytes of a message")
	length := flags.Duration("for", time.Second, "how long to measure")
	warm := flags.Duration("warm", 0, "how long to work before")
	flags.IntVar(&c.pid, "pid", 0, "the server's process")
	hold := flags.Bool("hold", false, "only hold the connections")
	if err := flags.Parse(args); err != nil {
		return err
	}
	to, err := netip.ParseAddrPort(*addr)
	if err != nil || !to.Addr().Is4() {
		return fmt.Errorf("-addr %q: want an IPv4 address and a port", *addr)
	}
	if *conns < 1 || *size < 1 || *size > 1<<16 {
		return errors.New("-conns and -size: at least 1")
	}
	runtime.LockOSThread()
	c.message, c.buf = make([]byte, *size), make([]byte, *size)
	for i := range c.message {
		c.message[i] = byte('a' + i%26)
	}
	if err := c.connect(to, *conns); err != nil {
		return err
	}
	if *hold {
		fmt.Println("ready")
		_, err := io.Copy(io.Discard, os.Stdin)
		return err
	}
	report, err := c.work(*warm, *length)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(report)
}

type echoClient struct {
	pid      int
	message  []byte
	buf      []byte
	conns    []clientConn // by descriptor
	fds      []int
	messages int
	lat      Histogram
}

type clientConn struct {
	sent int64 // when
	got  int   // bytes of the answer so far
}

// connect makes the connections, some at a time. Each does one message, so that the server has taken it: no more of
// them wait to be accepted than a listener's queue holds.
func (c *echoClient) connect(to netip.AddrPort, n int) error {
	const some = 100
	for len(c.fds) < n {
		first := len(c.fds)
		for range min(some, n-first) {
			fd, err := dial(to)
			if err != nil {
				return err
			}
			c.fds = append(c.fds, fd)
			if n, err := unix.Write(fd, c.message); n != len(c.message) {
				return fmt.Errorf("write: %d, %w", n, err)
			}
		}
		for _, fd := range c.fds[first:] {
			if err := c.first(fd); err != nil {
				return err
			}
		}
	}
	return nil
}

func dial(to netip.AddrPort) (fd int, err error) {
	if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	// A server that says nothing must not hold up the run.
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 20})
	// Closing resets: thousands of ports in TIME_WAIT would be missing in the next turn.
	unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
	}
	return fd, os.NewSyscallError("connect", err)
}

// first waits for all of the first answer, on a socket that still blocks.
func (c *echoClient) first(fd int) error {
	for got := 0; got < len(c.buf); {
		n, err := unix.Read(fd, c.buf[got:])
		if err == unix.EINTR {
			continue
		}
		if n <= 0 {
			return fmt.Errorf("read: %d, %w", n, err)
		}
		got += n
	}
	c.messages++
	return c.check()
}

func (c *echoClient) check() error {
	if !bytes.Equal(c.buf, c.message) {
		return fmt.Errorf("the answer is another one: %q", c.buf)
	}
	return nil
}

// work sends on all connections, and measures from when it has worked for warm.
func (c *echoClient) work(warm, length time.Duration) (r ClientReport, err error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return r, os.NewSyscallError("epoll_create1", err)
	}
	c.conns = make([]clientConn, c.fds[len(c.fds)-1]+1)
	began := time.Now()
	for _, fd := range c.fds {
		if err := unix.SetNonblock(fd, true); err != nil {
			return r, os.NewSyscallError("fcntl", err)
		}
		ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
		if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
			return r, os.NewSyscallError("epoll_ctl", err)
		}
		if err := c.send(fd, int64(time.Since(began))); err != nil {
			return r, err
		}
	}
	events := make([]unix.EpollEvent, 256)
	var start, end time.Duration
	var first int
	var server, own time.Duration
	for begin := time.Since(began) + warm; ; {
		n, err := unix.EpollWait(ep, events, 5000)
		if err == unix.EINTR {
			continue
		}
		if n <= 0 {
			return r, fmt.Errorf("epoll_wait: %d, %w: no answers any more", n, err)
		}
		now := time.Since(began)
		for _, ev := range events[:n] {
			if err := c.receive(int(ev.Fd), int64(time.Since(began))); err != nil {
				return r, err
			}
		}
		if start == 0 && now >= begin {
			start, first = now, c.messages
			c.lat.reset()
			if server, err = processCPU(c.pid); err != nil {
				return r, err
			}
			own = ownCPU()
		} else if start > 0 && now >= start+length {
			end = time.Since(began)
			break
		}
	}
	after, err := processCPU(c.pid)
	if err != nil {
		return r, err
	}
	return ClientReport{
		Messages: float64(c.messages - first), All: float64(c.messages), Wall: float64(end - start),
		ServerCPU: float64(after - server), ClientCPU: float64(ownCPU() - own),
		P50: c.lat.Quantile(0.5), P99: c.lat.Quantile(0.99),
	}, nil
}

// send and receive don't block, so the scheduler needn't know of them.
func (c *echoClient) send(fd int, now int64) error {
	n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&c.message[0])),
		uintptr(len(c.message)), unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 || int(n) != len(c.message) {
		return fmt.Errorf("send: %d, %w", int(n), errno)
	}
	c.conns[fd] = clientConn{sent: now}
	return nil
}

func (c *echoClient) receive(fd int, now int64) error {
	conn := &c.conns[fd]
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&c.buf[conn.got])),
		uintptr(len(c.buf)-conn.got), 0, 0, 0)
	if errno == unix.EAGAIN || errno == unix.EINTR {
		return nil
	}
	if errno != 0 || n == 0 {
		return fmt.Errorf("recv: %d, %w", int(n), errno)
	}
	if conn.got += int(n); conn.got < len(c.buf) {
		return nil
	}
	c.lat.add(now - conn.sent)
	c.messages++
	return c.send(fd, now)
}

// processCPU is the time that the threads of another process have run. Its clock's number is the kernel's
// MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED).
func processCPU(pid int) (time.Duration, error) {
	if pid == 0 {
		return 0, nil
	}
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|2, &t); err != nil {
		return 0, os.NewSyscallError("clock_gettime", err)
	}
	return time.Duration(t.Nano()), nil
}
