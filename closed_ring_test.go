package rio_test

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
)

// What needs no ring fails with ErrClosed, too, when that is closed, and has done nothing.
func TestWhatNeedsNoRingFailsWithAClosedOne(t *testing.T) {
	r := newRing(t, nil)
	file := tempFile(t, "hello")
	f, err := r.OpenFile(file.Name(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	l, err := r.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	peer, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := nc.(*rio.Conn)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	second := func(_ any, err error) error { return err }
	for name, err := range map[string]error{
		"Truncate":        f.Truncate(3),
		"Seek":            second(f.Seek(1, io.SeekStart)),
		"Stat":            second(f.Stat()),
		"ReadDir":         second(f.ReadDir(1)),
		"ReadAt, empty":   second(f.ReadAt(nil, 0)),
		"WriteAt, empty":  second(f.WriteAt(nil, 0)),
		"CloseWrite":      c.CloseWrite(),
		"CloseRead":       c.CloseRead(),
		"SetNoDelay":      c.SetNoDelay(false),
		"SetDeadline":     c.SetDeadline(time.Now()),
		"the Listener's":  l.SetDeadline(time.Now()),
		"SetWriteBuffer":  c.SetWriteBuffer(1 << 16),
		"Alignment":       func() error { _, _, err := f.Alignment(); return err }(),
		"a Conn's, empty": second(c.Read(nil)),
		"a Read, empty":   second(f.Read(nil)),
		"a Write of some": second(f.WriteAt([]byte("x"), 0)),
	} {
		if !errors.Is(err, rio.ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if b, err := os.ReadFile(file.Name()); string(b) != "hello" || err != nil {
		t.Errorf("the file is %q, %v", b, err)
	}
	peer.SetReadDeadline(time.Now().Add(time.Millisecond))
	if _, err := peer.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the peer reads: %v", err)
	}
	for name, err := range map[string]error{"File": f.Close(), "Conn": c.Close()} {
		if err != nil {
			t.Error(name, err)
		}
	}
	if err := f.Truncate(3); !errors.Is(err, os.ErrClosed) || errors.Is(err, rio.ErrClosed) {
		t.Errorf("Truncate of a closed File: %v", err)
	}
}
