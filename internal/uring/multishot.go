package uring

// Multishot reports whether r's kernel may be asked for requests that complete more than once. Whether it has them, it
// says itself (EINVAL). A Kernel in this process has none.
func (r *Ring) Multishot() bool { return r.kernel == nil }
