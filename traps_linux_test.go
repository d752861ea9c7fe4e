package rio_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-9c58b644/rio"
)

// onDyingThread runs f on an OS thread that is gone when this returns: the kernel ends what a dead thread has submitted.
func onDyingThread(t *testing.T, f func()) {
	t.Helper()
	tid := make(chan int, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		f()
		tid <- unix.Gettid()
	}()
	id := <-tid
	if id == os.Getpid() {
		return // the main thread never ends
	}
	eventually(t, "the thread is gone", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", id))
		return err != nil
	})
}

func TestOperationsOutliveTheThreadThatSubmittedThem(t *testing.T) {
	owners(t, func(t *testing.T, own func(*rio.Ring, *os.File) syscall.Conn) {
		r := newRing(t, nil)
		for i := range 8 {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			a, b := tcpPair(t)
			pr, pw := tempPipe(t)
			p := own(r, pr)
			buf, rbuf := make([]byte, 4), make([]byte, 4)
			var rd, rc rio.Completion[int]
			var acc rio.Completion[*rio.Conn]
			onDyingThread(t, func() {
				rd, rc, acc = r.ReadAt(p, buf, 0), r.Recv(a, rbuf), r.Accept(l)
				r.SubmitAll()
			})
			waiting := make(chan error, 1)
			if i%2 == 0 { // somebody waits before the event comes
				go func() { waiting <- errOf(rd.Wait()) }()
			}
			pw.Write([]byte("pipe"))
			b.Write([]byte("sock"))
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if i%2 != 0 {
				waiting <- errOf(rd.Wait())
			}
			if err := <-waiting; err != nil {
				t.Fatal(err)
			}
			if n := ok(t, rc); n != 4 || string(rbuf) != "sock" || string(buf) != "pipe" {
				t.Fatalf("%d %q %q", n, rbuf, buf)
			}
			conn := ok(t, acc)
			if conn.RemoteAddr().String() != c.LocalAddr().String() {
				t.Error(conn.RemoteAddr())
			}
			conn.Close()
		}
	})
}

func TestLinksOutliveTheThreadThatSubmittedThem(t *testing.T) {
	owners(t, func(t *testing.T, own func(*rio.Ring, *os.File) syscall.Conn) {
		for _, chained := range []bool{false, true} {
			r := newRing(t, nil)
			pr, pw := tempPipe(t)
			pr2, pw2 := tempPipe(t)
			p, p2, f := own(r, pr), own(r, pr2), own(r, appendFile(t))
			want := ""
			for i := range 8 {
				var cs [4]rio.Completion[int]
				onDyingThread(t, func() {
					if chained {
						c := r.Chain()
						cs[0], cs[1] = c.ReadAt(p, make([]byte, 1), 0), c.WriteAt(f, []byte("1"), 0)
						cs[2], cs[3] = c.ReadAt(p2, make([]byte, 1), 0), c.WriteAt(f, []byte("2"), 0)
						if err := c.Submit(); err != nil {
							t.Error(err)
						}
					} else {
						cs[0], cs[1] = r.ReadAt(p, make([]byte, 1), 0, rio.Link), r.WriteAt(f, []byte("1"), 0, rio.Link)
						cs[2], cs[3] = r.ReadAt(p2, make([]byte, 1), 0, rio.Link), r.WriteAt(f, []byte("2"), 0)
					}
					r.SubmitAll()
				})
				pw.Write([]byte("x"))
				want += "1"
				ok(t, cs[1])
				if i%2 == 0 {
					pw2.Write([]byte("x"))
					want += "2"
					ok(t, cs[3])
					ok(t, cs[2])
				} else {
					cs[2].Cancel()
					fails(t, cs[3], syscall.ECANCELED)
					fails(t, cs[2], syscall.ECANCELED)
				}
				ok(t, cs[0])
			}
			if got := content(t, f.(interface{ Name() string })); got != want {
				t.Fatalf("the file has %q, not %q", got, want)
			}
		}
	})
}

// Syncs and writes to regular files run on the kernel's workers, which die with the thread too.
func TestFileOperationsOutliveTheThreadThatSubmittedThem(t *testing.T) {
	r := newRing(t, nil)
	f := tempFile(t, "")
	h := own(t, r, tempFile(t, ""))
	data := bytes.Repeat([]byte("x"), 1<<16)
	for i := range 10 {
		var ws []rio.Completion[int]
		var ss []rio.Completion[struct{}]
		onDyingThread(t, func() {
			for k := range 4 {
				ws = append(ws, r.WriteAt(f, data, int64(4*i+k)<<16), r.WriteAt(h, data, int64(4*i+k)<<16))
				ss = append(ss, r.Fsync(f), r.Fdatasync(h), r.Fallocate(h, 0, 0, 1))
			}
			r.SubmitAll()
		})
		for _, c := range ws {
			if n := ok(t, c); n != len(data) {
				t.Fatal(n)
			}
		}
		for _, c := range ss {
			ok(t, c)
		}
	}
	if len(content(t, f)) != 40<<16 || len(content(t, h)) != 40<<16 {
		t.Error("something is missing on disk")
	}
}

// The kernel looks the descriptor of an fsync or fallocate up on a worker, after enter has returned.
func TestForeignSyncAndFallocateReachTheFileTheyWereGiven(t *testing.T) {
	r := newRing(t, nil)
	dir := t.TempDir()
	n := 150
	if testing.Short() {
		n = 40
	}
	for i := range n {
		a, err := os.Create(filepath.Join(dir, "a"))
		if err != nil {
			t.Fatal(err)
		}
		alloc := r.Fallocate(a, 0, 0, 4096)
		var syncs []rio.Completion[struct{}]
		if i%2 == 0 {
			syncs = append(syncs, r.Fsync(a), r.Fdatasync(a), r.SyncFileRange(a, 0, 1))
		}
		a.Close()
		b, err := os.Create(filepath.Join(dir, "b"))
		if err != nil {
			t.Fatal(err)
		}
		ok(t, alloc)
		for _, s := range syncs {
			ok(t, s)
		}
		if st, err := b.Stat(); err != nil || st.Size() != 0 {
			t.Fatalf("the fallocate reached the file that got the number next: %d bytes, %v", st.Size(), err)
		}
		b.Close()
		if st, err := os.Stat(a.Name()); err != nil || st.Size() != 4096 {
			t.Fatalf("%d bytes, %v", st.Size(), err)
		}
		os.Remove(a.Name())
	}
}

// Goroutines open, start something, close, and open again, so that numbers are reused at every moment. Each file has
// its name in it, over and over: no byte may come from or get to another one.
func TestNoOperationReachesAnotherFile(t *testing.T) {
	for _, procs := range []int{runtime.GOMAXPROCS(0), 1} {
		t.Run(fmt.Sprint("procs=", procs), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			for _, sq := range []bool{false, true} {
				cfg := &rio.Config{Depth: 8}
				if sq && onThreads {
					continue
				}
				if sq {
					cfg.SQPoll, cfg.SQPollIdle = true, time.Millisecond
				}
				r := newRing(t, cfg)
				dir := t.TempDir()
				n := 120
				if testing.Short() || sq {
					n = 25
				}
				all(8, func(g int) { reuse(t, r, dir, g, n) })
			}
		})
	}
}

func reuse(t *testing.T, r *rio.Ring, dir string, g, n int) {
	rnd := rand.New(rand.NewPCG(uint64(g), 1))
	for i := range n {
		name := fmt.Sprintf("%02d-%05d.", g, i)
		path := filepath.Join(dir, name)
		mine := bytes.Repeat([]byte(name), 16)
		if err := os.WriteFile(path, mine, 0o600); err != nil {
			t.Error(err)
			return
		}
		var f interface {
			syscall.Conn
			io.Closer
		}
		var err error
		if rnd.IntN(2) == 0 {
			f, err = r.OpenFile(path, os.O_RDWR, 0)
		} else {
			f, err = os.OpenFile(path, os.O_RDWR, 0)
		}
		if err != nil {
			t.Error(err)
			return
		}
		buf, buf2 := make([]byte, len(mine)), make([]byte, len(mine))
		end := int64(len(mine))
		var cs []rio.Completion[int]
		switch rnd.IntN(6) {
		case 0:
			cs = append(cs, r.ReadAt(f, buf, 0), r.WriteAt(f, mine, end))
		case 1:
			cs = append(cs, r.ReadAt(f, buf, 0, rio.Drain), r.WriteAt(f, mine, end, rio.Drain))
		case 2:
			cs = append(cs, r.ReadAt(f, buf, 0, rio.Link), r.WriteAt(f, mine, end))
		case 3:
			c := r.Chain()
			cs = append(cs, c.ReadAt(f, buf, 0), c.WriteAt(f, mine, end))
			c.Fdatasync(f)
			cs = append(cs, c.ReadAt(f, buf2, end))
			if err := c.Submit(); err != nil {
				t.Error(err)
				return
			}
		case 4:
			cs = append(cs, r.ReadAt(f, buf, 0))
			r.Fsync(f)
			r.Fallocate(f, 0, 0, 1)
			cs = append(cs, r.WriteAt(f, mine, end))
		case 5:
			cs = append(cs, r.ReadvAt(f, [][]byte{buf[:7], buf[7:]}, 0), r.WritevAt(f, [][]byte{mine[:9], mine[9:]}, end))
		}
		if rnd.IntN(3) == 0 {
			runtime.Gosched()
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		// Another file, perhaps with that number, that nothing was started on.
		bait, err := os.OpenFile(filepath.Join(dir, fmt.Sprint("bait", g)), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Error(err)
			return
		}
		for _, c := range cs {
			// What another goroutine has linked may have failed: never here, nothing of this fails.
			if n, err := c.Wait(); err != nil || n != len(mine) {
				t.Error(name, n, err)
			}
		}
		if !bytes.Equal(buf, mine) {
			t.Errorf("%s: read %q", name, buf)
		}
		if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, append(mine, mine...)) {
			t.Errorf("%s has %d bytes: %.60q, %v", name, len(b), b, err)
		}
		if st, err := bait.Stat(); err != nil || st.Size() != 0 {
			t.Errorf("a file that nobody wrote to has %d bytes, %v", st.Size(), err)
		}
		bait.Close()
		os.Remove(path)
	}
}

// A pipe's or socket's end is closed while a read of it is pending, and the number reused.
func TestPendingReadStaysWithItsPipe(t *testing.T) {
	owners(t, func(t *testing.T, own func(*rio.Ring, *os.File) syscall.Conn) {
		shapes(t, func(t *testing.T, r *rio.Ring) {
			for i := range 20 {
				pr, pw := tempPipe(t)
				f := own(r, pr)
				buf := make([]byte, 4)
				c := r.ReadAt(f, buf, 0, []rio.Ordering{rio.None, rio.Drain}[i%2])
				r.SubmitAll()
				_, foreign := f.(*os.File)
				f.(io.Closer).Close()
				pr2, pw2 := tempPipe(t) // takes the number
				pw2.Write([]byte("evil"))
				if foreign {
					pw.Write([]byte("good"))
					if n := ok(t, c); n != 4 || string(buf) != "good" {
						t.Fatalf("%d %q", n, buf)
					}
				} else {
					fails(t, c, os.ErrClosed)
					if string(buf) != "\x00\x00\x00\x00" {
						t.Fatalf("%q", buf)
					}
				}
				if n, err := pr2.Read(buf); n != 4 || string(buf) != "evil" {
					t.Fatal(n, err, buf)
				}
				for _, f := range []*os.File{pr, pw, pr2, pw2} {
					f.Close()
				}
			}
		})
	})
}

// Signals, Go's own for preemption among them, interrupt enter; the collector runs, stacks grow, buffers lie between
// others that must stay as they are.
func TestSignalsAndCollectionsDisturbNothing(t *testing.T) {
	for _, procs := range []int{runtime.GOMAXPROCS(0), 1} {
		t.Run(fmt.Sprint("procs=", procs), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			r := newRing(t, &rio.Config{Depth: 8})
			data := make([]byte, 1<<16)
			for i := range data {
				data[i] = byte(i*7 + i>>8)
			}
			f := tempFile(t, string(data))
			h := own(t, r, f)
			a, b := tcpPair(t)
			var stop atomic.Bool
			var sum atomic.Int64
			n := 150
			if testing.Short() {
				n = 30
			}
			var left atomic.Int32
			left.Store(5)
			all(9, func(g int) {
				if g < 5 {
					defer func() {
						if left.Add(-1) == 0 {
							stop.Store(true)
						}
					}()
				}
				switch g {
				case 0, 1, 2:
					for i := range n {
						if !deep(t, r, h, data, i*37+g, 1+i%40) {
							return
						}
					}
				case 3: // a connection, both ends through the ring
					for i := range n {
						got := make([]byte, 512)
						rc := r.Recv(a, got)
						if _, err := r.Send(b, data[i:i+512]).Wait(); err != nil {
							t.Error(err)
							return
						}
						if m, err := rc.Wait(); err != nil || m == 0 || !bytes.Equal(got[:m], data[i:i+m]) {
							t.Error("other bytes arrived", m, err)
							return
						} else if _, err := io.ReadFull(a, got[m:]); err != nil {
							t.Error(err)
							return
						}
					}
				case 4:
					for i := range n {
						got := make([]byte, 100)
						c := r.Chain()
						c.ReadvAt(h, [][]byte{got[:50], got[50:]}, int64(i))
						c.Fdatasync(h)
						last := c.Nop()
						if err := c.Submit(); err != nil {
							t.Error(err)
							return
						}
						if _, err := last.Wait(); err != nil || !bytes.Equal(got, data[i:i+100]) {
							t.Error("a chain read something else", err)
							return
						}
					}
				case 5:
					for !stop.Load() {
						unix.Kill(os.Getpid(), unix.SIGURG)
						runtime.Gosched()
					}
				case 6: // until it is preempted
					for x := int64(1); !stop.Load(); x++ {
						for k := range int64(100_000) {
							x ^= k * 2654435761
						}
						sum.Add(x)
					}
				case 7:
					for !stop.Load() {
						runtime.GC()
					}
				case 8:
					var keep [][]byte
					for i := 0; !stop.Load(); i++ {
						keep = append(keep, make([]byte, 1+i%5000))
						if len(keep) > 500 {
							keep = nil
							runtime.Gosched()
						}
					}
				}
			})
		})
	}
}

// deep reads into a buffer among canaries, at the end of a stack that has to grow.
func deep(t *testing.T, r *rio.Ring, f syscall.Conn, data []byte, seed, depth int) bool {
	var frame [700]byte
	for i := range frame {
		frame[i] = byte(seed)
	}
	good := true
	if depth > 0 {
		good = deep(t, r, f, data, seed, depth-1)
	} else {
		var buf [3][257]byte
		for i := range buf {
			for k := range buf[i] {
				buf[i][k] = 0xC5
			}
		}
		off := seed % (len(data) - 300)
		c := r.ReadAt(f, buf[1][:], int64(off))
		grow(60)
		if n, err := c.Wait(); n != 257 || err != nil || !bytes.Equal(buf[1][:], data[off:off+257]) {
			t.Error("read", n, err)
			return false
		}
		for k := range 257 {
			if buf[0][k] != 0xC5 || buf[2][k] != 0xC5 {
				t.Error("a neighbour of the buffer was written to")
				return false
			}
		}
	}
	for i := range frame {
		if frame[i] != byte(seed) {
			t.Error("the stack was written to")
			return false
		}
	}
	return good
}

//go:noinline
func grow(n int) byte {
	var b [1024]byte
	b[n] = byte(n)
	if n > 0 {
		return grow(n-1) + b[n]
	}
	return b[0]
}

// Forgotten reads go on while the heap is collected and used again: the kernel must never write to what is somebody
// else's by then.
func TestDroppedCompletionKeepsItsBuffer(t *testing.T) {
	r := newRing(t, &rio.Config{Depth: 64})
	pr, pw := tempPipe(t)
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	for range rounds {
		func() {
			for range 64 {
				r.ReadAt(pr, make([]byte, 1024), 0)
			}
		}()
		r.SubmitAll()
		runtime.GC()
		runtime.GC()
		var others [][]byte // where the buffers would lie, had they been freed
		for range 4096 {
			others = append(others, bytes.Repeat([]byte{0xC5}, 1024))
		}
		chunk := bytes.Repeat([]byte{0xEE}, 1024)
		for range 64 {
			pw.Write(chunk)
		}
		eventually(t, "all have ended", func() bool { return r.Stats().InFlight == 0 })
		for _, o := range others {
			for _, b := range o {
				if b != 0xC5 {
					t.Fatal("the kernel wrote to somebody else's memory")
				}
			}
		}
		// A read may have taken more than one chunk's place: take what is left.
		pr.SetReadDeadline(time.Now().Add(-time.Second))
		for {
			if _, err := pr.Read(chunk); errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
		}
		pr.SetReadDeadline(time.Time{})
	}
}

// A stranger's number is its file's only in Control: before and after that it is another one's.
type stranger struct {
	mu          sync.Mutex
	file, other *os.File
	fd          int
}

func (s *stranger) SyscallConn() (syscall.RawConn, error) { return s, nil }
func (s *stranger) Read(func(fd uintptr) bool) error      { return errors.ErrUnsupported }
func (s *stranger) Write(func(fd uintptr) bool) error     { return errors.ErrUnsupported }

func (s *stranger) Control(f func(fd uintptr)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := unix.Dup3(int(s.file.Fd()), s.fd, unix.O_CLOEXEC); err != nil {
		return err
	}
	f(uintptr(s.fd))
	return unix.Dup3(int(s.other.Fd()), s.fd, unix.O_CLOEXEC)
}

func TestNumberOfAForeignFileIsUsedOnlyInControl(t *testing.T) {
	shapes(t, func(t *testing.T, r *rio.Ring) {
		const theirs = "not yours"
		s := &stranger{file: tempFile(t, "abc"), other: tempFile(t, theirs)}
		fd, err := unix.FcntlInt(s.other.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		s.fd = fd
		defer unix.Close(fd)
		buf := make([]byte, 3)
		if n := ok(t, r.ReadAt(s, buf, 0)); n != 3 || string(buf) != "abc" {
			t.Errorf("it read %q", buf[:n])
		}
		ok(t, r.WriteAt(s, []byte("0"), 0))
		linked := r.WriteAt(s, []byte("1"), 1, rio.Link)
		ok(t, r.WriteAt(s, []byte("2"), 2))
		ok(t, linked)
		ok(t, r.WriteAt(s, []byte("3"), 3, rio.Drain))
		for i := range 4 { // submitted later, together
			r.WriteAt(s, []byte{'4' + byte(i)}, 4+int64(i))
		}
		ok(t, r.Fallocate(s, 0, 0, 9, rio.Drain))
		c := r.Chain()
		c.WriteAt(s, []byte("8"), 8)
		if err := c.Submit(); err != nil {
			t.Fatal(err)
		}
		ok(t, r.Fsync(s, rio.Drain))
		if got := content(t, s.file); got != "012345678" {
			t.Errorf("its file has %q", got)
		}
		if got := content(t, s.other); got != theirs {
			t.Errorf("the other file has %q", got)
		}
	})
}
