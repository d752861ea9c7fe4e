// Package faults has tests that hurt: each injects a fault that real machines have, with strace, seccomp, full and failing
// disks, FUSE, limits, signals and dead peers, and looks at what becomes of the operations under it. What comes out at the
// end of a run is a table:
//
//	go test ./...                  # everything, some minutes; README.md says which test injects what
//	go test -short ./...           # below two minutes
//	go test -long ./...            # the long forms
//
// Most of it needs root and the programs that setup.sh installs; what can't run is skipped, with the reason.
package faults
