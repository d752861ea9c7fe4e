package pebblevfs

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const unspecified = vfs.WriteCategoryUnspecified

// FS is a base: what wraps file systems must find it, and not look behind it.
var _ vfs.FS = (*FS)(nil)

func TestCreateLeavesOtherNamesTheirContent(t *testing.T) {
	fs, _ := newFS(t)
	_, name := create(t, fs, "old")
	other := name + "-2"
	if err := fs.Link(name, other); err != nil {
		t.Fatal(err)
	}
	f, err := fs.Create(name, unspecified)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.Write([]byte("new"))
	wantContent(t, name, "new")
	wantContent(t, other, "old")
}

func TestConcurrentCreatesAllSucceed(t *testing.T) {
	fs, _ := newFS(t)
	_, name := create(t, fs, "old")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				f, err := fs.Create(name, unspecified)
				if err != nil {
					t.Error(err)
					return
				}
				f.Close()
			}
		})
	}
	wg.Wait()
	wantContent(t, name, "")
}

func TestReuseForWriteWritesOverTheOldContent(t *testing.T) {
	fs, _ := newFS(t)
	f, name := create(t, fs, "0123456789")
	f.Close()
	reused, err := fs.ReuseForWrite(name, name+"-2", unspecified)
	if err != nil {
		t.Fatal(err)
	}
	defer reused.Close()
	if _, err := reused.Write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	wantContent(t, name+"-2", "abc3456789")
	if _, err := os.Stat(name); !os.IsNotExist(err) {
		t.Errorf("the old name: %v", err)
	}
}

func TestErrorsAreThoseOfVFSDefault(t *testing.T) {
	ring, _ := newFS(t)
	for what, do := range map[string]func(fs vfs.FS, dir string) error{
		"Create in a missing directory": func(fs vfs.FS, dir string) error {
			_, err := fs.Create(filepath.Join(dir, "missing", "file"), unspecified)
			return err
		},
		"Create in place of a full directory": func(fs vfs.FS, dir string) error {
			_, err := fs.Create(filepath.Join(dir, "full"), unspecified)
			return err
		},
		"Open of a missing file": func(fs vfs.FS, dir string) error {
			_, err := fs.Open(filepath.Join(dir, "missing"))
			return err
		},
		"OpenReadWrite of a directory": func(fs vfs.FS, dir string) error {
			_, err := fs.OpenReadWrite(dir, unspecified)
			return err
		},
		"OpenDir of a missing one": func(fs vfs.FS, dir string) error {
			_, err := fs.OpenDir(filepath.Join(dir, "missing"))
			return err
		},
		"ReuseForWrite of a missing file": func(fs vfs.FS, dir string) error {
			_, err := fs.ReuseForWrite(filepath.Join(dir, "missing"), filepath.Join(dir, "new"), unspecified)
			return err
		},
		"Rename of a missing file": func(fs vfs.FS, dir string) error {
			return fs.Rename(filepath.Join(dir, "missing"), filepath.Join(dir, "new"))
		},
		"Remove of a missing file": func(fs vfs.FS, dir string) error { return fs.Remove(filepath.Join(dir, "missing")) },
		"Link to a name that is there": func(fs vfs.FS, dir string) error {
			return fs.Link(filepath.Join(dir, "file"), filepath.Join(dir, "full"))
		},
		"Stat of a missing file":      func(fs vfs.FS, dir string) error { _, err := fs.Stat(filepath.Join(dir, "missing")); return err },
		"List of a missing directory": func(fs vfs.FS, dir string) error { _, err := fs.List(filepath.Join(dir, "missing")); return err },
		"MkdirAll over a file":        func(fs vfs.FS, dir string) error { return fs.MkdirAll(filepath.Join(dir, "file"), 0o777) },
		"Lock in a missing directory": func(fs vfs.FS, dir string) error {
			_, err := fs.Lock(filepath.Join(dir, "missing", "file"))
			return err
		},
		"GetDiskUsage of a missing one": func(fs vfs.FS, dir string) error {
			_, err := fs.GetDiskUsage(filepath.Join(dir, "missing"))
			return err
		},
	} {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "full", "dir"), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o666); err != nil {
			t.Fatal(err)
		}
		want, got := do(system, dir), do(ring, dir)
		if want == nil || got == nil || got.Error() != want.Error() {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
		for name, is := range map[string]func(error) bool{
			"exist": oserror.IsExist, "not exist": oserror.IsNotExist, "permission": oserror.IsPermission,
		} {
			if is(got) != is(want) {
				t.Errorf("%s: %q is an error of kind %s: %t, want %t", what, got, name, is(got), is(want))
			}
		}
	}
}

// Whoever makes the FS the default must not send its names round in circles.
func TestDefaultMayBeReplaced(t *testing.T) {
	fs, _ := newFS(t)
	defer func(was vfs.FS) { vfs.Default = was }(vfs.Default)
	vfs.Default = fs
	again := New(fs.ring)
	dir := t.TempDir()
	if err := again.MkdirAll(filepath.Join(dir, "a", "b"), 0o777); err != nil {
		t.Error(err)
	}
	if names, err := again.List(dir); !slices.Equal(names, []string{"a"}) || err != nil {
		t.Errorf("List: %v, %v", names, err)
	}
	lock, err := again.Lock(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Lock(filepath.Join(dir, "lock")); err == nil {
		t.Error("locked twice")
	}
	if err := lock.Close(); err != nil {
		t.Error(err)
	}
	if vfs.Root(vfs.OnDiskFull(again, func() {})) != vfs.FS(again) {
		t.Error("vfs.Root doesn't find the FS")
	}
}
