package raftwal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/raft"
	"github.com/seed-9c58b644/rio"
)

// A StreamLayer is a raft.StreamLayer: the connections between nodes, over TCP, on a ring.
type StreamLayer struct {
	*rio.Listener
	ring      *rio.Ring
	advertise net.Addr
}

// Listen returns a StreamLayer that listens on address, as net.Listen does with "tcp". The other nodes know it as
// advertise; if that is nil, by the address that it listens on. That has to be a *net.TCPAddr
// with an IP, which is not that of every interface.
func Listen(ring *rio.Ring, address string, advertise net.Addr) (*StreamLayer, error) {
	l, err := ring.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	if advertise == nil {
		advertise = l.Addr()
	}
	tcp, ok := advertise.(*net.TCPAddr)
	if !ok || tcp == nil || tcp.IP == nil || tcp.IP.IsUnspecified() {
		return nil, errors.Join(fmt.Errorf("raftwal: no other node can dial %v (%T)", advertise, advertise), l.Close())
	}
	return &StreamLayer{l, ring, advertise}, nil
}

// Addr is the address that other nodes know this one by.
func (s *StreamLayer) Addr() net.Addr { return s.advertise }

// Dial connects to another node. A timeout of 0 is none.
func (s *StreamLayer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx := context.Background()
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	conn, err := s.ring.Dial(ctx, "tcp", string(address))
	if err != nil {
		return nil, err // and not a *rio.Conn that is nil
	}
	return conn, nil
}
