package main

import (
	"errors"
	"runtime"
	"strconv"
	"strings"
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

	exempt        bool // from the sysctl at 1
	asked, probed bool // whether the kernel said what it can
}

// unknown is what could not be found out.
const unknown = "unknown"

// An ability is something that a kernel has or lacks.
type ability struct {
	Name    string `json:"name"`
	Number  int    `json:"number"`
	Have    bool   `json:"have"`
	Use     string `json:"use,omitempty"`     // what the library does with it
	Without string `json:"without,omitempty"` // and what if it isn't there
}

// examine looks at everything.
func examine(path string) *report {
	r := &report{OS: runtime.GOOS}
	r.limits()
	err := r.rings()
	r.Works = err == nil
	if err != nil {
		r.Cause = strings.TrimPrefix(err.Error(), "rio: ")
		r.Advice = r.advise(err)
	}
	r.backend()
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

// rings opens one as New does and one as Serve does, and asks the kernel what it has. It returns why New fails, with
// io_uring.
func (r *report) rings() error {
	k, err := uring.Open(uring.Config{Entries: 8, Files: 8, Wait: time.Millisecond})
	if err == nil {
		r.Restricted = k.Restricted
		k.Close()
	}
	r.abilities()
	if err == nil {
		r.loop()
	}
	return err
}

// loop opens what a loop of Listener.Serve has.
func (r *report) loop() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l, err := uring.OpenLoop(8, 64, time.Millisecond, false, false, nil)
	if err != nil {
		r.Loop = "can't be: " + err.Error()
		return
	}
	defer l.Close()
	switch {
	case l.Flags&uring.SetupDeferTaskrun != 0:
		r.Loop = "completions stay on their thread"
	case l.Flags&uring.SetupCoopTaskrun != 0:
		r.Loop = "completions wait for their thread"
	default:
		r.Loop = "completions interrupt their thread"
	}
	if b, err := l.Buffers(0, 8, 4096); err == nil {
		b.Close(l)
		r.Loop += ", an idle connection has no buffer"
	} else {
		r.Loop += ", each connection has a buffer"
	}
}

// backend is what New(nil) chooses.
func (r *report) backend() {
	ring, err := rio.New(nil)
	if err != nil {
		r.Backend, r.Because = "none", err.Error()
		return
	}
	defer ring.Close()
	b, because := ring.Backend()
	r.Backend, r.Because = b.String(), because
}

// forbidden reports whether err says that somebody doesn't want there to be rings.
func forbidden(err error) bool {
	return errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES)
}
