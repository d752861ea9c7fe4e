//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// A serverProcess is an echo server in a process of its own, which ends with its input.
type serverProcess struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	addr string
	inGo bool // it answers questions
}

// startServer starts one of echoServers, with so many Ps, or a C program that serves.
func startServer(ctx context.Context, name string, c program, procs int) (*serverProcess, error) {
	p := &serverProcess{inGo: c.path == ""}
	if p.inGo {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		p.cmd = exec.CommandContext(ctx, self, "serve", name)
		p.cmd.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", procs))
	} else {
		p.cmd = exec.CommandContext(ctx, c.path)
	}
	var stderr bytes.Buffer
	p.cmd.Stderr = &stderr
	p.cmd.WaitDelay = 5 * time.Second
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := p.out.ReadString('\n')
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("the %s server does not start: %s", name, firstLine(stderr.String()))
	}
	p.addr = strings.TrimSpace(line)
	return p, nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

// stop ends it: by closing its input, or by force if that isn't enough.
func (p *serverProcess) stop() {
	p.in.Close()
	kill := time.AfterFunc(10*time.Second, func() { p.cmd.Process.Kill() })
	p.cmd.Wait()
	kill.Stop()
}

func (p *serverProcess) pid() int { return p.cmd.Process.Pid }

// ask asks for "stats" or "memory".
func (p *serverProcess) ask(what string) (s ServerStats, err error) {
	if !p.inGo {
		return s, nil
	}
	if _, err := fmt.Fprintln(p.in, what); err != nil {
		return s, err
	}
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return s, fmt.Errorf("the server is gone: %w", err)
	}
	return s, json.Unmarshal(line, &s)
}

// resident is how much anonymous memory a process has; what it maps of files and of the kernel doesn't count.
func resident(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		var kib float64
		if n, _ := fmt.Sscanf(line, "RssAnon: %f kB", &kib); n == 1 {
			return kib * 1024, nil
		}
	}
	return 0, fmt.Errorf("no RssAnon in the status of %d", pid)
}

// clientCommand is this program in the part of a client, which has one P.
func clientCommand(ctx context.Context, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, append([]string{"client"}, args...)...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=off")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd, nil
}
