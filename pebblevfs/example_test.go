package pebblevfs_test

import (
	"fmt"
	"log"
	"os"

	"github.com/cockroachdb/pebble/v2"
	"github.com/seed-9c58b644/rio"
	"github.com/seed-9c58b644/rio/pebblevfs"
)

func Example() {
	dir, err := os.MkdirTemp("", "pebblevfs-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	ring, err := rio.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()

	db, err := pebble.Open(dir, &pebble.Options{FS: pebblevfs.New(ring), Logger: quiet{}})
	if err != nil {
		log.Fatal(err)
	}
	if err := db.Set([]byte("greeting"), []byte("hello, ring"), pebble.Sync); err != nil {
		log.Fatal(err)
	}
	value, closer, err := db.Get([]byte("greeting"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", value)
	closer.Close()
	if err := db.Close(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(ring.Stats().Completed > 0)
	// Output:
	// hello, ring
	// true
}

// quiet is a pebble.Logger that says nothing.
type quiet struct{}

func (quiet) Infof(string, ...any)              {}
func (quiet) Errorf(string, ...any)             {}
func (quiet) Fatalf(format string, args ...any) { log.Fatalf(format, args...) }
