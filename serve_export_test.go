package rio

// PlainLoops has Serve do without what Linux 5.11 lacks, until the function that it returns is called.
func PlainLoops() (back func()) {
	plainLoops.Store(true)
	return func() { plainLoops.Store(false) }
}
