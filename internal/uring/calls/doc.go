// Package calls does what a Request asks for with plain system calls, where io_uring doesn't: for package threads, and for
// descriptors of the process on a simulated kernel.
package calls

// Progress is how far a Request has come that has to wait in between.
type Progress struct {
	Done    int32 // bytes
	Started bool  // a connect
}
