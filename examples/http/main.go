// Http is a net/http server on a ring, which shows at /debug/rio what the ring does, live.
//
// The server is net/http's own, unchanged: all it needs is a net.Listener. See serve.
//
//	go run ./examples/http [-addr 127.0.0.1:8080]
//	curl http://127.0.0.1:8080/
//	xdg-open http://127.0.0.1:8080/debug/rio
//	curl http://127.0.0.1:8080/debug/rio.json
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "http:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, which is no error.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("http", flag.ExitOnError)
	addr := flags.String("addr", "127.0.0.1:8080", "where to listen; port 0 takes a free one")
	flags.Parse(args)
	if flags.NArg() > 0 {
		return fmt.Errorf("%q: there are no arguments but flags; -addr says where to listen", flags.Arg(0))
	}

	ring, err := rio.New(nil)
	if err != nil {
		return err
	}
	defer ring.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, req *http.Request) {
		fmt.Fprintf(w, "Hello, %s. This came over a ring; see /debug/rio.\n", req.RemoteAddr)
	})
	statistics{ring, time.Now()}.register(mux)
	return serve(ctx, ring, *addr, mux, stdout)
}

// serve is all that there is to it.
func serve(ctx context.Context, ring *rio.Ring, addr string, handler http.Handler, stdout io.Writer) error {
	listener, err := ring.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "listening on http://%v/debug/rio\n", listener.Addr())
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { server.Close() })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
