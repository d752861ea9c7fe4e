package raftwal

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

var _ raft.StreamLayer = (*StreamLayer)(nil)

func TestNodesTalkOverTheRing(t *testing.T) {
	ring := newRing(t)
	layer, err := Listen(ring, "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer layer.Close()
	received := make(chan string)
	go func() {
		conn, err := layer.Accept()
		if err != nil {
			t.Error(err)
			close(received)
			return
		}
		all, err := io.ReadAll(conn)
		if err != nil {
			t.Error(err)
		}
		conn.Close()
		received <- string(all)
	}()
	before := ring.Stats()
	conn, err := layer.Dial(raft.ServerAddress(layer.Addr().String()), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if conn.RemoteAddr().String() != layer.Addr().String() {
		t.Errorf("connected to %v, not to %v", conn.RemoteAddr(), layer.Addr())
	}
	if _, err := conn.Write([]byte("append entries")); err != nil {
		t.Error(err)
	}
	conn.Close()
	if got := <-received; got != "append entries" {
		t.Errorf("received %q", got)
	}
	if done := ring.Stats().Completed - before.Completed; done == 0 {
		t.Error("the ring has done nothing")
	}
}

func TestAdvertisedAddressIsOneToDial(t *testing.T) {
	ring := newRing(t)
	for _, address := range []string{"0.0.0.0:0", "[::]:0"} {
		if layer, err := Listen(ring, address, nil); layer != nil || err == nil || !strings.Contains(err.Error(), "no other node") {
			t.Errorf("Listen on %s: %v, %v", address, layer, err)
		}
	}
	for _, advertise := range []net.Addr{&net.TCPAddr{Port: 7000}, (*net.TCPAddr)(nil), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7000}} {
		if layer, err := Listen(ring, "127.0.0.1:0", advertise); layer != nil || err == nil || !strings.Contains(err.Error(), "no other node") {
			t.Errorf("Listen as %v: %v, %v", advertise, layer, err)
		}
	}
	public := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 7000}
	layer, err := Listen(ring, "0.0.0.0:0", public)
	if err != nil {
		t.Fatal(err)
	}
	defer layer.Close()
	if layer.Addr() != net.Addr(public) {
		t.Errorf("the address is %v", layer.Addr())
	}
}

func TestDialGivesUp(t *testing.T) {
	ring := newRing(t)
	layer, err := Listen(ring, "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	address := raft.ServerAddress(layer.Addr().String())
	conn, err := layer.Dial(address, 1) // a nanosecond
	var timeout net.Error
	if conn != nil || !errors.As(err, &timeout) || !timeout.Timeout() && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Dial with no time: %v, %v", conn, err)
	}
	layer.Close()
	if conn, err := layer.Dial(address, 0); conn != nil || err == nil {
		t.Errorf("Dial of nobody: %v, %v", conn, err)
	}
	if conn, err := layer.Accept(); conn != nil || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v, %v", conn, err)
	}
}
