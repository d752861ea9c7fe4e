package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/seed-9c58b644/rio"
	"github.com/seed-9c58b644/rio/internal/uring"
)

// A report is what there is to be said of a machine.
type report struct {
	Works   bool     `json:"works"`
	Cause   string   `json:"cause,omitempty"` // why not
	Advice  []string `json:"advice,omitempty"`
	Backend string   `json:"backend,omitempty"`
	Because string   `json:"because,omitempty"`

	OS       string `json:"os"`
	Kernel   string `json:"kernel,omitempty"`
	Disabled string `json:"io_uring_disabled,omitempty"` // the sysctl; "" if this kernel doesn't have it, or unknown
	Group    string `json:"io_uring_group,omitempty"`
	Seccomp  string `json:"seccomp,omitempty"` // none, strict, filter
	Memlock  string `json:"memlock,omitempty"`
	Files    string `json:"files,omitempty"`

	Restricted bool      `json:"restricted"` // a Ring can do only what the library uses
	Loop       string    `json:"loop,omitempty"`
	Features   []ability `json:"features,omitempty"`
	Setup      []ability `json:"setup,omitempty"`
	Opcodes    []ability `json:"opcodes,omitempty"`
	Others     int       `json:"other_opcodes,omitempty"` // that the kernel knows and the library doesn't use
	Disk       *disk     `json:"disk,omitempty"`
	Speed      []speed   `json:"speed,omitempty"`
	Unmeasured string    `json:"unmeasured,omitempty"` // why not

	exempt bool // from the sysctl at 1
}

// unknown is what could not be found out.
const unknown = "unknown"

// An ability is something that a kernel has or lacks.
type ability struct {
	Name    string `json:"name"`
	Number  int    `json:"number"`
	Have    bool   `json:"have"`
	Unknown string `json:"unknown,omitempty"` // why that isn't known
	Use     string `json:"use,omitempty"`     // what the library does with it
	Without string `json:"without,omitempty"` // and what if it isn't there
}

// examine looks at everything.
func examine(path string) *report {
	r := &report{OS: runtime.GOOS}
	r.limits()
	if call := r.killer(); call != "" {
		r.killed(call)
	} else if err := r.rings(); err != nil {
		r.Cause = why(err)
		r.Advice = r.advise(err)
	} else {
		r.Works = true
	}
	r.Disk = examineDisk(path)
	r.measure()
	return r
}

// limits is what forbids or limits rings, as far as one can ask.
func (r *report) limits() {
	r.Kernel, _ = uring.Release()
	var seen bool
	if r.Disabled, r.Group, seen = uring.Disabled(); !seen {
		r.Disabled = unknown
	}
	r.exempt = uring.Exempt(r.Group)
	r.Seccomp = uring.Seccomp()
	r.Memlock = amount(uring.LockedMemory())
	r.Files = amount(uring.Descriptors())
}

// amount is a limit in words.
func amount(n uint64, limited bool, err error) string {
	switch {
	case err != nil:
		return ""
	case !limited:
		return "unlimited"
	}
	return strconv.FormatUint(n, 10)
}

// What the library itself asks for: smaller rings can be had where these can't.
const (
	entries, cqEntries         = 256, 512   // New(nil)
	loopEntries, loopCQEntries = 1024, 4096 // Serve, for each loop
	loopBuffers, loopBuffer    = 512, 4096
)

// rings opens one as New does and New's own, those of Serve beside it, and asks the kernel what it has. It returns why New
// has no io_uring.
func (r *report) rings() error {
	k, err := uring.Open(uring.Config{Entries: entries, CQEntries: cqEntries, Files: cqEntries, Wait: time.Millisecond})
	if err == nil {
		r.Restricted = k.Restricted
		k.Close()
	}
	if e := r.backend(err == nil); err == nil {
		err = e
	}
	r.abilities()
	return err
}

// backend is what New(nil) chooses. It returns why that isn't io_uring, though nobody has asked for threads. With serve,
// Serve's rings are tried while New's is there.
func (r *report) backend(serve bool) error {
	ring, err := rio.New(nil)
	if err != nil {
		r.Backend, r.Because = "none", err.Error()
		return err
	}
	defer ring.Close()
	b, because := ring.Backend()
	r.Backend, r.Because = b.String(), because
	if b != rio.IOUring && os.Getenv("RIO_BACKEND") != rio.Threads.String() {
		return errors.New(because)
	}
	if serve {
		r.loops()
	}
	return nil
}

// loops opens what the loops of Listener.Serve have, all at once.
func (r *report) loops() {
	type answer struct {
		says string
		err  error
	}
	n := (runtime.GOMAXPROCS(0) + 1) / 2
	answers, seen := make(chan answer), make(chan struct{})
	var over sync.WaitGroup
	for range n {
		over.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			says, end, err := loop()
			answers <- answer{says, err}
			<-seen
			end()
		})
	}
	for range n {
		a := <-answers
		if a.err != nil {
			a.says = fmt.Sprintf("can't be, as it wants rings of its own (%d, of %d entries): %s", n, loopEntries, why(a.err))
			r.Advice = r.advise(a.err)
		}
		if a.err != nil || r.Loop == "" {
			r.Loop = a.says
		}
	}
	close(seen)
	over.Wait()
}

// loop opens what one has. Memory that the rings before have given back may be counted for a while yet.
func loop() (says string, end func(), err error) {
	w, err := uring.NewWaker(false)
	if err != nil {
		return "", func() {}, err
	}
	var l *uring.Loop
	for wait := time.Millisecond; ; wait *= 2 {
		l, err = uring.OpenLoop(loopEntries, loopCQEntries, false, false, nil)
		if !errors.Is(err, syscall.ENOMEM) || wait > 100*time.Millisecond {
			break
		}
		time.Sleep(wait)
	}
	if err != nil {
		return "", w.Close, err
	}
	switch {
	case l.Flags&uring.SetupDeferTaskrun != 0:
		says = "completions stay on their thread"
	case l.Flags&uring.SetupCoopTaskrun != 0:
		says = "completions wait for their thread"
	default:
		says = "completions interrupt their thread"
	}
	if b, err := l.Buffers(0, loopBuffers, loopBuffer); err == nil {
		b.Close(l)
		says += ", an idle connection has no buffer"
	} else {
		says += ", each connection has a buffer"
	}
	return says, func() { l.Close(); w.Close() }, nil
}

// forbidden reports whether err says that somebody doesn't want there to be rings.
func forbidden(err error) bool {
	return errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES)
}
