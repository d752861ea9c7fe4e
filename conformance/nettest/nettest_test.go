// Package nettest runs the tests of golang.org/x/net/nettest, which are for any net.Conn, on connections of a Ring.
package nettest

import (
	"context"
	"net"
	"runtime"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/seed-9c58b644/rio"
	"github.com/seed-9c58b644/rio/conformance/internal/ringtest"
)

func TestMain(m *testing.M) { ringtest.Main(m) }

// Who opens each end of a pipe.
type ends struct {
	name         string
	listen, dial bool // on the ring; or else package net does
}

var mixtures = []ends{
	{"ring", true, true},
	{"ring and net", true, false},
	{"net and ring", false, true},
}

func TestConnIsANetConn(t *testing.T) {
	rings := []struct {
		name string
		cfg  *rio.Config
	}{
		{"default ring", nil},
		{"ring of one", &rio.Config{Depth: 1}},
	}
	for _, network := range []string{"tcp", "tcp6", "unix"} {
		for _, ring := range rings {
			for _, e := range mixtures {
				t.Run(network+"/"+ring.name+"/"+e.name, func(t *testing.T) {
					r := ringtest.New(t, ring.cfg, 100)
					nettest.TestConn(t, pipes(t, r, network, e))
				})
			}
		}
	}
}

// TestConnIsANetConnOnOneP is the same where nothing runs at the same time as anything else.
func TestConnIsANetConnOnOneP(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, network := range []string{"tcp", "tcp6", "unix"} {
		t.Run(network, func(t *testing.T) {
			r := ringtest.New(t, nil, 100)
			nettest.TestConn(t, pipes(t, r, network, mixtures[0]))
		})
	}
}

// pipes makes pairs of connected connections.
func pipes(t *testing.T, r *rio.Ring, network string, e ends) nettest.MakePipe {
	address := ringtest.Address(t, network)
	var l net.Listener
	var err error
	if e.listen {
		l, err = r.Listen(network, address)
	} else {
		l, err = net.Listen(network, address)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	dial := func() (net.Conn, error) { return net.Dial(network, l.Addr().String()) }
	if e.dial {
		on := ringtest.Dialer(r, network, l.Addr().String())
		dial = func() (net.Conn, error) { return on(context.Background()) }
	}
	return func() (c1, c2 net.Conn, stop func(), err error) {
		type accepted struct {
			net.Conn
			err error
		}
		ch := make(chan accepted, 1)
		go func() {
			c, err := l.Accept()
			ch <- accepted{c, err}
		}()
		if c1, err = dial(); err != nil {
			return nil, nil, nil, err
		}
		a := <-ch
		if a.err != nil {
			c1.Close()
			return nil, nil, nil, a.err
		}
		return c1, a.Conn, func() { c1.Close(); a.Close() }, nil
	}
}
