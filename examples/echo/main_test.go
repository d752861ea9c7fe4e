package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio/examples/internal/extest"
)

func TestMain(m *testing.M) { extest.Main(m, main) }

func TestArgumentsAreRefused(t *testing.T) {
	err := run(context.Background(), []string{":7777"}, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "-addr") {
		t.Error(err)
	}
}

// start runs the server and returns its address.
func start(t *testing.T) (server *exec.Cmd, stderr *bytes.Buffer, addr string) {
	t.Helper()
	extest.RequireRing(t)
	server, stderr = extest.Command(t, "-addr", "127.0.0.1:0"), new(bytes.Buffer)
	server.Stderr = stderr
	stdout, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // if the test ended before stop
		if server.ProcessState == nil {
			server.Process.Kill()
			server.Wait()
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		t.Fatalf("first line %q, %v; want the address", line, err)
	}
	return server, stderr, addr
}

// stop sends sig, and wants exit status 0 and no complaints.
func stop(t *testing.T, server *exec.Cmd, stderr *bytes.Buffer, sig os.Signal) {
	t.Helper()
	if err := server.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	if err := server.Wait(); err != nil || stderr.Len() > 0 {
		t.Errorf("after %v: %v\n%s", sig, err, stderr)
	}
}

func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(extest.Patience))
	return conn.(*net.TCPConn)
}

func TestClientsGetBackWhatTheySent(t *testing.T) {
	server, stderr, addr := start(t)
	var clients sync.WaitGroup
	for range 8 {
		conn := dial(t, addr)
		clients.Go(func() {
			sent := make([]byte, 1<<20+123) // more than the sockets hold: the server's sends come out short
			rand.Read(sent)
			clients.Go(func() {
				conn.Write(sent)
				conn.CloseWrite()
			})
			if got, err := io.ReadAll(conn); err != nil || !bytes.Equal(got, sent) {
				t.Errorf("sent %d bytes, got %d (%v), same: %v", len(sent), len(got), err, bytes.Equal(got, sent))
			}
		})
	}
	clients.Wait()
	stop(t, server, stderr, os.Interrupt)
}

// More idle connections than the ring has places hold nobody up.
func TestIdleConnectionsTakeNoPlace(t *testing.T) {
	server, stderr, addr := start(t)
	first := dial(t, addr)
	for range 600 {
		dial(t, addr)
	}
	for _, conn := range []net.Conn{dial(t, addr), first} {
		fmt.Fprint(conn, "hello")
		if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
	}
	stop(t, server, stderr, os.Interrupt)
}

func TestSignalEndsItWithClientsConnected(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		server, stderr, addr := start(t)
		idle, full := dial(t, addr), dial(t, addr)
		for _, conn := range []net.Conn{idle, full} {
			fmt.Fprint(conn, "hello")
			if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil {
				t.Fatal(err)
			}
		}
		// This one sends and doesn't read, until the server's Send is stuck and then its own Write.
		full.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		for err := error(nil); err == nil; {
			_, err = full.Write(make([]byte, 1<<20))
		}
		stop(t, server, stderr, sig)
		if n, err := idle.Read(make([]byte, 1)); n != 0 || err == nil || os.IsTimeout(err) {
			t.Errorf("after %v: read %d, %v; want a closed connection", sig, n, err)
		}
	}
}

func TestResetOfOneClientIsNothingToTheOthers(t *testing.T) {
	server, _, addr := start(t)
	other := dial(t, addr)
	for range 10 {
		conn := dial(t, addr)
		fmt.Fprint(conn, "hello")
		conn.SetLinger(0)
		conn.Close()
	}
	fmt.Fprint(other, "still there?")
	if _, err := io.ReadFull(other, make([]byte, len("still there?"))); err != nil {
		t.Error(err)
	}
	stop(t, server, new(bytes.Buffer), os.Interrupt) // It may have complained of the resets.
}

func TestBusyPortIsOneLine(t *testing.T) {
	extest.RequireRing(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	extest.WantFailure(t, extest.Command(t, "-addr", l.Addr().String()), "address already in use")
}
