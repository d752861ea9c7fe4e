//go:build race

package rio_test

// underRace says that the race detector is built in: it allocates, and slows everything down.
const underRace = true
