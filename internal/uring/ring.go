package uring

import (
	"os"
	"time"
)

// A Config says what Open should ask the kernel for.
type Config struct {
	Entries   uint32
	CQEntries uint32 // 0: twice Entries
	Flags     uint32 // IORING_SETUP_*
	PollCPU   int    // with IORING_SETUP_SQ_AFF
	PollIdle  time.Duration
	Wait      time.Duration // how long Ring.Wait may block
	Files     int           // size of the table of registered files
	Event     *os.File      // an eventfd to share with another ring, whose it stays; nil: one of its own
}

// A Ring is one kernel ring: its queues and its descriptors. Enter and register are for any goroutine; the queues have
// their own rules.
type Ring struct {
	SQ SQ
	CQ CQ

	// Event is the eventfd that is registered for completions, on the netpoller. It is the caller's to read.
	Event *os.File
	// Flags are the IORING_SETUP_* flags that the kernel took.
	Flags uint32
	// Files is how many places the table of registered files has; 0 if there is none.
	Files int
	// Waited is how long Open has waited for memory.
	Waited time.Duration

	fd          int
	rings, sqes []byte // the mappings
	pins        Pins
	shares      bool // Event is another ring's
	arg         *geteventsArg
}

// Links reports whether a chain survives a bad SQE in front of it (IORING_SETUP_SUBMIT_ALL): without that an enter may
// stop in the middle of a batch, and with it end a chain.
func (r *Ring) Links() bool { return r.Flags&SetupSubmitAll != 0 }
