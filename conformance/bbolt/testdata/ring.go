package bbolt

import (
	"io"

	"github.com/seed-9c58b644/rio/conformance/suite"
)

// Ring is what is written by.
var Ring = suite.Ring()

// writeAt stands for db.file.WriteAt. bbolt opens the file by itself, so this is an operation on a foreign descriptor,
// which may be short.
func writeAt(db *DB) func([]byte, int64) (int, error) {
	file := db.file
	return func(b []byte, off int64) (n int, err error) {
		for n < len(b) && err == nil {
			var m int
			if m, err = Ring.WriteAt(file, b[n:], off+int64(n)).Wait(); m == 0 && err == nil {
				err = io.ErrShortWrite
			}
			n += m
		}
		return n, err
	}
}

// fdatasync stands for the function in the file that this one takes the place of.
func fdatasync(db *DB) error {
	_, err := Ring.Fdatasync(db.file).Wait()
	return err
}
