package rio_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/seed-9c58b644/rio"
)

var (
	_ io.ReadWriteSeeker = (*rio.File)(nil)
	_ io.ReaderAt        = (*rio.File)(nil)
	_ io.WriterAt        = (*rio.File)(nil)
	_ io.Closer          = (*rio.File)(nil)
	_ syscall.Conn       = (*rio.File)(nil)
	_ fs.File            = (*rio.File)(nil)
)

// openOn opens a file on r, and closes it when the test ends.
func openOn(t testing.TB, r *rio.Ring, name string, flag int) *rio.File {
	t.Helper()
	f, err := r.OpenFile(name, flag, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// pipeOn is a pipe whose ends belong to r.
func pipeOn(t testing.TB, r *rio.Ring) (in, out *rio.File) {
	t.Helper()
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if in, err = r.NewFile(pr); err != nil {
		t.Fatal(err)
	}
	if out, err = r.NewFile(pw); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); out.Close() })
	return in, out
}

// comesTrue waits for what the test can't be told of.
func comesTrue(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(200 * time.Microsecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: ", what)
		}
	}
}

// aFile is what *os.File and *rio.File are both.
type aFile interface {
	io.ReadWriteSeeker
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(int64) error
	Stat() (fs.FileInfo, error)
	Sync() error
	Name() string
}

// outcome is an error as a program looks at it.
func outcome(err error) string {
	if err == nil || err == io.EOF {
		return fmt.Sprint(err)
	}
	s := ""
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		s = "PathError " + filepath.Base(pe.Path) + " "
	}
	for _, known := range []error{fs.ErrClosed, fs.ErrExist, fs.ErrNotExist, fs.ErrPermission, syscall.EBADF, syscall.EINVAL,
		syscall.EISDIR, syscall.ENOSPC, syscall.ESPIPE, syscall.EPIPE, syscall.EFBIG} {
		if errors.Is(err, known) {
			s += known.Error() + " "
		}
	}
	if s == "" || strings.HasSuffix(s, "PathError ") {
		return err.Error()
	}
	return s
}

func TestFileDoesWhatAnOsFileDoes(t *testing.T) {
	r := newRing(t, nil)
	read := func(n int) func(aFile) string {
		return func(f aFile) string {
			b := make([]byte, n)
			m, err := f.Read(b)
			if n == 0 && errors.Is(err, syscall.EBADF) {
				err = nil // os doesn't ask the kernel
			}
			return fmt.Sprintf("%d %q %s", m, b, outcome(err))
		}
	}
	readAt := func(n int, off int64) func(aFile) string {
		return func(f aFile) string {
			b := make([]byte, n)
			m, err := f.ReadAt(b, off)
			if off < 0 { // os has an error of its own
				return fmt.Sprint(m, errors.As(err, new(*fs.PathError)))
			}
			return fmt.Sprintf("%d %q %s", m, b, outcome(err))
		}
	}
	write := func(s string) func(aFile) string {
		return func(f aFile) string {
			m, err := f.Write([]byte(s))
			return fmt.Sprint(m, outcome(err))
		}
	}
	writeAt := func(s string, off int64) func(aFile) string {
		return func(f aFile) string {
			m, err := f.WriteAt([]byte(s), off)
			return fmt.Sprint(m, err != nil) // with O_APPEND os has an error of its own
		}
	}
	seek := func(off int64, whence int) func(aFile) string {
		return func(f aFile) string {
			n, err := f.Seek(off, whence)
			return fmt.Sprint(n, outcome(err))
		}
	}
	truncate := func(n int64) func(aFile) string {
		return func(f aFile) string { return outcome(f.Truncate(n)) }
	}
	stat := func(f aFile) string {
		fi, err := f.Stat()
		if err != nil {
			return outcome(err)
		}
		return fmt.Sprint(fi.Name(), fi.Size(), fi.Mode(), fi.IsDir())
	}
	sync := func(f aFile) string { return outcome(f.Sync()) }
	name := func(f aFile) string { return filepath.Base(f.Name()) }
	closing := func(f aFile) string { return outcome(f.Close()) }
	type step = func(aFile) string
	all := []step{read(4), read(0), readAt(4, 3), readAt(0, 0), readAt(3, 100), readAt(20, 5), readAt(10, 0), writeAt("AB", 2), write("cd"), write(""),
		read(3), seek(0, io.SeekCurrent), seek(-2, io.SeekEnd), read(5), read(5), read(0), seek(-1, io.SeekStart), seek(0, 99),
		seek(20, io.SeekStart), read(1), write("end"), seek(0, io.SeekCurrent), truncate(6), truncate(-1), stat, sync, name, readAt(10, 0),
		readAt(4, -1), writeAt("x", -1), seek(0, io.SeekStart), read(100), read(100), truncate(8), readAt(8, 0),
		closing, read(1), read(0), write("x"), readAt(1, 0), writeAt("x", 0), seek(0, 0), truncate(0), stat, sync, name, closing}

	for _, c := range []struct {
		name string
		flag int
		dir  bool
	}{
		{"read and write", os.O_RDWR, false},
		{"read", os.O_RDONLY, false},
		{"write", os.O_WRONLY, false},
		{"append", os.O_RDWR | os.O_APPEND, false},
		{"truncate", os.O_RDWR | os.O_TRUNC, false},
		{"directory", os.O_RDONLY, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := func() string {
				if c.dir {
					d := filepath.Join(t.TempDir(), "file")
					if err := os.Mkdir(d, 0o700); err != nil {
						t.Fatal(err)
					}
					return d
				}
				return fileOf(t, []byte("0123456789"))
			}
			stdName, ownName, tookName := path(), path(), path()
			std, err := os.OpenFile(stdName, c.flag, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer std.Close()
			own := openOn(t, r, ownName, c.flag)
			mid, err := os.OpenFile(tookName, c.flag, 0)
			if err != nil {
				t.Fatal(err)
			}
			took, err := r.NewFile(mid)
			if err != nil {
				t.Fatal(err)
			}
			for i, s := range all {
				want := s(std)
				if got := s(own); got != want {
					t.Errorf("step %d: %s, os: %s", i, got, want)
				}
				if got := s(took); got != want {
					t.Errorf("step %d after NewFile: %s, os: %s", i, got, want)
				}
			}
			if !c.dir {
				want, _ := os.ReadFile(stdName)
				wantContent(t, ownName, want)
				wantContent(t, tookName, want)
			}
		})
	}
}

func TestOpenFileHasOsOpenFilesErrors(t *testing.T) {
	r := newRing(t, nil)
	dir := t.TempDir()
	there := filepath.Join(dir, "there")
	if err := os.WriteFile(there, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		flag int
	}{
		{filepath.Join(dir, "not there"), os.O_RDONLY},
		{there, os.O_CREATE | os.O_EXCL | os.O_WRONLY},
		{dir, os.O_WRONLY},
		{filepath.Join(there, "below"), os.O_RDONLY},
		{"with a \x00 in it", os.O_RDONLY},
		{"", os.O_RDONLY},
	} {
		_, want := os.OpenFile(c.name, c.flag, 0o600)
		f, err := r.OpenFile(c.name, c.flag, 0o600)
		pe := (*fs.PathError)(nil)
		if err == nil || err.Error() != want.Error() || !errors.As(err, &pe) || f != nil {
			t.Errorf("%q: %v, %v; os: %v", c.name, f, err, want)
		}
	}
}

func TestOpenFileCreatesWithThePermissions(t *testing.T) {
	r := newRing(t, nil)
	dir := t.TempDir()
	for _, perm := range []fs.FileMode{0o600, 0o640, 0o777, 0o400} {
		own, std := filepath.Join(dir, "own"), filepath.Join(dir, "std")
		sf, err := os.OpenFile(std, os.O_CREATE|os.O_EXCL|os.O_RDWR, perm)
		if err != nil {
			t.Fatal(err)
		}
		sf.Close()
		f, err := r.OpenFile(own, os.O_CREATE|os.O_EXCL|os.O_RDWR, perm)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		if f.Name() != own {
			t.Errorf("Name is %q", f.Name())
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		want, _ := os.Stat(std)
		if got, err := os.Stat(own); err != nil || got.Mode() != want.Mode() || got.Size() != 1 {
			t.Errorf("%v: %v, %v; os: %v", perm, got, err, want.Mode())
		}
		os.Remove(own)
		os.Remove(std)
	}
}

func TestFileIsAReader(t *testing.T) {
	r := newRing(t, nil)
	want := letters(10000)
	f := openOn(t, r, fileOf(t, want), os.O_RDONLY)
	if err := iotest.TestReader(f, want); err != nil {
		t.Error(err)
	}
	if err := iotest.TestReader(io.NewSectionReader(f, 100, 5000), want[100:5100]); err != nil {
		t.Error(err)
	}
}

func TestCopyFromFileToFile(t *testing.T) {
	r := newRing(t, nil)
	want := letters(3<<20 + 17)
	src := openOn(t, r, fileOf(t, want), os.O_RDONLY)
	name := fileOf(t, nil)
	dst := openOn(t, r, name, os.O_WRONLY)
	if n, err := io.Copy(dst, src); n != int64(len(want)) || err != nil {
		t.Fatal(n, err)
	}
	wantContent(t, name, want)
	if err := dst.Truncate(10); err != nil {
		t.Fatal(err)
	}
	ow := io.NewOffsetWriter(dst, 5)
	if n, err := io.Copy(ow, io.NewSectionReader(src, 1000, 70000)); n != 70000 || err != nil {
		t.Fatal(n, err)
	}
	wantContent(t, name, append(bytes.Clone(want[:5]), want[1000:][:70000]...))
}

func TestReadAtFromManyGoroutines(t *testing.T) {
	r := newRing(t, &rio.Config{Depth: 2})
	want := letters(1 << 20)
	f := openOn(t, r, fileOf(t, want), os.O_RDONLY)
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			buf := make([]byte, 1+g*1000)
			for i := range 50 {
				off := int64((g*7919 + i*104729) % (len(want) - len(buf)))
				if n, err := f.ReadAt(buf, off); n != len(buf) || err != nil || !bytes.Equal(buf, want[off:][:n]) {
					t.Errorf("ReadAt %d at %d: %d, %v", len(buf), off, n, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// Of several goroutines that Read, each gets a part of its own; what several Write ends up one behind the other.
func TestReadAndWriteShareThePosition(t *testing.T) {
	r := newRing(t, nil)
	name := fileOf(t, nil)
	f := openOn(t, r, name, os.O_RDWR)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for range 25 {
				if n, err := f.Write(bytes.Repeat([]byte{byte('a' + g)}, 10)); n != 10 || err != nil {
					t.Error(n, err)
				}
			}
		})
	}
	wg.Wait()
	got, _ := os.ReadFile(name)
	if len(got) != 2000 {
		t.Fatalf("the file has %d bytes", len(got))
	}
	for i := 0; i < len(got); i += 10 {
		if bytes.Count(got[i:i+10], got[i:i+1]) != 10 {
			t.Fatalf("torn: %q", got[i:i+10])
		}
	}
	f.Seek(0, io.SeekStart)
	var counts [26]atomic.Int32
	for range 8 {
		wg.Go(func() {
			b := make([]byte, 10)
			for {
				n, err := f.Read(b)
				if err == io.EOF {
					return
				}
				if n != 10 || err != nil {
					t.Error(n, err)
					return
				}
				counts[b[0]-'a'].Add(1)
			}
		})
	}
	wg.Wait()
	for g := range 8 {
		if n := counts[g].Load(); n != 25 {
			t.Errorf("%c was read %d times", 'a'+g, n)
		}
	}
}

func TestFileOnAPipe(t *testing.T) {
	r := newRing(t, nil)
	in, out := pipeOn(t, r)
	want := letters(1 << 20) // more than a pipe holds
	sent := make(chan error, 1)
	go func() {
		n, err := out.Write(want)
		if err == nil && n != len(want) {
			err = io.ErrShortWrite
		}
		out.Close()
		sent <- err
	}()
	if n, err := in.Read(nil); n != 0 || err != nil {
		t.Error(n, err)
	}
	got, err := io.ReadAll(in)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	pe := (*fs.PathError)(nil)
	if _, err := in.ReadAt(make([]byte, 1), 0); !errors.Is(err, syscall.ESPIPE) || !errors.As(err, &pe) {
		t.Errorf("ReadAt: %v; want ESPIPE", err)
	}
	if _, err := in.Seek(0, io.SeekCurrent); !errors.Is(err, syscall.ESPIPE) {
		t.Errorf("Seek: %v; want ESPIPE", err)
	}
	if err := in.Sync(); !errors.Is(err, syscall.EINVAL) && !onWindows { // where pipes have buffers to flush
		t.Errorf("Sync: %v; want EINVAL", err)
	}
}

func TestWriteToABrokenPipe(t *testing.T) {
	r := newRing(t, nil)
	in, out := pipeOn(t, r)
	in.Close()
	n, err := out.Write([]byte("x"))
	if pe := (*fs.PathError)(nil); n != 0 || !is(err, syscall.EPIPE) || !errors.As(err, &pe) || pe.Op != "write" {
		t.Errorf("%d, %v; want EPIPE", n, err)
	}
}

func TestCloseWakesWhatWaitsOnAPipe(t *testing.T) {
	r := newRing(t, nil)
	for range 20 {
		in, out := pipeOn(t, r)
		read, op := make(chan error, 1), r.ReadAt(in, make([]byte, 1), 0)
		base := r.Stats().Started
		go func() {
			n, err := in.Read(make([]byte, 10))
			if n != 0 {
				err = fmt.Errorf("read %d", n)
			}
			read <- err
		}()
		comesTrue(t, "the Read begins", func() bool { return r.Stats().Started > base })
		if err := in.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-read; !errors.Is(err, os.ErrClosed) {
			t.Fatalf("Read: %v; want os.ErrClosed", err)
		}
		if _, err := op.Wait(); !errors.Is(err, os.ErrClosed) {
			t.Fatalf("ReadAt: %v; want os.ErrClosed", err)
		}
		out.Close()

		in, out = pipeOn(t, r)
		wrote := make(chan error, 1)
		base = r.Stats().Started
		go func() {
			_, err := out.Write(make([]byte, 1<<20))
			wrote <- err
		}()
		comesTrue(t, "the Write begins", func() bool { return r.Stats().Started > base })
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-wrote; !errors.Is(err, os.ErrClosed) {
			t.Fatalf("Write: %v; want os.ErrClosed", err)
		}
	}
}

// Whatever begins while Close runs either ends with os.ErrClosed or is refused: nothing is left for Close to wait for.
func TestCloseRacesWithWhatBegins(t *testing.T) {
	r := newRing(t, &rio.Config{Depth: 2}) // a Chain waits for its tickets
	rounds := 300
	if testing.Short() {
		rounds = 50
	}
	for range rounds {
		in, out := pipeOn(t, r)
		var wg sync.WaitGroup
		for _, read := range []func() error{
			func() error { _, err := in.Read(make([]byte, 1)); return err },
			func() error { return waited(r.ReadAt(in, make([]byte, 1), 0)) },
			func() error { return waited(r.ReadvAt(in, [][]byte{make([]byte, 1)}, 0, rio.Drain)) },
			func() error {
				c := r.Chain()
				nop, read := c.Nop(), c.ReadAt(in, make([]byte, 1), 0)
				c.Submit()
				nop.Wait()
				return waited(read)
			},
		} {
			wg.Go(func() {
				for {
					if err := read(); errors.Is(err, os.ErrClosed) {
						return
					} else if err != nil {
						t.Errorf("%v; want os.ErrClosed", err)
						return
					}
				}
			})
		}
		out.Write([]byte("some")) // so that they begin again and again
		runtime.Gosched()
		out.Write(make([]byte, 50))
		if err := in.Close(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		out.Close()
	}
}

func TestCloseLetsARegularFileFinish(t *testing.T) {
	r := newRing(t, nil)
	for range 10 {
		name := fileOf(t, nil)
		f := openOn(t, r, name, os.O_RDWR)
		want := letters(100 * 1000)
		var writes []rio.Completion[int]
		for i := range 100 {
			writes = append(writes, r.WriteAt(f, want[i*1000:][:1000], int64(i*1000)))
		}
		sync := r.Fsync(f)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		wantContent(t, name, want) // before anybody waited
		for _, c := range writes {
			wantInt(t, "write", c, 1000)
		}
		if _, err := sync.Wait(); err != nil {
			t.Error(err)
		}
		if _, err := r.WriteAt(f, want, 0).Wait(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("after Close: %v; want os.ErrClosed", err)
		}
	}
}

func TestCloseClosesOnce(t *testing.T) {
	r := newRing(t, nil)
	f := openOn(t, r, fileOf(t, nil), os.O_RDWR)
	var ok, closed atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			switch err := f.Close(); {
			case err == nil:
				ok.Add(1)
			case errors.Is(err, os.ErrClosed):
				closed.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if ok.Load() != 1 || closed.Load() != 7 {
		t.Errorf("%d closed it, %d were told so", ok.Load(), closed.Load())
	}
}

func TestNewFileTakesOver(t *testing.T) {
	r := newRing(t, nil)
	name := fileOf(t, []byte("0123456789"))
	of, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	of.Seek(4, io.SeekStart)
	f, err := r.NewFile(of)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 2)
	if _, err := f.Read(b); err != nil || string(b) != "45" {
		t.Errorf("the position is lost: %q, %v", b, err)
	}
	if f.Name() != name {
		t.Errorf("Name is %q", f.Name())
	}
	if err := of.Close(); err != nil {
		t.Errorf("closing the os.File: %v", err)
	}
	// Whatever opens next must not become this file.
	for range 4 {
		x, err := os.Create(filepath.Join(t.TempDir(), "other"))
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
	}
	if _, err := f.Read(b); err != nil || string(b) != "67" {
		t.Errorf("after closing the os.File: %q, %v", b, err)
	}
	if _, err := r.WriteAt(f, []byte("AB"), 0).Wait(); err != nil {
		t.Error(err)
	}
	wantContent(t, name, []byte("AB23456789"))
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := of.Close(); err == nil {
		t.Error("the os.File is open again")
	}
}

func TestNewFileOutlivesTheOsFile(t *testing.T) {
	r := newRing(t, nil)
	want := letters(1000)
	f := func() *rio.File {
		of, err := os.Open(fileOf(t, want))
		if err != nil {
			t.Fatal(err)
		}
		f, err := r.NewFile(of)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}()
	defer f.Close()
	for range 3 {
		runtime.GC() // the os.File has a finalizer
		time.Sleep(time.Millisecond)
	}
	got := make([]byte, 1000)
	if n, err := f.ReadAt(got, 0); n != 1000 || err != nil || !bytes.Equal(got, want) {
		t.Error(n, err)
	}
}

// A File that NewFile has made is what it was, whatever becomes of the os.File.
func TestNewFileKnowsItsDirectoryAndItsName(t *testing.T) {
	r := newRing(t, nil)
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("..."), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{dir, filepath.Join(dir, "b")} {
		of, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := r.NewFile(of)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		of.Close()
		fi, err := f.Stat()
		if err != nil || fi.Name() != filepath.Base(name) || fi.IsDir() != (name == dir) {
			t.Error(fi, err)
		}
		if want, err := os.Stat(name); err != nil || !os.SameFile(fi, want) {
			t.Error("it is another file", err)
		}
		if name != dir {
			continue
		}
		var got []string
		for {
			es, err := f.ReadDir(2)
			for _, e := range es {
				got = append(got, e.Name())
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if slices.Sort(got); !slices.Equal(got, []string{"a", "b", "c"}) {
			t.Error(got)
		}
	}
}

// What an os.File has read ahead of a directory is not lost.
func TestNewFileOfADirectoryThatIsPartlyRead(t *testing.T) {
	r := newRing(t, nil)
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	of, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer of.Close()
	first, err := of.ReadDir(1)
	if err != nil {
		t.Fatal(err)
	}
	f, err := r.NewFile(of)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rest, err := f.ReadDir(-1)
	if err != nil || len(rest) != 2 || rest[0].Name() == first[0].Name() || rest[1].Name() == first[0].Name() {
		t.Errorf("%v, then %v, %v", first, rest, err)
	}
}

func TestNewFileOfAClosedFileIsAnError(t *testing.T) {
	r := newRing(t, nil)
	of, err := os.Open(fileOf(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	of.Close()
	if f, err := r.NewFile(of); !errors.Is(err, os.ErrClosed) || f != nil {
		t.Errorf("%v, %v; want os.ErrClosed", f, err)
	}
	if f, err := r.NewConn(of); !errors.Is(err, os.ErrClosed) || f != nil {
		t.Errorf("%v, %v; want os.ErrClosed", f, err)
	}
}

// Forgotten without Close, a file's descriptors are closed, as an os.File's are.
func TestForgottenFilesAreClosed(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("looks at /proc")
	}
	r := newRing(t, nil)
	name := fileOf(t, letters(10))
	func() {
		f, err := r.OpenFile(name, os.O_RDONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		of, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		g, err := r.NewFile(of)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []*rio.File{f, g} {
			if _, err := f.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
	}()
	for range 10 { // the ring may remember its last operations
		if _, err := r.Nop().Wait(); err != nil {
			t.Fatal(err)
		}
	}
	comesTrue(t, "the file is closed", func() bool {
		runtime.GC()
		return countOpen(name) == 0
	})
}

func TestFilesOfAClosedRing(t *testing.T) {
	r, err := rio.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	name := fileOf(t, letters(100))
	f, err := r.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 10)
	_, read := f.Read(b)
	_, readAt := f.ReadAt(b, 0)
	_, write := f.Write(b)
	_, writeAt := f.WriteAt(b, 0)
	_, open := r.OpenFile(name, os.O_RDONLY, 0)
	for what, err := range map[string]error{"Read": read, "ReadAt": readAt, "Write": write, "WriteAt": writeAt,
		"Sync": f.Sync(), "Datasync": f.Datasync(), "OpenFile": open} {
		if !errors.Is(err, rio.ErrClosed) || !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: %v; want ErrClosed", what, err)
		}
	}
	of, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer of.Close()
	if _, err := r.NewFile(of); !errors.Is(err, rio.ErrClosed) {
		t.Errorf("NewFile: %v; want ErrClosed", err)
	}
	if _, err := of.Read(b); err != nil {
		t.Errorf("NewFile has failed, but took the file: %v", err)
	}

	// On another Ring it is still a file.
	r2 := newRing(t, nil)
	wantInt(t, "on another ring", r2.ReadAt(f, b, 5), 10)
	if !bytes.Equal(b, letters(100)[5:15]) {
		t.Errorf("read %q", b)
	}
	rc, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := rc.Control(func(uintptr) { t.Error("the descriptor is closed") }); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Control: %v; want os.ErrClosed", err)
	}
	if n := countOpen(name); n != 1 && runtime.GOOS == "linux" { // of
		t.Errorf("%d descriptors are open", n)
	}
	if _, err := r2.ReadAt(f, b, 5).Wait(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("on another ring, closed: %v; want os.ErrClosed", err)
	}
}

// countOpen is how many descriptors this process has of a file.
func countOpen(name string) (n int) {
	for _, open := range openFDs() {
		if open == name {
			n++
		}
	}
	return n
}

// While Control runs, Close waits; what it was given is the file.
func TestCloseWaitsForControl(t *testing.T) {
	r := newRing(t, nil)
	f := openOn(t, r, fileOf(t, nil), os.O_RDWR)
	rc, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	err = rc.Control(func(uintptr) {
		go func() {
			f.Close()
			close(closed)
		}()
		comesTrue(t, "the file is closing", func() bool {
			_, err := f.Read(nil)
			return errors.Is(err, os.ErrClosed)
		})
		select {
		case <-closed:
			t.Error("Close did not wait")
		case <-time.After(5 * time.Millisecond):
		}
	})
	if err != nil {
		t.Error(err)
	}
	<-closed
}

func TestSyscallConnReadWaitsForThePipe(t *testing.T) {
	r := newRing(t, nil)
	in, out := pipeOn(t, r)
	rc, err := in.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	calls, tried := 0, make(chan struct{})
	got := make(chan error, 1)
	go func() {
		got <- rc.Read(func(uintptr) bool {
			if calls++; calls == 1 {
				close(tried)
			}
			return calls == 2
		})
	}()
	<-tried
	if _, err := out.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil || calls != 2 {
		t.Errorf("%d calls, %v", calls, err)
	}
	in.Read(make([]byte, 1))
	base := r.Stats().Started
	go func() { got <- rc.Read(func(uintptr) bool { return false }) }()
	comesTrue(t, "it waits", func() bool { return r.Stats().Started > base })
	in.Close()
	if err := <-got; !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v; want os.ErrClosed", err)
	}
	wrc, _ := out.SyscallConn()
	if err := wrc.Write(func(uintptr) bool { return true }); err != nil {
		t.Error(err)
	}
}

// A directory is read from its beginning after a Seek to it, as with os: what was read ahead is forgotten.
func TestSeekOfADirectoryForgetsWhatWasReadAhead(t *testing.T) {
	r := newRing(t, nil)
	dir := t.TempDir()
	for i := range 5 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := openOn(t, r, dir, os.O_RDONLY)
	if some, err := f.ReadDir(2); len(some) != 2 || err != nil {
		t.Fatal(some, err)
	}
	if n, err := f.Seek(0, io.SeekStart); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	if all, err := f.ReadDir(-1); len(all) != 5 || err != nil {
		t.Errorf("%v, %v", all, err)
	}
}

// What src says comes first, also if the piece before it can't be written by itself.
func TestReadFromTellsOfItsReader(t *testing.T) {
	r := newRing(t, nil)
	f := openOn(t, r, filepath.Join(t.TempDir(), "f"), os.O_RDWR|os.O_CREATE)
	broken := errors.New("broken")
	if n, err := f.ReadFrom(io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(broken))); n != 3 || err != broken {
		t.Error(n, err)
	}
	if n, err := f.ReadFrom(nil); n != 0 || err == nil {
		t.Error(n, err)
	}
	if rio.O_DIRECT == 0 {
		t.Skip("there is no O_DIRECT here")
	}
	d, err := r.OpenFile(f.Name(), os.O_RDWR|rio.O_DIRECT, 0)
	if err != nil {
		t.Skip(err)
	}
	defer d.Close()
	if _, err := d.ReadFrom(io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Error("O_DIRECT:", err)
	}
	for _, broken := range []error{broken, io.ErrUnexpectedEOF, nil} { // of which a Reader's own is none of ours
		if _, err := d.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		src := io.MultiReader(iotest.OneByteReader(strings.NewReader(strings.Repeat("abcd", 2048))), iotest.ErrReader(cmp.Or(broken, io.EOF)))
		if n, err := d.ReadFrom(src); n != 8192 || err != broken {
			t.Error("O_DIRECT:", n, err)
		}
	}
}
