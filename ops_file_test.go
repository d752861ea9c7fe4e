package rio_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-9c58b644/rio"
)

// An opWay is one of the ways to start an operation: on the Ring or in a Chain of one, on a handle of the ring's own, on
// one of another ring, or on what the standard library opened.
type opWay struct {
	r     *rio.Ring
	other *rio.Ring
	chain bool
	on    string
}

// eachWay runs f once for every way.
func eachWay(t *testing.T, f func(t *testing.T, w *opWay)) {
	t.Helper()
	for _, chain := range []bool{false, true} {
		for _, on := range []string{"own", "std", "other"} {
			name := "ring/" + on
			if chain {
				name = "chain/" + on
			}
			t.Run(name, func(t *testing.T) {
				w := &opWay{r: newRing(t, &rio.Config{Depth: 8}), chain: chain, on: on}
				if on == "other" {
					w.other = newRing(t, &rio.Config{Depth: 8})
				}
				f(t, w)
			})
		}
	}
}

// open opens a file in w's way, and closes it when the test ends.
func (w *opWay) open(t *testing.T, name string, flag int) syscall.Conn {
	t.Helper()
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return w.file(t, f)
}

// file makes of f what w's operations go to.
func (w *opWay) file(t *testing.T, f *os.File) syscall.Conn {
	t.Helper()
	r := w.r
	switch w.on {
	case "std":
		t.Cleanup(func() { f.Close() })
		return f
	case "other":
		r = w.other
	}
	rf, err := r.NewFile(f)
	if err != nil {
		f.Close()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rf.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	})
	return rf
}

// viaWay starts one operation, in a Chain of its own if w says so.
func viaWay[T any](w *opWay, ring func() rio.Completion[T], chain func(*rio.Chain) rio.Completion[T]) rio.Completion[T] {
	if !w.chain {
		return ring()
	}
	c := w.r.Chain()
	comp := chain(c)
	c.Submit() // its error is what the Completion resolves with
	return comp
}

func (w *opWay) nop() rio.Completion[struct{}] {
	return viaWay(w, func() rio.Completion[struct{}] { return w.r.Nop() }, (*rio.Chain).Nop)
}

func (w *opWay) readAt(f syscall.Conn, p []byte, off int64) rio.Completion[int] {
	return viaWay(w, func() rio.Completion[int] { return w.r.ReadAt(f, p, off) },
		func(c *rio.Chain) rio.Completion[int] { return c.ReadAt(f, p, off) })
}

func (w *opWay) writeAt(f syscall.Conn, p []byte, off int64) rio.Completion[int] {
	return viaWay(w, func() rio.Completion[int] { return w.r.WriteAt(f, p, off) },
		func(c *rio.Chain) rio.Completion[int] { return c.WriteAt(f, p, off) })
}

func (w *opWay) readvAt(f syscall.Conn, bufs [][]byte, off int64) rio.Completion[int] {
	return viaWay(w, func() rio.Completion[int] { return w.r.ReadvAt(f, bufs, off) },
		func(c *rio.Chain) rio.Completion[int] { return c.ReadvAt(f, bufs, off) })
}

func (w *opWay) writevAt(f syscall.Conn, bufs [][]byte, off int64) rio.Completion[int] {
	return viaWay(w, func() rio.Completion[int] { return w.r.WritevAt(f, bufs, off) },
		func(c *rio.Chain) rio.Completion[int] { return c.WritevAt(f, bufs, off) })
}

func (w *opWay) fsync(f syscall.Conn) rio.Completion[struct{}] {
	return viaWay(w, func() rio.Completion[struct{}] { return w.r.Fsync(f) },
		func(c *rio.Chain) rio.Completion[struct{}] { return c.Fsync(f) })
}

func (w *opWay) fdatasync(f syscall.Conn) rio.Completion[struct{}] {
	return viaWay(w, func() rio.Completion[struct{}] { return w.r.Fdatasync(f) },
		func(c *rio.Chain) rio.Completion[struct{}] { return c.Fdatasync(f) })
}

func (w *opWay) syncRange(f syscall.Conn, off, n int64) rio.Completion[struct{}] {
	return viaWay(w, func() rio.Completion[struct{}] { return w.r.SyncFileRange(f, off, n) },
		func(c *rio.Chain) rio.Completion[struct{}] { return c.SyncFileRange(f, off, n) })
}

func (w *opWay) fallocate(f syscall.Conn, mode uint32, off, n int64) rio.Completion[struct{}] {
	return viaWay(w, func() rio.Completion[struct{}] { return w.r.Fallocate(f, mode, off, n) },
		func(c *rio.Chain) rio.Completion[struct{}] { return c.Fallocate(f, mode, off, n) })
}

// wantInt waits for n bytes.
func wantInt(t *testing.T, what string, c rio.Completion[int], n int) {
	t.Helper()
	if got, err := c.Wait(); got != n || err != nil {
		t.Fatalf("%s: %d, %v; want %d, nil", what, got, err, n)
	}
}

// wantErrno waits for that errno, from that system call.
func wantErrno[T any](t *testing.T, call string, c rio.Completion[T], errno syscall.Errno) {
	t.Helper()
	_, err := c.Wait()
	if !is(err, errno) {
		t.Fatalf("%s: %v; want %v", call, err, errno)
	}
	if se := (*os.SyscallError)(nil); !errors.As(err, &se) || se.Syscall != call {
		t.Fatalf("%#v is not an os.SyscallError of %q", err, call)
	}
}

// letters are n bytes of which no two neighbouring pages look the same.
func letters(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + (i+i/251+i/4096*7)%26)
	}
	return b
}

// fileOf makes a file of that content.
func fileOf(t testing.TB, content []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func wantContent(t *testing.T, name string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("the file has %d bytes %.40q, want %d bytes %.40q", len(got), got, len(want), want)
	}
}

func TestNopGoesThroughTheKernel(t *testing.T) {
	eachWay(t, func(t *testing.T, w *opWay) {
		before := w.r.Stats()
		if _, err := w.nop().Wait(); err != nil {
			t.Fatal(err)
		}
		if s := w.r.Stats(); s.Submitted <= before.Submitted || s.Completed != before.Completed+1 {
			t.Fatalf("before %+v, after %+v", before, s)
		}
	})
}

func TestReadAtIsPread(t *testing.T) {
	eachWay(t, func(t *testing.T, w *opWay) {
		want := letters(10000)
		f := w.open(t, fileOf(t, want), os.O_RDONLY)
		for _, c := range []struct {
			name   string
			off    int64
			len, n int
		}{
			{"all", 0, 10000, 10000},
			{"the middle", 4097, 301, 301},
			{"one byte", 9999, 1, 1},
			{"short at the end", 9990, 100, 10},
			{"at the end", 10000, 100, 0},
			{"behind the end", 1 << 40, 100, 0},
			{"empty buffer", 5, 0, 0},
			{"empty buffer at the end", 10000, 0, 0},
		} {
			buf := bytes.Repeat([]byte{'#'}, c.len)
			wantInt(t, c.name, w.readAt(f, buf, c.off), c.n)
			if c.n > 0 && !bytes.Equal(buf[:c.n], want[c.off:][:c.n]) {
				t.Fatalf("%s: read %.40q", c.name, buf)
			}
			if rest := buf[c.n:]; bytes.Count(rest, []byte{'#'}) != len(rest) {
				t.Fatalf("%s: wrote behind what was read: %.40q", c.name, rest)
			}
		}
		wantInt(t, "nil buffer", w.readAt(f, nil, 0), 0)
		wantErrno(t, "pwrite", w.writeAt(f, []byte("x"), 0), syscall.EBADF)
		wantErrno(t, "pread", w.readAt(w.open(t, t.TempDir(), os.O_RDONLY), make([]byte, 8), 0), syscall.EISDIR)
	})
}

func TestWriteAtIsPwrite(t *testing.T) {
	eachWay(t, func(t *testing.T, w *opWay) {
		name := fileOf(t, []byte("0123456789"))
		f := w.open(t, name, os.O_WRONLY)
		wantInt(t, "middle", w.writeAt(f, []byte("abc"), 3), 3)
		wantContent(t, name, []byte("012abc6789"))
		wantInt(t, "empty", w.writeAt(f, nil, 4), 0)
		wantInt(t, "empty, behind the end", w.writeAt(f, []byte{}, 400), 0)
		wantContent(t, name, []byte("012abc6789"))
		wantInt(t, "over the end", w.writeAt(f, []byte("xyz"), 8), 3)
		wantInt(t, "behind a hole", w.writeAt(f, []byte("!"), 14), 1)
		wantContent(t, name, []byte("012abc67xyz\x00\x00\x00!"))
		long := letters(3 << 20)
		wantInt(t, "long", w.writeAt(f, long, 0), len(long))
		wantContent(t, name, long)
		wantErrno(t, "pread", w.readAt(f, make([]byte, 1), 0), syscall.EBADF)
	})
}

func TestWriteAtAppendsWithOAppend(t *testing.T) {
	eachWay(t, func(t *testing.T, w *opWay) {
		name := fileOf(t, []byte("head,"))
		f := w.open(t, name, os.O_WRONLY|os.O_APPEND)
		wantInt(t, "append", w.writeAt(f, []byte("one,"), 0), 4)
		wantInt(t, "append", w.writevAt(f, [][]byte{[]byte("two"), []byte(",")}, 1), 4)
		wantContent(t, name, []byte("head,one,two,"))
	})
}

func TestReadvAtFillsOneBufferAfterTheOther(t *testing.T) {
	eachWay(t, func(t *testing.T, w *opWay) {
		want := letters(5000)
		f := w.open(t, fileOf(t, want), os.O_RDONLY)
		read := func(what string, off int64, n int, lens ...int) {
			t.Helper()
			bufs := make([][]byte, len(lens))
			for i, l := range lens {
				bufs[i] = bytes.Repeat([]byte{'#'}, l)
			}
			mine := append([][]byte(nil), bufs...)
			c := w.readvAt(f, bufs, off)
			clear(bufs) // the slice is the caller's again
			wantInt(t, what, c, n)
			got := bytes.Join(mine, nil)
			if n > 0 && !bytes.Equal(got[:n], want[off:][:n]) || bytes.Count(got[n:], []byte{'#'}) != len(got)-n {
				t.Fatalf("%s: read %.60q", what, got)
			}
		}
		read("three", 10, 60, 10, 20, 30)
		read("one", 4999, 1, 1)
		read("empty ones in between", 100, 7, 0, 3, 0, 4, 0)
		read("short at the end", 4990, 10, 4, 100)
		read("at the end", 5000, 0, 4, 100)
		read("only empty ones", 0, 0, 0, 0)
		read("none", 0, 0)
		lens := make([]int, 1024)
		for i := range lens {
			lens[i] = 3
		}
		read("as many as may be", 1, 3072, lens...)
		wantInt(t, "nil", w.readvAt(f, nil, 0), 0)
	})
}

func TestWritevAtWritesOneBufferAfterTheOther(t *testing.T) {
	eachWay(t, func(t *testing.T, w *opWay) {
		name := fileOf(t, []byte("0123456789"))
		f := w.open(t, name, os.O_WRONLY)
		bufs := [][]byte{[]byte("ab"), nil, []byte("c"), {}}
		c := w.writevAt(f, bufs, 2)
		clear(bufs)
		wantInt(t, "writev", c, 3)
		wantContent(t, name, []byte("01abc56789"))
		wantInt(t, "none", w.writevAt(f, nil, 0), 0)
		wantInt(t, "empty ones", w.writevAt(f, [][]byte{nil, {}}, 50), 0)
		wantContent(t, name, []byte("01abc56789"))
		want := letters(1024)
		many := make([][]byte, 1024)
		for i := range many {
			many[i] = want[i : i+1]
		}
		wantInt(t, "as many as may be", w.writevAt(f, many, 0), 1024)
		wantContent(t, name, want)
		wantErrno(t, "preadv", w.readvAt(f, [][]byte{make([]byte, 1)}, 0), syscall.EBADF)
	})
}

func TestPipesIgnoreTheOffset(t *testing.T) {
	eachWay(t, func(t *testing.T, w *opWay) {
		pr, pw, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		in, out := w.file(t, pr), w.file(t, pw)
		buf := make([]byte, 16)

		early := w.readAt(in, buf, 12345) // waits for the write
		wantInt(t, "write", w.writeAt(out, []byte("hello"), 1<<40), 5)
		wantInt(t, "read", early, 5)
		if string(buf[:5]) != "hello" {
			t.Fatalf("read %q", buf[:5])
		}
		wantInt(t, "empty buffer, nothing there", w.readAt(in, nil, 3), 0)
		wantInt(t, "writev", w.writevAt(out, [][]byte{[]byte("wo"), []byte("rld")}, 99), 5)
		wantInt(t, "readv", w.readvAt(in, [][]byte{buf[:1], buf[1:16]}, 7), 5)
		if string(buf[:5]) != "world" {
			t.Fatalf("read %q", buf[:5])
		}
		wantErrno(t, "fsync", w.fsync(in), syscall.EINVAL)
		wantErrno(t, "fdatasync", w.fdatasync(in), syscall.EINVAL)
		wantErrno(t, "sync_file_range", w.syncRange(in, 0, 0), syscall.ESPIPE)
		wantErrno(t, "fallocate", w.fallocate(out, 0, 0, 10), syscall.ESPIPE)
		early = w.readAt(in, buf, 0)
		out.(interface{ Close() error }).Close()
		wantInt(t, "end", early, 0)
		wantInt(t, "after the end", w.readAt(in, buf, 4), 0)
	})
}

func TestWritingToABrokenPipeIsAnError(t *testing.T) {
	eachWay(t, func(t *testing.T, w *opWay) {
		pr, pw, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		pr.Close()
		out := w.file(t, pw)
		wantErrno(t, "pwrite", w.writeAt(out, []byte("x"), 0), syscall.EPIPE)
		wantErrno(t, "pwritev", w.writevAt(out, [][]byte{[]byte("x")}, 0), syscall.EPIPE)
	})
}

func TestSyncsSucceedOnAFile(t *testing.T) {
	eachWay(t, func(t *testing.T, w *opWay) {
		name := fileOf(t, nil)
		f := w.open(t, name, os.O_RDWR)
		want := letters(9000)
		wantInt(t, "write", w.writeAt(f, want, 0), len(want))
		for what, c := range map[string]rio.Completion[struct{}]{
			"fsync": w.fsync(f), "fdatasync": w.fdatasync(f), "part": w.syncRange(f, 4096, 100),
			"all": w.syncRange(f, 0, 0), "long": w.syncRange(f, 0, 1<<40), "behind": w.syncRange(f, 1<<40, 5),
		} {
			if _, err := c.Wait(); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		wantContent(t, name, want)
	})
}

func TestOneChainTakesEveryOperationOnFiles(t *testing.T) {
	r := newRing(t, nil)
	name := fileOf(t, nil)
	f, err := r.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	one, two, three := make([]byte, 6), make([]byte, 3), make([]byte, 3)
	c := r.Chain()
	nop := c.Nop()
	alloc := c.Fallocate(f, 0, 0, 12)
	write := c.WriteAt(f, []byte("abcdef"), 0)
	writev := c.WritevAt(f, [][]byte{[]byte("ghi"), []byte("jkl")}, 6)
	sync := c.Fsync(f)
	read := c.ReadAt(f, one, 3)
	rng := c.SyncFileRange(f, 0, 0)
	readv := c.ReadvAt(f, [][]byte{two, three}, 6)
	data := c.Fdatasync(f)
	if err := c.Submit(); err != nil {
		t.Fatal(err)
	}
	wantInt(t, "readv", readv, 6) // in whatever order they are waited for
	wantInt(t, "write", write, 6)
	wantInt(t, "writev", writev, 6)
	wantInt(t, "read", read, 6)
	for what, c := range map[string]rio.Completion[struct{}]{"nop": nop, "fallocate": alloc, "fsync": sync, "range": rng, "fdatasync": data} {
		if _, err := c.Wait(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got := string(one) + "," + string(two) + string(three); got != "defghi,ghijkl" {
		t.Errorf("read %q", got)
	}
	wantContent(t, name, []byte("abcdefghijkl"))
}

func TestClosedFilesAreAnError(t *testing.T) {
	eachWay(t, func(t *testing.T, w *opWay) {
		f := w.open(t, fileOf(t, letters(100)), os.O_RDWR)
		if err := f.(interface{ Close() error }).Close(); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 8)
		_, read := w.readAt(f, buf, 0).Wait()
		_, write := w.writeAt(f, buf, 0).Wait()
		_, readv := w.readvAt(f, [][]byte{buf}, 0).Wait()
		_, writev := w.writevAt(f, [][]byte{buf}, 0).Wait()
		_, sync := w.fsync(f).Wait()
		_, data := w.fdatasync(f).Wait()
		_, rng := w.syncRange(f, 0, 0).Wait()
		_, alloc := w.fallocate(f, 0, 0, 8).Wait()
		for what, err := range map[string]error{"pread": read, "pwrite": write, "preadv": readv, "pwritev": writev,
			"fsync": sync, "fdatasync": data, "sync_file_range": rng, "fallocate": alloc} {
			if !errors.Is(err, os.ErrClosed) || !strings.Contains(err.Error(), what) {
				t.Errorf("%s: %v; want os.ErrClosed and the operation's name", what, err)
			}
		}
		if _, err := w.nop().Wait(); err != nil {
			t.Error(err)
		}
	})
}

// An unhashable is a file that can be no key of a map.
type unhashable struct {
	*os.File
	tags []string
}

func TestAnythingWithADescriptorIsAFile(t *testing.T) {
	r := newRing(t, nil)
	f := tempFile(t, "")
	for i := range 3 {
		if n, err := r.WriteAt(unhashable{f, nil}, []byte("abc"), int64(3*i)).Wait(); n != 3 || err != nil {
			t.Error(n, err)
		}
	}
	if got := content(t, f); got != "abcabcabc" {
		t.Errorf("the file has %q", got)
	}
}
