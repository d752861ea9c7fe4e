// Package raftwal puts HashiCorp's raft on a rio ring: the log of raft-wal by a VFS, the transport by a StreamLayer. What a
// node sends, receives and syncs at the same time goes to the kernel together, where that is cheaper than a call for each.
//
//	ring, err := rio.New(nil)
//	if err != nil {
//		return err
//	}
//	log, err := wal.Open(dir, wal.WithSegmentFiler(segment.NewFiler(dir, raftwal.New(ring))))
//	if err != nil {
//		return err
//	}
//	layer, err := raftwal.Listen(ring, "10.0.0.1:7000", nil)
//	if err != nil {
//		return err
//	}
//	transport := raft.NewNetworkTransport(layer, 3, 10*time.Second, os.Stderr)
//	node, err := raft.NewRaft(config, machine, log, log, snapshots, transport)
//
// Close the ring last. The log's directory of segments is a small bbolt file, which raft-wal keeps by itself; either is
// used alone as well. On riotest's ring, too, the log is in the process's own files, not on the
// simulated disk.
package raftwal
