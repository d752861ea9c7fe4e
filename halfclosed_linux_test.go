package rio_test

import (
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
)

// Whoever polls a socket whose peer has ended its stream is told of that, whatever it asks for (POLLRDHUP). A write that has to wait
// for such a peer waits, and doesn't go round in circles.
func TestWritesWaitForAHalfClosedPeer(t *testing.T) {
	streams(t, func(t *testing.T, network string) {
		for name, write := range map[string]func(r *rio.Ring, c *rio.Conn, p []byte) (int, error){
			"WriteAt":  func(r *rio.Ring, c *rio.Conn, p []byte) (int, error) { return r.WriteAt(c, p, 0).Wait() },
			"WritevAt": func(r *rio.Ring, c *rio.Conn, p []byte) (int, error) { return r.WritevAt(c, [][]byte{p}, 0).Wait() },
			"Send":     func(r *rio.Ring, c *rio.Conn, p []byte) (int, error) { return r.Send(c, p).Wait() },
			"Write":    func(_ *rio.Ring, c *rio.Conn, p []byte) (int, error) { return c.Write(p) },
			"RawConn": func(_ *rio.Ring, c *rio.Conn, p []byte) (n int, err error) {
				rc, err := c.SyscallConn()
				if err != nil {
					return 0, err
				}
				calls := 0
				e := rc.Write(func(fd uintptr) bool {
					calls++
					n, err = syscall.Write(int(fd), p)
					return err != syscall.EAGAIN
				})
				if calls > 1000 {
					t.Errorf("it was called %d times", calls)
				}
				if e != nil {
					err = e
				}
				return n, err
			},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := newRing(t, nil)
				l := stdListen(t, network)
				c, err := r.Dial(t.Context(), network, l.Addr().String()) // it is O_NONBLOCK
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				peer, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer peer.Close()
				if err := peer.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
					t.Fatal(n, err)
				}
				c.SetWriteBuffer(32 << 10) // or it grows
				full := 0
				for _, size := range []int{64 << 10, 1 << 10, 1 << 10} {
					c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
					for err = nil; err == nil; {
						var n int
						n, err = c.Write(make([]byte, size))
						full += n
					}
				}
				c.SetWriteDeadline(time.Time{})
				type result struct {
					n   int
					err error
				}
				wrote := make(chan result, 1)
				var before uint64
				for waits := false; !waits; {
					before = r.Stats().Submitted
					go func() {
						n, err := write(r, c, []byte("the rest"))
						wrote <- result{n, err}
					}()
					select {
					case w := <-wrote:
						if w.n == 0 || w.err != nil {
							t.Fatal("it didn't wait:", w)
						}
						full += w.n // the peer's kernel has found some more room
					case <-time.After(300 * time.Millisecond):
						waits = true
					}
				}
				if n := r.Stats().Submitted - before; n > 1000 {
					t.Errorf("%d SQEs while it waits", n)
				}
				peer.SetReadDeadline(time.Now().Add(10 * time.Second))
				got, whole := make(chan int, 1), full+len("the rest")
				go func() {
					n, _ := io.ReadFull(peer, make([]byte, whole))
					got <- n
				}()
				if w := <-wrote; w.n != len("the rest") || w.err != nil {
					t.Error(w)
				}
				if n := <-got; n != whole {
					t.Errorf("the peer got %d of %d bytes", n, whole)
				}
			})
		}
	})
}
