package raft

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/seed-9c58b644/rio/conformance/suite"
	"github.com/seed-9c58b644/rio/raftwal"
)

// nodeDir names the directory of the node that this process is to be, if it is a child of the test.
const nodeDir = "RIO_CONFORMANCE_NODE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(nodeDir); dir != "" {
		if err := node(dir, os.Args[1]); err != nil {
			log.Fatal(os.Args[1], ": ", err)
		}
		return
	}
	os.Exit(m.Run())
}

// node is one node of the cluster: a process of its own, because it is to be killed. It is told what to do on its
// standard input, a line each, and answers on its standard output:
//
//	peers n1 127.0.0.1:1111 n2 ...   where the others are now
//	bootstrap n1 n2 ...              (nothing)
//	apply DATA                       applied INDEX DATA, or failed DATA: once the cluster has it
//	dump INDEX                       entry DATA ..., end: all that was applied, as soon as INDEX was
//	stats                            stats COMPLETED SUBMITTED
//
// Unasked it says where it listens, "listens ADDRESS", and when it becomes the leader, "leads". It ends with its input.
func node(dir, id string) error {
	ring := suite.Ring()
	logger := hclog.New(&hclog.LoggerOptions{Name: id, Level: hclog.Warn, Output: os.Stderr})
	store, err := wal.Open(dir, wal.WithSegmentFiler(segment.NewFiler(dir, raftwal.New(ring))),
		wal.WithSegmentSize(64<<10), wal.WithLogger(logger)) // small: there are to be many
	if err != nil {
		return err
	}
	layer, err := raftwal.Listen(ring, "127.0.0.1:0", nil)
	if err != nil {
		return err
	}
	n := &member{applied: sync.NewCond(new(sync.Mutex)), peers: make(map[raft.ServerID]raft.ServerAddress)}
	transport := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: layer, MaxPool: 3, Timeout: 5 * time.Second, ServerAddressProvider: n, Logger: logger,
	})
	config := raft.DefaultConfig()
	config.LocalID, config.Logger = raft.ServerID(id), logger
	config.HeartbeatTimeout, config.ElectionTimeout, config.LeaderLeaseTimeout = time.Second, time.Second, time.Second/2
	config.SnapshotThreshold = 1 << 62 // the log is what is tested
	snapshots := raft.NewDiscardSnapshotStore()
	n.raft, err = raft.NewRaft(config, n, store, store, snapshots, transport)
	if err != nil {
		return err
	}
	n.say("listens %s", layer.Addr())
	go func() {
		for leads := range n.raft.LeaderCh() {
			if leads {
				n.say("leads")
			}
		}
	}()
	for lines := bufio.NewReader(os.Stdin); ; {
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		args := strings.Fields(rest)
		switch verb {
		case "peers":
			n.locked(func() {
				for i := 0; i < len(args); i += 2 {
					n.peers[raft.ServerID(args[i])] = raft.ServerAddress(args[i+1])
				}
			})
		case "bootstrap":
			var all raft.Configuration
			for _, id := range args {
				all.Servers = append(all.Servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
			}
			if err := n.raft.BootstrapCluster(all).Error(); err != nil {
				return err
			}
		case "apply":
			future := n.raft.Apply([]byte(rest), time.Minute)
			go func() {
				if err := future.Error(); err != nil {
					n.say("failed %s", rest)
					return
				}
				n.say("applied %d %s", future.Index(), rest)
			}()
		case "dump":
			go n.dump(rest)
		case "stats":
			s := ring.Stats()
			n.say("stats %d %d", s.Completed, s.Submitted)
		default:
			return errors.New("don't understand: " + line)
		}
	}
}

// A member is a node's state: its raft.FSM, and where the others are.
type member struct {
	raft *raft.Raft
	out  sync.Mutex // one line at a time

	applied *sync.Cond // and the lock for what follows
	last    uint64
	entries []string
	peers   map[raft.ServerID]raft.ServerAddress
}

func (n *member) locked(do func()) {
	n.applied.L.Lock()
	defer n.applied.L.Unlock()
	do()
}

func (n *member) say(format string, args ...any) {
	n.out.Lock()
	defer n.out.Unlock()
	fmt.Printf(format+"\n", args...)
}

// ServerAddr says where a node is that may have been killed, and come back elsewhere.
func (n *member) ServerAddr(id raft.ServerID) (address raft.ServerAddress, err error) {
	n.locked(func() { address = n.peers[id] })
	if address == "" {
		return "", fmt.Errorf("nobody knows where %s is", id)
	}
	return address, nil
}

func (n *member) dump(index string) {
	var at uint64
	fmt.Sscan(index, &at)
	n.applied.L.Lock()
	for n.last < at {
		n.applied.Wait()
	}
	entries := n.entries[:len(n.entries):len(n.entries)]
	n.applied.L.Unlock()
	for _, entry := range entries {
		n.say("entry %s", entry)
	}
	n.say("end")
}

func (n *member) Apply(l *raft.Log) any {
	n.locked(func() {
		n.last = l.Index
		n.entries = append(n.entries, string(l.Data))
	})
	n.applied.Broadcast()
	return nil
}

func (n *member) Snapshot() (raft.FSMSnapshot, error) { return nil, errors.New("none are made") }
func (n *member) Restore(io.ReadCloser) error         { return errors.New("none are made") }
