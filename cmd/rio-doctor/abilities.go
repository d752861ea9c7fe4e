package main

import (
	"errors"
	"strings"
	"syscall"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// features are the IORING_FEAT_* bits, by number.
var features = []struct{ name, use, without string }{
	0:  {"SINGLE_MMAP", "required", ""},
	1:  {"NODROP", "required: no completion is lost", ""},
	2:  {"SUBMIT_STABLE", "required", ""},
	3:  {"RW_CUR_POS", "reads and writes at a file's position", ""},
	4:  {"CUR_PERSONALITY", "a request has the rights of who submits it", ""},
	5:  {"FAST_POLL", "what isn't ready needs no thread", ""},
	6:  {"POLL_32BITS", "", ""},
	7:  {"SQPOLL_NONFIXED", "SQPoll with any file", ""},
	8:  {"EXT_ARG", "required: waiting with a limit", ""},
	9:  {"NATIVE_WORKERS", "", ""},
	10: {"RSRC_TAGS", "", ""},
	11: {"CQE_SKIP", "", ""},
	12: {"LINKED_FILE", "", ""},
	13: {"REG_REG_RING", "", ""},
	14: {"RECVSEND_BUNDLE", "", ""},
	15: {"MIN_TIMEOUT", "", ""},
	16: {"RW_ATTR", "", ""},
	17: {"NO_IOWAIT", "", ""},
}

// setups are the IORING_SETUP_* flags that can be tried, and with which others.
var setups = []struct {
	name         string
	number       int
	flags        uint32
	use, without string
}{
	{"IOPOLL", 0, uring.SetupIOPoll, "Config.IOPoll", "New with IOPoll fails"},
	{"SQPOLL", 1, uring.SetupSQPoll, "Config.SQPoll", "New with SQPoll fails"},
	{"CLAMP", 4, uring.SetupClamp, "", ""},
	{"R_DISABLED", 6, uring.SetupRDisabled, "rings are restricted to the opcodes below", "they can do whatever the kernel can"},
	{"SUBMIT_ALL", 7, uring.SetupSubmitAll, "Link and Chain are the kernel's", "linked operations go one by one"},
	{"COOP_TASKRUN", 8, uring.SetupCoopTaskrun, "New with one P; Serve, where there is no DEFER_TASKRUN", "completions interrupt threads"},
	{"TASKRUN_FLAG", 9, uring.SetupCoopTaskrun | uring.SetupTaskrunFlag, "", ""},
	{"SQE128", 10, uring.SetupSQE128, "", ""},
	{"CQE32", 11, uring.SetupCQE32, "", ""},
	{"SINGLE_ISSUER", 12, uring.SetupSingleIssuer, "Serve", ""},
	{"DEFER_TASKRUN", 13, uring.SetupSingleIssuer | uring.SetupDeferTaskrun, "Serve: completions stay on their thread", "COOP_TASKRUN"},
	{"NO_SQARRAY", 16, uring.SetupNoSQArray, "one indirection less", "one more"},
	{"HYBRID_IOPOLL", 17, uring.SetupIOPoll | uring.SetupHybridIOPoll, "", ""},
	{"CQE_MIXED", 18, uring.SetupCQEMixed, "", ""},
	{"SQE_MIXED", 19, uring.SetupSQEMixed, "", ""},
	{"SQ_REWIND", 20, uring.SetupNoSQArray | uring.SetupSQRewind, "", ""},
}

// abilities asks the kernel what it has. Where it isn't allowed to answer, that stays unknown.
func (r *report) abilities() {
	bits, none := uring.TrySetup(0)
	for i, f := range features {
		r.Features = append(r.Features, ability{f.name, i, bits&(1<<i) != 0, why(none), f.use, f.without})
	}
	for _, s := range setups {
		err := none
		if none == nil {
			_, err = uring.TrySetup(s.flags)
		}
		a := ability{Name: s.name, Number: s.number, Use: s.use, Without: s.without}
		a.Have, a.Unknown = answered(err)
		r.Setup = append(r.Setup, a)
	}
	known, err := uring.Supported()
	for _, have := range known {
		if have {
			r.Others++
		}
	}
	for _, o := range uring.Operations {
		if known[o.Op] {
			r.Others--
		}
		r.Opcodes = append(r.Opcodes, ability{o.Name, int(o.Op), known[o.Op], why(err), o.Use, "such an operation ends with EINVAL"})
	}
}

// answered is what the kernel's answer to a flag says of it: only EINVAL is a no. Memory, descriptors or rights that there
// are too few of are something else.
func answered(err error) (have bool, unknown string) {
	if err == nil || errors.Is(err, syscall.EINVAL) {
		return err == nil, ""
	}
	return false, why(err)
}

// why is what err says; "" if it is none.
func why(err error) string {
	if err == nil {
		return ""
	}
	return strings.TrimPrefix(err.Error(), "rio: ")
}
