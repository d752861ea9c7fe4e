package rio

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A subject is a Handler of a Stream that is looked at from the loop, in what another one says.
type subject struct {
	c    *Stream
	got  int
	busy chan bool
	free chan bool
	end  chan error
}

func (s *subject) Data(c *Stream, p []byte) {
	switch string(p) {
	case "this is the one":
		s.c = c
	case "does the loop watch it?":
		if s.c == nil || s.c.has&isWatched != 0 {
			c.Write([]byte("yes"))
		} else {
			c.Write([]byte("no"))
		}
	case "wait":
		s.busy <- true
		<-s.free
	default:
		s.got += len(p)
	}
}

func (s *subject) Closed(c *Stream, err error) {
	if c == s.c {
		s.end <- err
	}
}

// Who has been quiet for a while is watched again from his next word on, and his end is not missed.
func TestServeWatchesAgainWhoWasQuiet(t *testing.T) {
	r := openRing(t, nil)
	path := filepath.Join(t.TempDir(), "s")
	l, err := r.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := &subject{busy: make(chan bool), free: make(chan bool), end: make(chan error, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error)
	go func() { over <- l.Serve(ctx, &Server{Loops: 1, Open: func(*Stream) Handler { return s }}) }()
	defer func() {
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
	}()
	dial := func() *net.UnixConn {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c.(*net.UnixConn)
	}
	one, other := dial(), dial()
	one.Write([]byte("this is the one"))
	until(t, "it is not watched any more", func() bool {
		answer := make([]byte, 10)
		other.Write([]byte("does the loop watch it?"))
		n, err := other.Read(answer)
		return err == nil && string(answer[:n]) == "no"
	})
	other.Write([]byte("wait"))
	<-s.busy
	// More than all of the loop's buffers take: it is received from once more, and then finds all that is left at once.
	const much = loopBuffers*loopBuffer + 500_000
	raw, err := one.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 4*much) })
	if err != nil {
		s.free <- true
		t.Skip("SO_SNDBUFFORCE: ", err)
	}
	one.SetWriteDeadline(time.Now().Add(10 * time.Second))
	if _, err := one.Write(make([]byte, much)); err != nil {
		t.Error(err)
	}
	one.CloseWrite()
	s.free <- true
	select {
	case err := <-s.end:
		if err != nil || s.got != much {
			t.Errorf("%d bytes of %d, %v", s.got, much, err)
		}
	case <-time.After(20 * time.Second):
		t.Error("its end was missed")
	}
}
