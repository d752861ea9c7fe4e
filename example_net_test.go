package rio_test

import (
	"context"
	"expvar"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/seed-9c58b644/rio"
)

// Existing servers and clients run on a Ring: what they need is a net.Listener and a function that dials.
func ExampleRing_Listen() {
	ring, err := rio.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()

	listener, err := ring.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		fmt.Fprintf(w, "you asked for %s", req.URL.Path)
	})}
	go server.Serve(listener)
	defer server.Close()

	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return ring.Dial(ctx, network, address)
		},
	}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://" + listener.Addr().String() + "/tea")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(string(body), err)
	// Output: you asked for /tea <nil>
}

func ExampleListener_Conns() {
	ring, err := rio.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()
	listener, err := ring.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	go greet(listener.Addr())

	for conn, err := range listener.Conns(context.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		for piece, err := range conn.Received(context.Background()) {
			if err != nil {
				log.Fatal(err)
			}
			fmt.Printf("%s", piece)
		}
		conn.Close()
		break // nothing is left in the kernel
	}
	// Output: hello
}

// greet says hello, and goes.
func greet(addr net.Addr) {
	conn, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprintln(conn, "hello")
	conn.Close()
}

func ExampleRing_FS() {
	ring, err := rio.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()
	dir, err := os.MkdirTemp("", "rio")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "page"), []byte("read by the ring"), 0o600); err != nil {
		log.Fatal(err)
	}

	root, err := os.OpenRoot(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer root.Close()
	file, err := ring.FS(root).Open("page") // or http.FileServerFS(ring.FS(root))
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	text, err := io.ReadAll(file)
	fmt.Println(string(text), err)
	// Output: read by the ring <nil>
}

func ExampleRing_Stats() {
	ring, err := rio.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()
	expvar.Publish("rio", expvar.Func(func() any { return ring.Stats() }))

	ring.Nop().Wait()
	fmt.Println(expvar.Get("rio"))
	// Output: {"InFlight":0,"Capacity":512,"Started":1,"Completed":1,"Enters":1,"Submitted":1,"Waits":0,"Overflows":0}
}
