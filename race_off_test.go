//go:build !race

package rio_test

const underRace = false
