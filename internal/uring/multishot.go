package uring

// Multishot reports whether r's kernel may be asked for requests that complete more than once. Whether it has them, it
// says itself (EINVAL). A Kernel in this process has accept at most.
func (r *Ring) Multishot() bool {
	k, ok := r.kernel.(Multishooter)
	return r.kernel == nil || ok && k.Multishot()
}

// A Multishooter is a Kernel that accepts one connection after the other for one request, if it says so.
type Multishooter interface {
	Kernel
	Multishot() bool
}

// Multishot reports whether q goes on after it has completed (IORING_ACCEPT_MULTISHOT).
func (q *Request) Multishot() bool { return q.Op == OpAccept && q.IOPrio&acceptMultishot != 0 }

// CQEMore is the bit of CQE.Flags that says that the request goes on (IORING_CQE_F_MORE).
const CQEMore = cqeMore
