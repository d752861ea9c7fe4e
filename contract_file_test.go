package rio_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"testing/iotest"

	"github.com/seed-9c58b644/rio"
)

var (
	_ io.ReadWriteSeeker = (*rio.File)(nil)
	_ io.ReaderAt        = (*rio.File)(nil)
	_ io.WriterAt        = (*rio.File)(nil)
	_ io.ReaderFrom      = (*rio.File)(nil)
	_ fs.ReadDirFile     = (*rio.File)(nil)
)

func TestReadFromWritesAllThereIs(t *testing.T) {
	r := newRing(t, nil)
	want := letters(1<<20 + 77)
	cause := errors.New("no more")
	for what, src := range map[string]struct {
		io.Reader
		err error
	}{
		"in one piece":       {bytes.NewReader(want), nil},
		"a half at a time":   {iotest.HalfReader(bytes.NewReader(want)), nil},
		"data and EOF":       {iotest.DataErrReader(bytes.NewReader(want)), nil},
		"an error":           {io.MultiReader(bytes.NewReader(want), iotest.ErrReader(cause)), cause},
		"a file of the ring": {openOn(t, r, fileOf(t, want), os.O_RDONLY), nil},
	} {
		name := fileOf(t, []byte("0123456789"))
		f := openOn(t, r, name, os.O_RDWR)
		if _, err := f.Seek(5, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if n, err := f.ReadFrom(src.Reader); n != int64(len(want)) || !errors.Is(err, src.err) || src.err == nil && err != nil {
			t.Errorf("%s: %d, %v; want %d, %v", what, n, err, len(want), src.err)
		}
		if pos, err := f.Seek(0, io.SeekCurrent); pos != 5+int64(len(want)) || err != nil {
			t.Errorf("%s: the position is %d, %v", what, pos, err)
		}
		wantContent(t, name, append([]byte("01234"), want...))
	}
	// What can't be written is an error that says how much was.
	full := openOn(t, r, "/dev/full", os.O_WRONLY)
	pe := (*fs.PathError)(nil)
	if n, err := full.ReadFrom(bytes.NewReader(want)); n != 0 || !errors.As(err, &pe) {
		t.Errorf("/dev/full: %d, %v", n, err)
	}
	f := openOn(t, r, fileOf(t, nil), os.O_RDWR)
	f.Close()
	if n, err := f.ReadFrom(bytes.NewReader(want)); n != 0 || !errors.Is(err, fs.ErrClosed) {
		t.Errorf("closed: %d, %v", n, err)
	}
}

// As with package os: what is written to a file of O_APPEND goes to its end, wherever the position is; WriteAt is refused.
func TestAppendingFilesWriteAtTheirEnd(t *testing.T) {
	r := newRing(t, nil)
	name := fileOf(t, []byte("start"))
	f := openOn(t, r, name, os.O_RDWR|os.O_APPEND)
	for _, step := range []func() error{
		func() error { _, err := f.Write([]byte(" one")); return err },
		func() error { _, err := f.Seek(0, io.SeekStart); return err },
		func() error { _, err := f.Write([]byte(" two")); return err },
		func() error { _, err := f.Seek(1, io.SeekStart); return err },
		func() error { _, err := f.ReadFrom(bytes.NewReader([]byte(" three"))); return err },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := f.WriteAt([]byte("!"), 0); n != 0 || err == nil {
		t.Errorf("WriteAt: %d, %v; want an error", n, err)
	}
	wantContent(t, name, []byte("start one two three"))
}

func rootOf(t *testing.T, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func TestFSIsAFileSystem(t *testing.T) {
	r := newRing(t, nil)
	dir := t.TempDir()
	big := letters(30_000)
	for name, content := range map[string][]byte{"a": []byte("A"), "sub/b": big, "sub/deeper/c": nil} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	outside := fileOf(t, []byte("a secret"))
	if err := os.Symlink("a", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	if err := os.Symlink(outside, out); err != nil {
		t.Fatal(err)
	}
	fsys := r.FS(rootOf(t, dir))
	for _, name := range []string{"out", "../" + filepath.Base(outside), outside, "sub/../a", "", "missing"} {
		if f, err := fsys.Open(name); f != nil || !errors.As(err, new(*fs.PathError)) {
			t.Errorf("%q: %v, %v; want a PathError", name, f, err)
		}
	}
	f, err := fsys.Open("sub/b")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := f.(*rio.File); !ok {
		t.Errorf("a file is a %T", f)
	}
	f.Close()
	if err := os.Remove(out); err != nil { // TestFS wants to open everything
		if onWindows && errors.Is(err, fs.ErrNotExist) {
			t.Skip("Wine doesn't remove links out of there: ", err)
		}
		t.Fatal(err)
	}
	before := r.Stats().Completed
	if err := fstest.TestFS(fsys, "a", "link", "sub/b", "sub/deeper/c"); err != nil {
		t.Error(err)
	}
	if got, err := fs.ReadFile(fsys, "sub/b"); err != nil || !bytes.Equal(got, big) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if did := r.Stats().Completed - before; did < 10 {
		t.Errorf("the ring has done %d operations", did)
	}
	srv := httptest.NewServer(http.FileServerFS(fsys))
	defer srv.Close()
	for path, want := range map[string]string{"/sub/b": string(big), "/a": "A", "/link": "A"} {
		resp, err := http.Get(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, %d bytes, %v", path, resp.Status, len(got), err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestFSOfNothingIsAnError(t *testing.T) {
	root := rootOf(t, filepath.Dir(fileOf(t, []byte("x"))))
	for what, fsys := range map[string]fs.FS{
		"nil Root": newRing(t, nil).FS(nil), "nil Ring": (*rio.Ring)(nil).FS(root), "zero Ring": new(rio.Ring).FS(root),
	} {
		if f, err := fsys.Open("file"); f != nil || !errors.Is(err, fs.ErrInvalid) || !errors.As(err, new(*fs.PathError)) {
			t.Errorf("%s: %v, %v; want fs.ErrInvalid", what, f, err)
		}
	}
}

func TestFSOfAClosedRingOpensNothing(t *testing.T) {
	r, err := rio.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	fsys := r.FS(rootOf(t, filepath.Dir(fileOf(t, []byte("x")))))
	r.Close()
	if f, err := fsys.Open("file"); f != nil || !errors.Is(err, rio.ErrClosed) {
		t.Errorf("%v, %v; want ErrClosed", f, err)
	}
}
