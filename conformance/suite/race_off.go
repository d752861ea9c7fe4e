//go:build !race

package suite

// race says whether this is built with the race detector; what is run then is, too.
const race = false
