package rio_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed-9c58b644/rio"
)

// pinnedKiB is how much memory of this process the kernel holds the pages of for long, as some kernels count it.
func pinnedKiB(t *testing.T) (n int) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if _, err := fmt.Sscanf(line, "VmPin: %d kB", &n); err == nil {
			return n
		}
	}
	t.Skip("no VmPin in /proc/self/status")
	return 0
}

// buffersOn has n buffers made, of zeros.
func buffersOn(t testing.TB, r *rio.Ring, n, size int) [][]byte {
	t.Helper()
	bufs, err := r.Buffers(n, size)
	if err != nil || len(bufs) != n {
		t.Fatalf("%d buffers, %v; want %d", len(bufs), err, n)
	}
	return bufs
}

func TestBuffersBeginWithAPageAndLieApart(t *testing.T) {
	r := newRing(t, nil)
	for _, c := range [][2]int{{0, 4096}, {3, 0}, {1, 1}, {5, 100}, {7, 4096}, {3, 4097}, {4, 1 << 20}, {2, 3 << 20}} {
		n, size := c[0], c[1]
		bufs := buffersOn(t, r, n, size)
		for i, b := range bufs {
			if len(b) != size || cap(b) != size {
				t.Errorf("%d of %d: len %d, cap %d", n, size, len(b), cap(b))
			}
			if uintptr(unsafe.Pointer(unsafe.SliceData(b)))%4096 != 0 {
				t.Errorf("%d of %d: %p is not aligned", n, size, b)
			}
			if bytes.Count(b, []byte{0}) != size {
				t.Errorf("%d of %d: not zeros", n, size)
			}
			for j := range b {
				b[j] = byte(i + 1)
			}
		}
		for i, b := range bufs {
			if bytes.Count(b, []byte{byte(i + 1)}) != size {
				t.Errorf("%d of %d: buffer %d shares memory", n, size, i)
			}
		}
	}
}

func TestBadBuffersAreErrors(t *testing.T) {
	r := newRing(t, nil)
	for _, c := range [][2]int{{-1, 1}, {1, -1}, {1, math.MaxInt}, {math.MaxInt, 1}, {math.MaxInt >> 1, math.MaxInt >> 1}, {math.MaxInt / 4096, 4096}} {
		if bufs, err := r.Buffers(c[0], c[1]); bufs != nil || !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), "Buffers") {
			t.Errorf("%d of %d: %d buffers, %v", c[0], c[1], len(bufs), err)
		}
	}
	closed := newRing(t, nil)
	closed.Close()
	if _, err := closed.Buffers(1, 1); !errors.Is(err, rio.ErrClosed) {
		t.Error("of a closed Ring:", err)
	}
	if _, err := (*rio.Ring)(nil).Buffers(1, 1); err == nil {
		t.Error("of no Ring: no error")
	}
}

// registered is how many bytes the kernel says that this process's rings have registered.
func registered(t *testing.T) (n int) {
	t.Helper()
	for fd, name := range openFDs() {
		if !strings.Contains(name, "io_uring") {
			continue
		}
		b, err := os.ReadFile("/proc/self/fdinfo/" + fd)
		if err != nil {
			continue // it is closed by now
		}
		for line := range strings.Lines(string(b)) {
			var place, at, size int
			if _, err := fmt.Sscanf(strings.TrimSpace(line), "%d: 0x%x/%d", &place, &at, &size); err == nil {
				n += size
			}
		}
	}
	return n
}

// The kernel holds the pages of Buffers from the call until Close.
func TestKernelHoldsThePagesOfBuffersUntilClose(t *testing.T) {
	r := newRing(t, nil)
	none := func() bool { return registered(t) == 0 && pinnedKiB(t) == 0 }
	eventually(t, "the kernel lets go of what earlier tests have left", none)
	buffersOn(t, r, 3, 1<<20)
	buffersOn(t, r, 1, 4096)
	if got := registered(t); got != 3<<20+4096 {
		if olderThan(t, 5, 19) {
			t.Skip("IORING_RSRC_REGISTER_SPARSE came with 5.19")
		}
		t.Errorf("%d bytes are registered; want 3 MiB and a page", got)
	}
	r.Close()
	eventually(t, "the kernel lets go of the pages", none)
}

// The 65th call's pages the kernel doesn't hold, and the Logger hears why.
func TestBuffersOfMoreCallsThanTheKernelHas(t *testing.T) {
	var log strings.Builder
	r := newRing(t, &rio.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for i := range 65 {
		if log.Len() > 0 {
			t.Skipf("nor does it hold those of call %d: %s", i, &log)
		}
		if _, err := r.Buffers(1, 4096); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(log.String(), "64 calls already") {
		t.Errorf("the Logger has heard %q", &log)
	}
}

// Each part of each buffer is written and read in its own place: on the disk, and in memory.
func TestBuffersCarryWhatTheyShould(t *testing.T) {
	for _, depth := range []int{1, 64} {
		t.Run(fmt.Sprint("depth=", depth), func(t *testing.T) {
			r := newRing(t, &rio.Config{Depth: depth})
			name, _ := directFile(t)
			f := openOn(t, r, name, os.O_RDWR|rio.O_DIRECT)
			bufs := buffersOn(t, r, 4, 8192)
			more := buffersOn(t, r, 1, 4096) // in another place of the table
			want := bytes.Repeat([]byte{'.'}, 8*4096)
			var writes []rio.Completion[int]
			for i, b := range bufs {
				for j := range b {
					b[j] = byte('a' + 2*i + j/4096)
				}
				// The halves in reverse.
				writes = append(writes, r.WriteAt(f, b[4096:], int64(2*i)*4096), r.WriteAt(f, b[:4096], int64(2*i+1)*4096))
				copy(want[2*i*4096:], bytes.Repeat([]byte{byte('a' + 2*i + 1)}, 4096))
				copy(want[(2*i+1)*4096:], bytes.Repeat([]byte{byte('a' + 2*i)}, 4096))
			}
			for _, w := range writes {
				wantInt(t, "write", w, 4096)
			}
			wantContent(t, name, want)
			copy(more[0], bytes.Repeat([]byte{'Z'}, 4096))
			wantInt(t, "write", r.WriteAt(f, more[0], 3*4096), 4096)
			copy(want[3*4096:], more[0])
			wantContent(t, name, want)
			for i, b := range bufs {
				wantInt(t, "read", r.ReadAt(f, b, int64(i)*8192), 8192)
			}
			if got := slices.Concat(bufs...); !bytes.Equal(got, want) {
				t.Errorf("read %.20q and so on", got)
			}
			wantInt(t, "read at the end", r.ReadAt(f, bufs[0], 7*4096), 4096)
			wantInt(t, "read behind the end", r.ReadAt(f, bufs[0], 8*4096), 0)
			wantInt(t, "read into nothing", r.ReadAt(f, bufs[0][:0], 0), 0)
			if n, err := f.ReadAt(bufs[1], 0); n != 8192 || err != nil || !bytes.Equal(bufs[1], want[:8192]) {
				t.Errorf("File.ReadAt: %d, %v", n, err)
			}
			_, err := r.ReadAt(f, bufs[0][1:4097], 0).Wait()
			if !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), "alignment") {
				t.Errorf("unaligned: %v", err)
			}
		})
	}
}

// In a chain a short read from the registered memory ends what follows, as any other does.
func TestShortReadIntoBuffersEndsItsChain(t *testing.T) {
	r := newRing(t, nil)
	name, content := directFile(t)
	f := openOn(t, r, name, os.O_RDWR|rio.O_DIRECT)
	bufs := buffersOn(t, r, 2, 8192)
	for _, at := range []int64{0, int64(len(content)) - 4096} {
		chain := r.Chain()
		read, write := chain.ReadAt(f, bufs[0], at), chain.WriteAt(f, bufs[1][:4096], 0)
		if err := chain.Submit(); err != nil {
			t.Fatal(err)
		}
		if at == 0 {
			wantInt(t, "read", read, 8192)
			wantInt(t, "write", write, 4096)
			copy(content, bufs[1][:4096])
			continue
		}
		wantInt(t, "short read", read, 4096)
		fails(t, write, syscall.ECANCELED)
	}
	wantContent(t, name, content)
}

// Buffers that nobody refers to any more stay what they are until the kernel is done; and after Close they are memory like
// any other, also for another Ring.
func TestBuffersOutliveTheirOperationsAndTheirRing(t *testing.T) {
	for _, kind := range []struct {
		name string
		flag int
	}{{"O_DIRECT", rio.O_DIRECT}, {"page cache", 0}} {
		t.Run(kind.name, func(t *testing.T) { testBuffersOutlive(t, kind.flag) })
	}
}

func testBuffersOutlive(t *testing.T, flag int) {
	r := newRing(t, nil)
	name, content := directFile(t)
	f := openOn(t, r, name, os.O_RDWR|flag)
	in, out := pipeOn(t, r)
	first := r.ReadAt(in, make([]byte, 1), 0)
	writes := func() (writes []rio.Completion[int]) {
		for i, b := range buffersOn(t, r, 4, 4096) {
			copy(b, bytes.Repeat([]byte{byte('A' + i)}, 4096))
			copy(content[i*4096:], b)
			writes = append(writes, r.WriteAt(f, b, int64(i)*4096, rio.Drain)) // not before the first has ended
		}
		return writes
	}()
	for range 3 {
		runtime.GC()
		for range 1000 {
			garbage = bytes.Repeat([]byte{0xff}, 4*4096+4095) // as much as Aligned takes
		}
	}
	wantInt(t, "write to the pipe", r.WriteAt(out, []byte("x"), 0), 1)
	wantInt(t, "first", first, 1)
	for _, w := range writes {
		wantInt(t, "write", w, 4096)
	}
	wantContent(t, name, content)

	bufs := buffersOn(t, r, 2, 4096)
	f.Close()
	r.Close()
	other := newRing(t, nil)
	g := openOn(t, other, name, os.O_RDWR|flag)
	for i := range 100 {
		wantInt(t, "read", other.ReadAt(g, bufs[i%2], 4096), 4096)
		if !bytes.Equal(bufs[i%2], content[4096:8192]) {
			t.Fatal("read something else")
		}
		runtime.GC()
	}
}

var garbage []byte

// More calls than the kernel's table has places, from many goroutines, while others use what they have.
func TestBuffersOfManyGoroutines(t *testing.T) {
	r := newRing(t, nil)
	name, content := directFile(t)
	f := openOn(t, r, name, os.O_RDONLY|rio.O_DIRECT)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 12 {
				bufs, err := r.Buffers(2, 4096)
				if err != nil {
					t.Error(err)
					return
				}
				for j, b := range bufs {
					at := (g + i + j) % 4 * 4096
					if n, err := r.ReadAt(f, b, int64(at)).Wait(); n != 4096 || err != nil || !bytes.Equal(b, content[at:][:4096]) {
						t.Errorf("goroutine %d: %d, %v, or other bytes", g, n, err)
					}
				}
			}
		})
	}
	all.Wait()
}

// Where the kernel may not lock memory they are buffers all the same.
func TestBuffersWhereNothingMayBeLocked(t *testing.T) {
	name, content := directFile(t)
	t.Run("", func(t *testing.T) {
		runtime.LockOSThread() // and never unlocked: the thread, which gives up a right, ends with this function
		giveUpLocking(t)
		var said said
		r := newRing(t, &rio.Config{Logger: slog.New(slog.NewTextHandler(&said, nil))})
		var was unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &was); err != nil {
			t.Fatal(err)
		}
		if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 0, Max: was.Max}); err != nil {
			t.Fatal(err)
		}
		defer unix.Setrlimit(unix.RLIMIT_MEMLOCK, &was)
		f := openOn(t, r, name, os.O_RDONLY|rio.O_DIRECT)
		bufs := buffersOn(t, r, 2, 8192)
		wantInt(t, "read", r.ReadAt(f, bufs[1], 4096), 8192)
		if !bytes.Equal(bufs[1], content[4096:][:8192]) {
			t.Error("read something else")
		}
		if got := registered(t); got != 0 {
			t.Errorf("%d bytes are registered; want none", got)
		}
		if !strings.Contains(said.text(), "Buffers") {
			t.Errorf("the Logger heard %q; want a word about Buffers", said.text())
		}
	})
}

// giveUpLocking takes from the calling thread the right to lock more memory than RLIMIT_MEMLOCK says.
func giveUpLocking(t *testing.T) {
	t.Helper()
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&hdr, &caps[0]); err != nil {
		t.Fatal(err)
	}
	caps[unix.CAP_IPC_LOCK/32].Effective &^= 1 << (unix.CAP_IPC_LOCK % 32)
	if err := unix.Capset(&hdr, &caps[0]); err != nil {
		t.Fatal(err)
	}
}
