//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// compiled builds the C programs. Where there is no compiler they say that they are to be skipped.
func compiled(t *testing.T) (programs, string) {
	t.Helper()
	requireRing(t)
	dir := t.TempDir()
	var said bytes.Buffer
	ps := compile(dir, newProgress(&said, false))
	if len(ps) != 4 {
		t.Fatalf("programs: %v", ps)
	}
	for name, p := range ps {
		if p.skip != "" && p.skip != noCompiler {
			t.Fatalf("%s: %s\n%s", name, p.skip, &said)
		}
	}
	return ps, dir
}

func TestTheNopProgramCountsItsNops(t *testing.T) {
	ps, _ := compiled(t)
	if why := ps["nop"].skip; why != "" {
		t.Skip(why)
	}
	for _, c := range []struct{ threads, inFlight int }{{1, 1}, {1, 64}, {64, 1}, {1, 32768}} {
		r, err := ps["nop"].run(t.Context(), fmt.Sprint(c.threads), fmt.Sprint(c.inFlight), "5")
		if err != nil {
			t.Fatal(err)
		}
		// A signal may cut an enter short, so there may be a few more.
		want := r.Ops / float64(c.inFlight)
		if r.Ops < float64(c.inFlight) || r.Enters < want || r.Enters > want*1.1+8 {
			t.Errorf("%+v: %+v, want %v enters", c, r, want)
		}
		if r.Wall < 5e6 || r.CPU <= 0 {
			t.Errorf("%+v in 5 ms: %+v", c, r)
		}
	}
	if _, err := ps["nop"].run(t.Context(), "0", "1", "5"); err == nil || !strings.Contains(err.Error(), "usage") {
		t.Errorf("no threads: %v", err)
	}
}

func TestTheFileProgramReadsAndWrites(t *testing.T) {
	ps, dir := compiled(t)
	if why := ps["file"].skip; why != "" {
		t.Skip(why)
	}
	name := filepath.Join(dir, "data")
	const size = 4 << 20
	if err := os.WriteFile(name, make([]byte, size), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, inFlight := range []string{"1", "64"} {
		r, err := ps["file"].run(t.Context(), "read", name, "cached", "4096", inFlight, "5")
		if err != nil {
			t.Fatal(err)
		}
		if r.Ops < 64 || r.Wall < 5e6 || r.Enters <= 0 {
			t.Errorf("%s in flight: %+v", inFlight, r)
		}
	}
	r, err := ps["file"].run(t.Context(), "write", name, "cached", "65536", "8", "5")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	// It writes in order, round after round: so many blocks are full of x, and the file has not grown.
	want := min(int(r.Ops)*65536, size)
	if got := bytes.Count(text, []byte("x")); got != want || len(text) != size {
		t.Errorf("%v blocks written: %d bytes of %d, want %d", r.Ops, got, len(text), want)
	}
	if _, err := ps["file"].run(t.Context(), "read", name+"-", "cached", "4096", "1", "5"); err == nil || !strings.Contains(err.Error(), "No such file") {
		t.Errorf("a file that isn't there: %v", err)
	}
}

// echoes sends bytes through a connection and looks whether the same come back.
func echoes(addr string, size int) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	want := make([]byte, size)
	for i := range want {
		want[i] = byte(rand.Int())
	}
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(want)
		sent <- errors.Join(err, c.(*net.TCPConn).CloseWrite())
	}()
	got := make([]byte, size)
	n, err := io.ReadFull(c, got)
	if err := errors.Join(err, <-sent); err != nil {
		return fmt.Errorf("%d of %d bytes: %w", n, size, err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%d bytes came back, others than were sent", size)
	}
	return nil
}

func TestServersEchoWhatTheyReceive(t *testing.T) {
	ps, _ := compiled(t)
	for name, c := range map[string]program{"net": {}, "rio": {}, "gnet": {}, "C epoll": ps["echo_epoll"], "C io_uring": ps["echo_uring"]} {
		t.Run(name, func(t *testing.T) {
			if c.skip != "" {
				t.Skip(c.skip)
			}
			p, err := startServer(t.Context(), name, c, 2)
			if err != nil {
				t.Fatal(err)
			}
			defer p.stop()
			results := make(chan error)
			sizes := []int{1, 128, 5000, 300_000}
			for i := range 4 * len(sizes) {
				go func() { results <- echoes(p.addr, sizes[i%len(sizes)]) }()
			}
			for range 4 * len(sizes) {
				if err := <-results; err != nil {
					t.Error(err)
				}
			}
			before, err := p.ask("stats")
			if err != nil {
				t.Fatal(err)
			}
			r, err := runClient(t.Context(), p, 50, 20e6)
			if err != nil {
				t.Fatal(err)
			}
			if r.Messages < 50 || r.All < r.Messages+50 || r.Wall < 20e6 || r.ServerCPU <= 0 || r.ClientCPU <= 0 || r.P99 < r.P50 {
				t.Errorf("a client of 50 connections in 20 ms: %+v", r)
			}
			after, err := p.ask("memory")
			if err != nil {
				t.Fatal(err)
			}
			if name == "rio" && after.Enters <= before.Enters {
				t.Errorf("messages without a system call: %+v, %+v", before, after)
			}
			if p.inGo && (after.Heap == 0 || after.Stack == 0 || after.Mallocs <= before.Mallocs) {
				t.Errorf("it knows nothing of itself: %+v", after)
			}
			if rss, err := resident(p.pid()); err != nil || rss < 1<<15 {
				t.Errorf("resident: %v, %v", rss, err)
			}
		})
	}
}

func TestIdleConnectionsTakeMemory(t *testing.T) {
	requireRing(t)
	s := &Stage{Bench: &Bench{ctx: t.Context()}}
	for _, name := range []string{"net", "gnet", "rio"} {
		f, err := s.idleTurn(name, 500)(t.Context(), 0)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		// gnet has no buffer for each, the others have; none takes a thread's stack.
		if low := map[bool]float64{true: 16, false: bufferSize}[name == "gnet"]; f[Bytes] < low || f[Bytes] > 64<<10 {
			t.Errorf("%s: %v", name, f)
		}
	}
}

func TestTheClientNoticesAnotherAnswer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, 128)
		io.ReadFull(c, buf)
		buf[100]++
		c.Write(buf)
		io.Copy(io.Discard, c)
	}()
	_, err = runClient(t.Context(), &serverProcess{addr: l.Addr().String(), cmd: &exec.Cmd{Process: &os.Process{Pid: os.Getpid()}}}, 1, 1e6)
	if err == nil || !strings.Contains(err.Error(), "the answer is another one") {
		t.Errorf("%v", err)
	}
}

func TestFioReportsAreRead(t *testing.T) {
	f, err := fioFigures([]byte(`note: something
{"jobs": [{"usr_cpu": 10, "sys_cpu": 30, "read": {"iops": 50000, "total_ios": 5000, "runtime": 100}}]}`))
	if err != nil || f[Wall] != 20000 || f[CPU] != 8000 {
		t.Errorf("%v, %v", f, err)
	}
	if _, err := fioFigures([]byte(`{"jobs": []}`)); !errors.As(err, new(skip)) {
		t.Errorf("a report without a job: %v", err)
	}
}
