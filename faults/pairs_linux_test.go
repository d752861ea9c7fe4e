package faults

import (
	"net"
	"os"
	"syscall"

	"github.com/seed-9c58b644/rio"
)

// Pipes, connections and listeners, for the time of a test.

// pipe is one of package os.
func pipe(f *fault) (pr, pw *os.File) {
	f.t.Helper()
	pr, pw, err := os.Pipe()
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { pr.Close(); pw.Close() })
	return pr, pw
}

// unixPair is a connected pair of stream sockets: one of package net's, and a file to make a Conn of.
func unixPair(f *fault) (net.Conn, *os.File) {
	f.t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	a := os.NewFile(uintptr(fds[0]), "a")
	defer a.Close()
	c, err := net.FileConn(a)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	syscall.SetNonblock(fds[1], true)
	return c, os.NewFile(uintptr(fds[1]), "b")
}

// tcpPair is a connection over loopback, of package net.
func tcpPair(f *fault) (a, b *net.TCPConn) {
	f.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	x, y := pairOn(f, l)
	return x.(*net.TCPConn), y.(*net.TCPConn)
}

// ringPair is a connection over loopback: one end is r's, the other package net's.
func ringPair(f *fault, r *rio.Ring) (*rio.Conn, *net.TCPConn) {
	f.t.Helper()
	peer, c := pairOn(f, listen(f, r))
	return c.(*rio.Conn), peer.(*net.TCPConn)
}

// listen has r listen on loopback.
func listen(f *fault, r *rio.Ring) *rio.Listener {
	f.t.Helper()
	l, err := r.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { l.Close() })
	return l
}

// pairOn is the one connection that l accepts.
func pairOn(f *fault, l net.Listener) (dialed, accepted net.Conn) {
	f.t.Helper()
	defer l.Close()
	dialed, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { dialed.Close() })
	accepted, err = l.Accept()
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { accepted.Close() })
	return dialed, accepted
}
