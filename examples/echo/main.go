// Echo is a TCP server that sends back what it receives.
//
// It shows Accept, and a goroutine for each connection that reads and writes it as a net.Conn: an idle one takes no place of
// the ring (Stats.Capacity), as a Recv in flight would. A context ends all of them, so SIGINT leaves nothing to clean up by
// force: WaitContext has the Accept cancelled in the kernel, and whoever reads is woken by Close.
//
//	go run ./examples/echo [-addr 127.0.0.1:7777]
//	nc 127.0.0.1 7777
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "echo:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, which is no error, and returns when the last connection is closed.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("echo", flag.ExitOnError)
	addr := flags.String("addr", "127.0.0.1:7777", "where to listen; port 0 takes a free one")
	flags.Parse(args)
	if flags.NArg() > 0 {
		return fmt.Errorf("%q: there are no arguments but flags; -addr says where to listen", flags.Arg(0))
	}

	ring, err := rio.New(nil)
	if err != nil {
		return err
	}
	defer ring.Close()
	listener, err := ring.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	defer listener.Close()
	fmt.Fprintln(stdout, "listening on", listener.Addr())

	logger := log.New(stderr, "echo: ", 0)
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		conn, err := ring.Accept(listener).WaitContext(ctx)
		var errno syscall.Errno
		switch {
		case err == nil:
			conns.Go(func() {
				defer conn.Close()
				if err := serve(ctx, conn); err != nil && ctx.Err() == nil {
					logger.Printf("%v: %v", conn.RemoteAddr(), err)
				}
			})
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &errno) && errno.Temporary():
			// The client left before it was its turn, or there are no descriptors: no reason to leave the others.
			logger.Print(err)
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
		default:
			return err
		}
	}
}

// serve sends back what conn receives until the client has sent everything, or ctx ends.
func serve(ctx context.Context, conn *rio.Conn) error {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	buf := make([]byte, 32<<10)
	for {
		n, err := conn.Read(buf)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := conn.Write(buf[:n]); err != nil {
			return err
		}
	}
}
