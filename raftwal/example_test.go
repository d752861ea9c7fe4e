package raftwal_test

import (
	"fmt"
	"log"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/seed-9c58b644/rio"
	"github.com/seed-9c58b644/rio/raftwal"
)

func Example() {
	dir, err := os.MkdirTemp("", "raftwal-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	ring, err := rio.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()

	files := segment.NewFiler(dir, raftwal.New(ring))
	store, err := wal.Open(dir, wal.WithSegmentFiler(files), wal.WithLogger(hclog.NewNullLogger()))
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	if err := store.StoreLog(&raft.Log{Index: 1, Term: 1, Data: []byte("x = 1")}); err != nil {
		log.Fatal(err)
	}
	var entry raft.Log
	if err := store.GetLog(1, &entry); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d: %s\n", entry.Index, entry.Data)
	// Output: 1: x = 1
}
