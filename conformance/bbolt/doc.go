// Package bbolt holds no code but tests: bbolt's own, with its writes and syncs on the ring. It reads by mmap.
//
//	go test -short ./...          as bbolt's tests with -short, which names what that skips
//	go test -timeout=2h ./...     all of them, with both kinds of freelist; each sync is one of the disk
package bbolt
