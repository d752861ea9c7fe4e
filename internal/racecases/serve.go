package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/seed-9c58b644/rio"
)

// A handler sets a variable, and answers; its client gets the answer, and reads the variable. Package net makes an edge
// of that, so here it has to be one too, whichever end is whose.

// A peer is one end of a connection.
type peer struct {
	send func(p []byte) error
	recv func(p []byte) error // all of p
	io.Closer
}

func byMethods(c net.Conn) peer {
	return peer{
		func(p []byte) error { _, err := c.Write(p); return err },
		func(p []byte) error { _, err := io.ReadFull(c, p); return err },
		c,
	}
}

func byOperations(ring *rio.Ring, c net.Conn) peer {
	return peer{
		func(p []byte) error { return transferred(ring.Send(c, p), len(p)) },
		func(p []byte) error { return transferred(ring.Recv(c, p), len(p)) },
		c,
	}
}

func exchange(server, client peer) error {
	var request, answer int // no lock: the messages say who may use them
	served := make(chan error, 1)
	go func() {
		defer server.Close()
		p := make([]byte, 1)
		for range 30 {
			if err := server.recv(p); err != nil {
				served <- err
				return
			}
			if request != int(p[0]) {
				served <- fmt.Errorf("the server sees request %d, not %d", request, p[0])
				return
			}
			answer = 2 * request
			if err := server.send(p); err != nil {
				served <- err
				return
			}
		}
		served <- nil
	}()
	defer client.Close()
	p := make([]byte, 1)
	for i := range 30 {
		request = i
		p[0] = byte(i)
		if err := client.send(p); err != nil {
			return err
		}
		p[0] = 255
		if err := client.recv(p); err != nil {
			return errors.Join(err, <-served)
		}
		if answer != 2*i || p[0] != byte(i) {
			return fmt.Errorf("the client sees answer %d to %d", answer, i)
		}
	}
	return <-served
}

// rioListens returns a connection that ring has accepted, and the client's end.
func rioListens(ring *rio.Ring, dial func(network, address string) (net.Conn, error)) (server *rio.Conn, client net.Conn, err error) {
	l, err := ring.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	accepting := ring.Accept(l)
	if client, err = dial("tcp", l.Addr().String()); err != nil {
		return nil, nil, err
	}
	server, err = await(accepting)
	return server, client, err
}

func rioDials(ring *rio.Ring) func(network, address string) (net.Conn, error) {
	return func(network, address string) (net.Conn, error) {
		return ring.Dial(context.Background(), network, address)
	}
}

func rioServesRio(ring *rio.Ring) error {
	server, client, err := rioListens(ring, rioDials(ring))
	if err != nil {
		return err
	}
	return exchange(byMethods(server), byMethods(client))
}

func rioServesRioByOperations(ring *rio.Ring) error {
	server, client, err := rioListens(ring, rioDials(ring))
	if err != nil {
		return err
	}
	return exchange(byOperations(ring, server), byOperations(ring, client))
}

func rioServesNet(ring *rio.Ring) error {
	server, client, err := rioListens(ring, net.Dial)
	if err != nil {
		return err
	}
	return exchange(byMethods(server), byMethods(client))
}

func rioServesNetByOperations(ring *rio.Ring) error {
	server, client, err := rioListens(ring, net.Dial)
	if err != nil {
		return err
	}
	return exchange(byOperations(ring, server), byMethods(client))
}

// netListens returns a connection that package net has accepted, and ring's end.
func netListens(ring *rio.Ring) (server net.Conn, client *rio.Conn, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	if client, err = ring.Dial(context.Background(), "tcp", l.Addr().String()); err != nil {
		return nil, nil, err
	}
	server, err = l.Accept()
	return server, client, err
}

func netServesRio(ring *rio.Ring) error {
	server, client, err := netListens(ring)
	if err != nil {
		return err
	}
	return exchange(byMethods(server), byMethods(client))
}

func netServesRioByOperations(ring *rio.Ring) error {
	server, client, err := netListens(ring)
	if err != nil {
		return err
	}
	return exchange(byMethods(server), byOperations(ring, client))
}

func echoOfManyConnections(ring *rio.Ring) error {
	return each(8, func(g int) error {
		server, client, err := rioListens(ring, rioDials(ring))
		if err != nil {
			return err
		}
		if g%2 == 0 {
			return exchange(byOperations(ring, server), byMethods(client))
		}
		return exchange(byMethods(server), byOperations(ring, client))
	})
}
