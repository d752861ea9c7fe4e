// Package pebble holds no code but tests: Pebble's own, run on pebblevfs.
//
//	go test -short ./...     its vfs tests, and a short metamorphic test
//	go test ./...            the metamorphic test as it should be: 60 sets of options, 2,000 operations each
//	go test -meta.ops=10000 -meta.seed=1 -run TestMetamorphic ./...
package pebble
