//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"

	"github.com/panjf2000/gnet/v2"
	"github.com/seed-9c58b644/rio"
	"golang.org/x/sys/unix"
)

// bufferSize is what a goroutine receives into; all servers that have a buffer for each connection take the same.
const bufferSize = 4096

// echoServers are the echo servers in Go, by name. Each tells ready its address, serves for ever, and returns only with
// an error. A further one, of whatever form, needs an entry here and one in echoSides.
var echoServers = map[string]func(ready func(addr string, ring *rio.Ring)) error{
	"net":  serveNet,
	"rio":  serveRio,
	"gnet": serveGnet,

	"rio Serve": serveLoops,
}

func serveNet(ready func(string, *rio.Ring)) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ready(l.Addr().String(), nil)
	return acceptAll(l)
}

func serveRio(ready func(string, *rio.Ring)) error {
	ring, err := rio.New(nil)
	if err != nil {
		return err
	}
	l, err := ring.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ready(l.Addr().String(), ring)
	return acceptAll(l)
}

// serveLoops is rio's other form: loops that run the handler themselves.
func serveLoops(ready func(string, *rio.Ring)) error {
	ring, err := rio.New(nil)
	if err != nil {
		return err
	}
	l, err := ring.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ready(l.Addr().String(), nil) // the loops' enters are not in its Stats
	return l.Serve(context.Background(), &rio.Server{Open: func(*rio.Stream) rio.Handler { return streamEcho{} }})
}

// streamEcho is the Handler of all connections.
type streamEcho struct{}

func (streamEcho) Data(c *rio.Stream, p []byte)    { c.Write(p) }
func (streamEcho) Closed(c *rio.Stream, err error) {}

// acceptAll serves each connection with a goroutine of its own.
func acceptAll(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			buf := make([]byte, bufferSize)
			for {
				n, err := c.Read(buf)
				if err != nil {
					return
				}
				if _, err := c.Write(buf[:n]); err != nil {
					return
				}
			}
		}()
	}
}

// gnetEcho runs in gnet's own event loops, as many as there are Ps.
type gnetEcho struct {
	gnet.BuiltinEventEngine
	ready func(string, *rio.Ring)
}

func (e *gnetEcho) OnBoot(eng gnet.Engine) gnet.Action {
	fd, err := eng.Dup()
	if err != nil {
		return gnet.Shutdown
	}
	defer unix.Close(fd)
	sa, err := unix.Getsockname(fd)
	in, ok := sa.(*unix.SockaddrInet4)
	if err != nil || !ok {
		return gnet.Shutdown
	}
	e.ready(fmt.Sprintf("127.0.0.1:%d", in.Port), nil)
	return gnet.None
}

func (e *gnetEcho) OnTraffic(c gnet.Conn) gnet.Action {
	buf, err := c.Next(-1)
	if err != nil {
		return gnet.Close
	}
	if _, err := c.Write(buf); err != nil {
		return gnet.Close
	}
	return gnet.None
}

// silence keeps gnet's log out of the standard output, where answers go.
type silence struct{}

func (silence) Debugf(string, ...any) {}
func (silence) Infof(string, ...any)  {}
func (silence) Warnf(string, ...any)  {}
func (silence) Errorf(string, ...any) {}
func (silence) Fatalf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}

func serveGnet(ready func(string, *rio.Ring)) error {
	err := gnet.Run(&gnetEcho{ready: ready}, "tcp://127.0.0.1:0",
		gnet.WithNumEventLoop(runtime.GOMAXPROCS(0)), gnet.WithTCPNoDelay(gnet.TCPNoDelay),
		gnet.WithLogger(silence{}))
	if err == nil {
		err = errors.New("gnet has ended")
	}
	return err
}

// ServerStats are what a server in Go tells about itself.
type ServerStats struct {
	Enters, Mallocs uint64
	Heap, Stack     uint64 // bytes in use
}

// serve is the part of a server process: it prints the server's address, and answers each line of its input, until
// that ends.
func serve(args []string) error {
	if len(args) != 1 || echoServers[args[0]] == nil {
		return errors.New("usage: bench serve net|rio|gnet|'rio Serve'")
	}
	var ring atomic.Pointer[rio.Ring]
	failed := make(chan error, 1)
	go func() {
		failed <- echoServers[args[0]](func(addr string, r *rio.Ring) {
			ring.Store(r)
			fmt.Println(addr)
		})
	}()
	asked := make(chan error, 1)
	go func() { asked <- answer(os.Stdin, os.Stdout, &ring) }()
	select {
	case err := <-failed:
		return err
	case err := <-asked:
		return err
	}
}

// answer says "stats" at once, and "memory" after it has collected the garbage and given free memory back.
func answer(in io.Reader, out io.Writer, ring *atomic.Pointer[rio.Ring]) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if strings.TrimSpace(lines.Text()) == "memory" {
			runtime.GC() // twice: what has a finalizer goes with the second
			debug.FreeOSMemory()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		err := json.NewEncoder(out).Encode(ServerStats{
			Enters: ring.Load().Stats().Enters, Mallocs: m.Mallocs, Heap: m.HeapInuse, Stack: m.StackInuse,
		})
		if err != nil {
			return err
		}
	}
	return lines.Err()
}
