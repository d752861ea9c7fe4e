package rio_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-9c58b644/rio"
)

// lacking skips a test for want of something, unless everything is to be run.
func lacking(t testing.TB, format string, args ...any) {
	t.Helper()
	why := fmt.Sprintf(format, args...)
	if os.Getenv("RIO_TEST_REQUIRE") != "" {
		t.Fatal("required, but: " + why)
	}
	t.Skip(why)
}

// blocks is how much of the file is allocated, in 512 bytes.
func blocks(t *testing.T, name string) (blocks, size int64) {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks, st.Size
}

func TestFallocateAllocatesAndPunchesHoles(t *testing.T) {
	eachWay(t, func(t *testing.T, w *opWay) {
		const mb = 1 << 20
		name := fileOf(t, nil)
		f := w.open(t, name, os.O_RDWR)
		alloc := func(mode uint32, off, n int64) {
			t.Helper()
			_, err := w.fallocate(f, mode, off, n).Wait()
			if errors.Is(err, errors.ErrUnsupported) {
				lacking(t, "fallocate mode %d: %v", mode, err)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		alloc(0, 0, 2*mb)
		if b, size := blocks(t, name); b < 2*mb/512 || size != 2*mb {
			t.Fatalf("after fallocate: %d blocks, size %d", b, size)
		}
		alloc(unix.FALLOC_FL_KEEP_SIZE, 2*mb, mb)
		b, size := blocks(t, name)
		if b < 3*mb/512 || size != 2*mb {
			t.Fatalf("after KEEP_SIZE: %d blocks, size %d", b, size)
		}
		want := bytes.Repeat([]byte("x"), 2*mb)
		wantInt(t, "write", w.writeAt(f, want, 0), len(want))
		alloc(unix.FALLOC_FL_KEEP_SIZE|unix.FALLOC_FL_PUNCH_HOLE, mb/2, mb)
		if b2, size := blocks(t, name); b2 > b-mb/512 || size != 2*mb {
			t.Fatalf("after PUNCH_HOLE: %d blocks of %d, size %d", b2, b, size)
		}
		clear(want[mb/2:][:mb])
		wantContent(t, name, want)
		alloc(unix.FALLOC_FL_ZERO_RANGE, 1, 9)
		clear(want[1:10])
		wantContent(t, name, want)
		wantErrno(t, "fallocate", w.fallocate(f, 0, 0, 0), syscall.EINVAL)
		wantErrno(t, "fallocate", w.fallocate(f, 1<<31, 0, 1), syscall.EOPNOTSUPP)
		wantErrno(t, "fallocate", w.fallocate(w.open(t, name, os.O_RDONLY), 0, 0, 1), syscall.EBADF)
	})
}

// dirty counts the pages of the range that are only in memory.
func dirty(t *testing.T, f *os.File, off, n uint64) uint64 {
	t.Helper()
	if olderThan(t, 6, 5) {
		t.Skip("cachestat(2) came with 6.5")
	}
	var st unix.Cachestat_t
	err := unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{Off: off, Len: n}, &st, 0)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP) {
		lacking(t, "cachestat(2): %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return st.Dirty + st.Writeback
}

func TestSyncsWriteTheDirtyPages(t *testing.T) {
	syncs := map[string]struct {
		sync  func(*opWay, syscall.Conn) rio.Completion[struct{}]
		clean uint64 // how much of the file it writes
	}{
		"fsync":           {func(w *opWay, f syscall.Conn) rio.Completion[struct{}] { return w.fsync(f) }, 1 << 20},
		"fdatasync":       {func(w *opWay, f syscall.Conn) rio.Completion[struct{}] { return w.fdatasync(f) }, 1 << 20},
		"sync_file_range": {func(w *opWay, f syscall.Conn) rio.Completion[struct{}] { return w.syncRange(f, 0, 256<<10) }, 256 << 10},
		"all of it":       {func(w *opWay, f syscall.Conn) rio.Completion[struct{}] { return w.syncRange(f, 0, 0) }, 1 << 20},
	}
	eachWay(t, func(t *testing.T, w *opWay) {
		for what, s := range syncs {
			name := fileOf(t, nil)
			seen, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer seen.Close()
			f := w.open(t, name, os.O_RDWR)
			data := letters(1 << 20)
			for try := 0; ; try++ {
				wantInt(t, "write", w.writeAt(f, data, 0), len(data))
				if dirty(t, seen, 0, s.clean) > 0 {
					break
				}
				if try == 10 { // the kernel may write them any time, but hardly always at once
					lacking(t, "written pages are not dirty on this file system")
				}
			}
			if _, err := s.sync(w, f).Wait(); err != nil {
				t.Fatal(err)
			}
			if n := dirty(t, seen, 0, s.clean); n != 0 {
				t.Errorf("%s left %d pages dirty", what, n)
			}
			wantContent(t, name, data)
		}
	})
}

func TestAFullDeviceIsAnError(t *testing.T) {
	eachWay(t, func(t *testing.T, w *opWay) {
		f := w.open(t, "/dev/full", os.O_RDWR)
		wantErrno(t, "pwrite", w.writeAt(f, []byte("x"), 0), syscall.ENOSPC)
		wantErrno(t, "pwritev", w.writevAt(f, [][]byte{[]byte("x")}, 0), syscall.ENOSPC)
		buf := []byte("###")
		wantInt(t, "read", w.readAt(f, buf, 77), 3)
		if string(buf) != "\x00\x00\x00" {
			t.Errorf("read %q", buf)
		}
	})
}

func TestTerminalsIgnoreTheOffset(t *testing.T) {
	eachWay(t, func(t *testing.T, w *opWay) {
		m, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
		if err != nil {
			lacking(t, "no terminals here: %v", err)
		}
		defer m.Close()
		rc, _ := m.SyscallConn()
		n := 0
		rc.Control(func(fd uintptr) {
			if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
				n, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		tty := w.open(t, fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY)
		buf := make([]byte, 32)
		read := w.readAt(tty, buf, 4711)
		if _, err := m.WriteString("line\n"); err != nil {
			t.Fatal(err)
		}
		wantInt(t, "read", read, 5)
		if string(buf[:5]) != "line\n" {
			t.Errorf("read %q", buf[:5])
		}
		wantInt(t, "write", w.writeAt(tty, []byte("out"), 1<<33), 3)
		got := ""
		for !strings.HasSuffix(got, "out") { // after the echo
			n, err := m.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			got += string(buf[:n])
		}
	})
}

func TestMappedMemoryIsABuffer(t *testing.T) {
	eachWay(t, func(t *testing.T, w *opWay) {
		want := letters(16 << 10)
		name := fileOf(t, want)
		f := w.open(t, name, os.O_RDWR)
		mem, err := unix.Mmap(-1, 0, 32<<10, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Munmap(mem)
		wantInt(t, "read", w.readAt(f, mem[1:], 0), len(want))
		if !bytes.Equal(mem[1:][:len(want)], want) {
			t.Error("the memory doesn't have what the file has")
		}
		wantInt(t, "readv", w.readvAt(f, [][]byte{mem[:100], make([]byte, 50), mem[200:300]}, 0), 250)
		if !bytes.Equal(mem[:100], want[:100]) || !bytes.Equal(mem[200:300], want[150:250]) {
			t.Error("the memory doesn't have what the file has")
		}

		// A mapping of another file, which the kernel reads from and writes to.
		mapped := fileOf(t, make([]byte, 4096))
		mf, err := os.OpenFile(mapped, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer mf.Close()
		shared, err := unix.Mmap(int(mf.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Munmap(shared)
		wantInt(t, "read", w.readAt(f, shared, 77), 4096)
		wantContent(t, mapped, want[77:][:4096])
		wantInt(t, "write", w.writeAt(f, shared, 16<<10), 4096)
		wantContent(t, name, append(bytes.Clone(want), want[77:][:4096]...))

		locked, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Munmap(locked)
		wantErrno(t, "pread", w.readAt(f, locked, 0), syscall.EFAULT)
		wantInt(t, "write", w.writeAt(f, locked[:3], 0), 3)
		if got, _ := os.ReadFile(name); string(got[:3]) != "\x00\x00\x00" {
			t.Errorf("wrote %q", got[:3])
		}
	})
}

// directFile is a file of four pages of letters on a file system with O_DIRECT that checks the alignment.
func directFile(t *testing.T) (name string, content []byte) {
	t.Helper()
	for _, dir := range []string{t.TempDir(), "."} {
		name = filepath.Join(dir, "direct.tmp")
		content = letters(16 << 10)
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(name, os.O_RDWR|rio.O_DIRECT, 0)
		if err == nil {
			rc, _ := f.SyscallConn()
			rc.Control(func(fd uintptr) { _, err = unix.Pread(int(fd), rio.Aligned(4096, 0)[:100], 7) })
			f.Close()
			if errors.Is(err, unix.EINVAL) {
				t.Cleanup(func() { os.Remove(name) })
				return name, content
			}
		}
		os.Remove(name)
	}
	lacking(t, "no file system here that is strict about O_DIRECT")
	return
}

func TestDirectIOWorksWithAlignedMemory(t *testing.T) {
	eachWay(t, func(t *testing.T, w *opWay) {
		name, want := directFile(t)
		f := w.open(t, name, os.O_RDWR|rio.O_DIRECT)
		buf := rio.Aligned(8192, 0)
		wantInt(t, "read", w.readAt(f, buf, 4096), 8192)
		if !bytes.Equal(buf, want[4096:][:8192]) {
			t.Error("read something else")
		}
		wantInt(t, "write", w.writeAt(f, buf, 0), 8192)
		copy(want, want[4096:][:8192])
		wantContent(t, name, want)
		wantInt(t, "readv", w.readvAt(f, [][]byte{buf[4096:], buf[:4096]}, 8192), 8192)
		if !bytes.Equal(buf[4096:], want[8192:][:4096]) || !bytes.Equal(buf[:4096], want[12288:]) {
			t.Error("read something else")
		}
		wantInt(t, "short at the end", w.readAt(f, buf, 12288), 4096)
		wantInt(t, "at the end", w.readAt(f, buf, 16384), 0)
	})
}

func TestUnalignedDirectIOSaysWhatIsWrong(t *testing.T) {
	eachWay(t, func(t *testing.T, w *opWay) {
		name, want := directFile(t)
		f := w.open(t, name, os.O_RDWR|rio.O_DIRECT)
		buf := rio.Aligned(8192, 0)
		for what, start := range map[string]func() rio.Completion[int]{
			"memory":        func() rio.Completion[int] { return w.readAt(f, buf[1:4097], 0) },
			"offset":        func() rio.Completion[int] { return w.readAt(f, buf[:4096], 7) },
			"length":        func() rio.Completion[int] { return w.readAt(f, buf[:100], 0) },
			"write, memory": func() rio.Completion[int] { return w.writeAt(f, buf[1:4097], 0) },
			"write, length": func() rio.Completion[int] { return w.writeAt(f, buf[:100], 0) },
			"readv":         func() rio.Completion[int] { return w.readvAt(f, [][]byte{buf[1:4097]}, 0) },
			"writev":        func() rio.Completion[int] { return w.writevAt(f, [][]byte{buf[:4096], buf[4096:4100]}, 0) },
		} {
			_, err := start().Wait()
			if !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), "alignment") {
				t.Errorf("%s: %v; want EINVAL and a word about alignment", what, err)
			}
			if se := (*os.SyscallError)(nil); !errors.As(err, &se) {
				t.Errorf("%s: %#v is no os.SyscallError", what, err)
			}
		}
		wantContent(t, name, want)
		plain := w.open(t, name, os.O_RDWR)
		wantInt(t, "no O_DIRECT", w.readAt(plain, buf[1:101], 7), 100)
	})
}
