package rio_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// tree makes a directory, opened as a Root, with the files "f" and "d/f", that say inside, beside one whose "f" says outside.
func tree(t *testing.T) (root *os.Root, inside, outside string) {
	t.Helper()
	dir := t.TempDir()
	inside, outside = filepath.Join(dir, "inside"), filepath.Join(dir, "outside")
	for name, content := range map[string]string{
		filepath.Join(inside, "f"): "inside", filepath.Join(inside, "d", "f"): "inside", filepath.Join(outside, "f"): "outside",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(inside)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root, inside, outside
}

func TestFileInRootIsAFileOfTheRing(t *testing.T) {
	root, inside, _ := tree(t)
	if err := os.Symlink("d/../f", filepath.Join(inside, "within")); err != nil {
		t.Fatal(err)
	}
	r := newRing(t, nil)
	for _, name := range []string{"f", "d/f", "d/../f", "./f", "within"} {
		f, err := r.OpenInRoot(root, name, os.O_RDONLY, 0)
		if err != nil {
			t.Error(err)
			continue
		}
		before, b := r.Stats().Started, make([]byte, 10)
		if n := ok(t, r.ReadAt(f, b, 0)); string(b[:n]) != "inside" {
			t.Errorf("%s says %q", name, b[:n])
		}
		if n := r.Stats().Started - before; n != 1 {
			t.Errorf("%d operations were the Ring's", n)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	f, err := r.OpenInRoot(root, "d/new", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	ok(t, r.WriteAt(f, []byte("written"), 0))
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(filepath.Join(inside, "d", "new")); string(b) != "written" {
		t.Errorf("the file says %q, %v", b, err)
	}
}

func TestNamesThatLeadOutOfARootAreRefused(t *testing.T) {
	root, inside, outside := tree(t)
	for link, to := range map[string]string{
		"up": "../outside", "absolute": outside, "file": "../outside/f", "magic": "/proc/self/root", "twice": "d/../../outside/f",
	} {
		if err := os.Symlink(to, filepath.Join(inside, link)); err != nil {
			t.Fatal(err)
		}
	}
	r := newRing(t, nil)
	for _, name := range []string{
		"../outside/f", "d/../../outside/f", "..", filepath.Join(outside, "f"), "/etc/passwd",
		"up/f", "absolute/f", "file", "magic/etc/passwd", "twice",
	} {
		for _, flag := range []int{os.O_RDONLY, os.O_RDWR | os.O_CREATE | os.O_TRUNC} {
			f, err := r.OpenInRoot(root, name, flag, 0o644)
			var pe *fs.PathError
			if err == nil {
				f.Close()
				t.Errorf("%s leads out", name)
			} else if !errors.As(err, &pe) || pe.Path != name {
				t.Errorf("%s: %v is no PathError with that name", name, err)
			}
		}
	}
	if b, err := os.ReadFile(filepath.Join(outside, "f")); string(b) != "outside" {
		t.Errorf("the file outside says %q, %v", b, err)
	}
	if f, err := r.OpenInRoot(nil, "f", os.O_RDONLY, 0); err == nil || f != nil {
		t.Error("no Root at all:", f, err)
	}
	root.Close()
	if f, err := r.OpenInRoot(root, "f", os.O_RDONLY, 0); !errors.Is(err, os.ErrClosed) {
		t.Error("a closed Root:", f, err)
	}
}

// Who checks a name and opens it afterwards can be led out in between.
func TestLinkThatIsSwappedMeanwhileDoesNotLeadOutOfARoot(t *testing.T) {
	root, inside, outside := tree(t)
	d, link := filepath.Join(inside, "d"), filepath.Join(inside, "link")
	if err := os.Symlink(outside, link); err != nil {
		t.Fatal(err)
	}
	swap := func() {
		if err := unix.Renameat2(unix.AT_FDCWD, d, unix.AT_FDCWD, link, unix.RENAME_EXCHANGE); err != nil {
			t.Error("renameat2:", err)
		}
	}
	r := newRing(t, nil)
	open := func() (says string, err error) {
		f, err := r.OpenInRoot(root, "d/f", os.O_RDONLY, 0)
		if err != nil {
			return "", err
		}
		defer f.Close()
		b := make([]byte, 10)
		n, err := r.ReadAt(f, b, 0).Wait()
		return string(b[:n]), err
	}
	for range 2 {
		if s, err := open(); s != "inside" {
			t.Fatalf("%q, %v", s, err)
		}
		swap()
		if s, err := open(); err == nil {
			t.Fatalf("the link led to %q", s)
		}
		swap()
	}
	stop := make(chan struct{})
	var swapping sync.WaitGroup
	swapping.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				swap()
			}
		}
	})
	opened := 0
	for range 3000 {
		if s, err := open(); err == nil {
			opened++
			if s != "inside" {
				t.Errorf("the link led to %q", s)
				break
			}
		}
	}
	close(stop)
	swapping.Wait()
	t.Logf("%d of 3000 opened", opened)
}
