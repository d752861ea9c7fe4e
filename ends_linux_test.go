package rio_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
	"golang.org/x/sys/unix"
)

// manyPieces is more than the kernel gives a multishot request in one go (32 pieces and one), and less than all buffers
// take. The end that stands behind it was there when the request began.
const manyPieces = 330_000

// lastPeers are how a peer ends whose last words, manyPieces of them, nobody has read yet.
func lastPeers(t *testing.T, f func(t *testing.T, network string, want syscall.Errno), resets ...string) {
	for _, network := range []string{"tcp4", "unix"} {
		t.Run(network+"/shutdown", func(t *testing.T) { f(t, network, 0) })
	}
	for _, network := range resets {
		t.Run(network+"/reset", func(t *testing.T) { f(t, network, syscall.ECONNRESET) })
	}
}

// lastWords has peer send manyPieces, and end in that way, before it returns. us is the other end, if somebody has it yet.
func lastWords(t *testing.T, us syscall.Conn, peer net.Conn, want syscall.Errno) []byte {
	t.Helper()
	raw := peer.(syscall.Conn)
	control(t, raw, func(fd int) { unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 4*manyPieces) })
	if us != nil {
		muchRoom(t, us)
	}
	words := letters(manyPieces)
	control(t, raw, func(fd int) {
		for sent := 0; sent < len(words); {
			n, err := unix.SendmsgN(fd, words[sent:], nil, nil, unix.MSG_DONTWAIT)
			if err != nil {
				t.Fatalf("%v after %d bytes", err, sent)
			}
			sent += n
		}
	})
	if peer.LocalAddr().Network() == "tcp" {
		soon(t, "everything has arrived", func() (all bool) {
			control(t, raw, func(fd int) {
				n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
				all = n == 0 && err == nil
			})
			return all
		})
	}
	switch {
	case want == 0:
		control(t, raw, func(fd int) { unix.Shutdown(fd, unix.SHUT_WR) })
	case us != nil:
		control(t, us, func(fd int) { unix.Write(fd, []byte("nobody reads this: so the peer's close is a reset")) })
		peer.Close()
	default:
		control(t, raw, func(fd int) { unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) })
		peer.Close()
	}
	if us != nil {
		soon(t, "the end is there", func() (there bool) {
			control(t, us, func(fd int) {
				p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
				n, err := unix.Poll(p, 0)
				there = n == 1 && err == nil
			})
			return there
		})
	}
	return words
}

// muchRoom lets the socket c, or those that it accepts, have manyPieces to be read. It needs CAP_NET_ADMIN.
func muchRoom(t *testing.T, c syscall.Conn) {
	t.Helper()
	control(t, c, func(fd int) {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4*manyPieces); err != nil {
			t.Skip("SO_RCVBUFFORCE: ", err)
		}
	})
}

func control(t *testing.T, c syscall.Conn, f func(fd int)) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { f(int(fd)) })
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The kernel may have a multishot request wait on though the stream is at its end.
func TestReceivedMissesNoEnd(t *testing.T) {
	lastPeers(t, func(t *testing.T, network string, want syscall.Errno) {
		r := newRing(t, &rio.Config{Profile: io.Discard}) // or Go's poller waits
		a, b := connPair(t, r, network)
		words := lastWords(t, a, b, want)
		ctx, cancel := context.WithTimeout(t.Context(), patience/4)
		defer cancel()
		var got []byte
		var end error
		for p, err := range a.Received(ctx) {
			if end = err; err == nil {
				got = append(got, p...)
			}
		}
		if want == 0 && end != nil || want != 0 && !errors.Is(end, want) || !bytes.Equal(got, words) {
			t.Errorf("%d bytes of %d, then %v; want %v", len(got), len(words), end, want)
		}
		settled(t, r)
	}, "tcp4", "unix")
}

// Read waits for what a loop's request brings as long as there is one.
func TestReadBesideALoopMissesNoEnd(t *testing.T) {
	lastPeers(t, func(t *testing.T, network string, want syscall.Errno) {
		r := newRing(t, &rio.Config{Profile: io.Discard}) // or Go's poller waits
		a, b := connPair(t, r, network)
		words := lastWords(t, a, b, want)
		a.SetDeadline(time.Now().Add(patience / 4))
		var got []byte
		var end error
		pieces := 0
		for p, err := range a.Received(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, p...)
			if pieces++; pieces == 2 { // the first one was asked for alone
				var rest []byte
				rest, end = io.ReadAll(a)
				got = append(got, rest...)
				break
			}
		}
		if want == 0 && end != nil || want != 0 && !errors.Is(end, want) || !bytes.Equal(got, words) {
			t.Errorf("%d bytes of %d, then %v; want %v", len(got), len(words), end, want)
		}
	}, "tcp4", "unix")
}

func TestServeMissesNoEnd(t *testing.T) {
	inBothModes(t, func(t *testing.T) {
		lastPeers(t, func(t *testing.T, network string, want syscall.Errno) {
			var got []byte
			busy, free, end := make(chan bool), make(chan bool), make(chan error, 2)
			v := serveOn(t, network, handler{
				data: func(c *rio.Stream, p []byte) {
					if string(p) == "wait" {
						busy <- true
						<-free
						return
					}
					got = append(got, p...)
				},
				closed: func(_ *rio.Stream, err error) { end <- err },
			}, rio.Server{Loops: 1})
			muchRoom(t, v.l)
			dial := func() net.Conn {
				c, err := net.Dial(network, v.l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.Close() })
				return c
			}
			dial().Write([]byte("wait")) // the loop: it finds the other one's end when it begins to receive from it
			<-busy
			words := lastWords(t, nil, dial(), want)
			close(free)
			select {
			case err := <-end:
				if want == 0 && err != nil || want != 0 && !errors.Is(err, want) || !bytes.Equal(got, words) {
					t.Errorf("%d bytes of %d, then %v; want %v", len(got), len(words), err, want)
				}
			case <-time.After(patience / 4):
				t.Error("the end was missed")
			}
		}, "tcp4") // a unix socket that nothing was sent to can't reset
	})
}
