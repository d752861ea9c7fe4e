package raft

import (
	"flag"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/seed-9c58b644/rio/conformance/suite"
)

var kills = flag.Int("kills", 0, "how many leaders are killed; 0 means 5, with -short 2")

// What is known of the entries that the test has made.
type record struct {
	*cluster
	made    int
	flying  int            // with the leader, unanswered
	applied map[string]int // acknowledged; how often, which must be once
	leader  *process
}

// entry makes a new one. It says itself whether it is whole, and its length is anything up to 2 KB.
func (r *record) entry() string {
	r.made++
	filler := strings.Repeat(string(rune('a'+r.made%26)), r.made*7919%2000)
	return fmt.Sprintf("%d-%s-%08x", r.made, filler, crc32.ChecksumIEEE([]byte(filler)))
}

// note keeps account of what the nodes say.
func (r *record) note(l line) {
	switch l.verb {
	case "leads":
		r.leader, r.flying = l.from, 0
	case "applied":
		_, entry, _ := strings.Cut(l.rest, " ")
		r.applied[entry]++
		fallthrough
	case "failed":
		if l.from == r.leader {
			r.flying--
		}
	}
}

// apply has the leader apply entries, up to 64 at a time, until n more have been acknowledged.
func (r *record) apply(n int) {
	r.t.Helper()
	r.step()
	for n += len(r.applied); ; {
		if r.leader != nil && r.leader.alive {
			for ; r.flying < 64; r.flying++ {
				r.tell(r.leader, "apply "+r.entry())
			}
		}
		before := len(r.applied)
		r.wait("entry applied", func(l line) bool {
			return len(r.applied) > before || l.verb == "leads" || l.verb == "failed"
		})
		if len(r.applied) >= n {
			return
		}
	}
}

// What a cluster has acknowledged stays, however often its leader is killed while entries are on their way.
func TestKilledLeadersLoseNothingAcknowledged(t *testing.T) {
	suite.Require(t)
	rounds := *kills
	switch {
	case rounds == 0 && testing.Short():
		rounds = 2
	case rounds == 0:
		rounds = 5
	}
	r := &record{applied: make(map[string]int)}
	r.cluster = newCluster(t, r.note, "n1", "n2", "n3")
	var terms []string
	for range rounds {
		r.apply(300)
		old := r.leader
		terms = append(terms, old.id)
		r.wantWork(old)
		r.kill(old)
		if r.leader == old {
			r.leader = nil
		}
		r.apply(300) // by the two that are left, under another leader
		if r.leader == old {
			t.Fatalf("%s still leads", old.id)
		}
		r.start(old.id, old.dir) // with what it finds on its disk
		r.introduce()
	}
	r.apply(100)
	r.wantAllEverywhere()
	t.Logf("%d entries made, %d acknowledged; the leaders killed: %s", r.made, len(r.applied), strings.Join(terms, ", "))
}

// wantWork fails the test unless the node's log and connections are on its ring.
func (r *record) wantWork(p *process) {
	r.t.Helper()
	r.step()
	r.tell(p, "stats")
	r.wait("figures", func(l line) bool {
		if l.from != p || l.verb != "stats" {
			return false
		}
		var completed, submitted int
		// 300 entries, 64 at a time at most: each batch is written, synced, sent to two nodes and answered by them.
		if n, err := fmt.Sscan(l.rest, &completed, &submitted); n != 2 || completed < 50 || submitted == 0 {
			r.t.Errorf("%s: its ring has done too little: %d operations, %d requests, %v", p.id, completed, submitted, err)
		}
		return true
	})
}

// wantAllEverywhere fails the test unless every node has applied every acknowledged entry, once, in the same order, and
// has it on its disk when all of them have been killed.
func (r *record) wantAllEverywhere() {
	r.t.Helper()
	r.step()
	var index string
	for index == "" { // of an entry behind all others
		last := r.entry()
		if r.leader != nil {
			r.tell(r.leader, "apply "+last)
		}
		r.wait("last entry", func(l line) bool {
			if at, entry, _ := strings.Cut(l.rest, " "); l.verb == "applied" && entry == last {
				index = at
			}
			return index != "" || l.verb == "leads" || l.verb == "failed" && l.rest == last
		})
	}
	var first []string
	for _, p := range r.nodes {
		r.step()
		r.tell(p, "dump "+index)
		var entries []string
		r.wait("end of "+p.id, func(l line) bool {
			if l.from == p && l.verb == "entry" {
				entries = append(entries, l.rest)
			}
			return l.from == p && l.verb == "end"
		})
		r.wantAcknowledged(p.id, entries)
		if first == nil {
			first = entries
		}
		if n := min(len(first), len(entries)); !slices.Equal(first[:n], entries[:n]) {
			r.t.Errorf("%s has applied other entries, or in another order", p.id)
		}
	}
	for _, p := range r.nodes {
		r.kill(p)
		r.wantAcknowledged("the disk of "+p.id, onDisk(r.t, p.dir))
	}
}

func (r *record) wantAcknowledged(where string, entries []string) {
	r.t.Helper()
	seen := make(map[string]int)
	for _, entry := range entries {
		seen[entry]++
		if part := strings.Split(entry, "-"); len(part) != 3 || fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(part[1]))) != part[2] {
			r.t.Errorf("%s: an entry is damaged: %q", where, entry)
		}
		if seen[entry] == 2 {
			r.t.Errorf("%s: an entry is there more than once: %.20s", where, entry)
		}
	}
	for entry, times := range r.applied {
		if seen[entry] != 1 || times != 1 {
			r.t.Errorf("%s: %.20s was acknowledged %d times, and is there %d times", where, entry, times, seen[entry])
		}
	}
}

// onDisk reads a dead node's log, by the operating system's files.
func onDisk(t *testing.T, dir string) (entries []string) {
	t.Helper()
	if files := logFiles(t, dir); len(files) < 2 {
		t.Errorf("%q are too few segments to test anything", files)
	}
	log, err := wal.Open(dir, wal.WithLogger(hclog.NewNullLogger()))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	first, err := log.FirstIndex()
	if err != nil {
		t.Fatal(err)
	}
	last, err := log.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	for i := first; i <= last; i++ {
		var l raft.Log
		if err := log.GetLog(i, &l); err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
		if l.Type == raft.LogCommand {
			entries = append(entries, string(l.Data))
		}
	}
	return entries
}
