package uring

// KernelCopy is copy, unseen by the race detector, as what Linux does to a buffer is: the engine's witnesses tell of it.
//
//go:norace
func KernelCopy(dst, src []byte) int {
	if !Race {
		return copy(dst, src)
	}
	n := min(len(dst), len(src))
	for i := range n { // copy would tell
		dst[i] = src[i]
	}
	return n
}
