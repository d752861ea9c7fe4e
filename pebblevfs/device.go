package pebblevfs

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// device is the DeviceID of an open file. Nobody but package vfs can make one, and it makes them from names only; the
// file's own may be gone, or another file's by now. So it takes that of any file on the same device, and keeps it.
func (f *file) device(info os.FileInfo) (id vfs.DeviceID) {
	number := deviceNumber(info)
	if known, ok := f.fs.devices.Load(number); ok {
		return known.(vfs.DeviceID)
	}
	var own string
	f.control(func(fd uintptr) { own = fmt.Sprintf("/proc/self/fd/%d", fd) })
	for _, name := range []string{own, f.Name(), filepath.Dir(f.Name())} {
		found, err := system.Stat(name)
		if err == nil && deviceNumber(found) == number {
			f.fs.devices.Store(number, found.DeviceID())
			return found.DeviceID()
		}
	}
	return vfs.DeviceID{}
}
