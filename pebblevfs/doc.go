// Package pebblevfs runs Pebble, the storage engine of CockroachDB, on a rio ring: what Pebble reads and syncs goes
// through io_uring, and what its goroutines do at the same time goes there together, where that is cheaper than a system call.
//
//	ring, err := rio.New(nil)
//	if err != nil {
//		return err // no io_uring here; vfs.Default is what is left
//	}
//	defer ring.Close()
//	db, err := pebble.Open("data", &pebble.Options{FS: pebblevfs.New(ring)})
//	if err != nil {
//		return err
//	}
//	defer db.Close() // before the ring
//
// A store can be opened by either file system, today by one and tomorrow by the other: what is on the disk is the same.
//
// On riotest's ring, too, its files are the process's own, not the simulated disk's: no power cut touches them.
//
// # What goes where
//
//	File.Read, ReadAt, Write, WriteAt   rio.File's
//	File.Sync, SyncData                 rio.File's: an error stays
//	File.SyncTo                         the ring, without waiting; fdatasync where Pebble doesn't trust sync_file_range
//	File.Preallocate                    the ring
//	a directory's Sync                  rio.File's
//	File.Prefetch                       posix_fadvise(2)
//	names, locks, listings, disk usage  vfs.Default
//
// Reads from the page cache are a little dearer than with vfs.Default; reads that wait for the disk, many of them, are
// cheaper. Measure your own load: examples/pebble of rio prints both.
package pebblevfs
