// Package raft holds no code but tests: raft-wal's own of its VFS, run on raftwal, and a cluster of HashiCorp's raft whose
// leaders are killed.
//
//	go test -short ./...                           2 leaders are killed
//	go test ./...                                  5
//	go test -run Leaders -kills=50 ./...
//
// raftwal itself asks for raft-wal v0.4.0. Here it is v0.4.1, whose VFS is the same: v0.4.0 seals a segment without an
// index when it takes entries back that were never acknowledged, as a leader that was killed has to when it returns, and
// can't read the segment after its next start (its issue 31).
package raft
