package rio_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"

	"github.com/seed-9c58b644/rio"
)

// An upper answers each connection with what it receives, in capitals.
type upper struct{}

func (upper) Data(c *rio.Stream, p []byte) {
	for i, b := range p {
		if 'a' <= b && b <= 'z' {
			p[i] = b - 'a' + 'A'
		}
	}
	c.Write(p)
}

func (upper) Closed(c *rio.Stream, err error) {}

func ExampleListener_Serve() {
	ring, err := rio.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()
	l, err := ring.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()

	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- l.Serve(ctx, &rio.Server{Open: func(*rio.Stream) rio.Handler { return upper{} }})
	}()

	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	fmt.Fprint(client, "hello")
	answer := make([]byte, 5)
	io.ReadFull(client, answer)
	fmt.Printf("%s\n", answer)
	cancel()
	fmt.Println(<-done)
	// Output:
	// HELLO
	// <nil>
}
