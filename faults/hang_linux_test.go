package faults

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
)

func TestShortTransfersAreContinued(t *testing.T) {
	f := inject(t, 5, "FUSE moves at most 1000 bytes at a time")
	m := badMountOf(f)
	r := f.ring(nil)
	h := open(f, r, m.name("short"), os.O_RDWR)
	buf := make([]byte, 64<<10)
	// Ring.ReadAt of more than one piece is not to be trusted here: after a short read the kernel reads on from the same
	// offset (seen on 6.18; with O_DIRECT or not, FOPEN_DIRECT_IO is what counts). File reads by itself.
	if n := ok(f, r.ReadAt(h, buf[:900], 50)); n != 900 {
		t.Errorf("Ring.ReadAt gives %d", n)
	}
	f.same("a piece", buf[:900], wantBad(50, 900))
	if n := ok(f, r.WriteAt(h, wantBad(0, 5000), 0)); n != 1000 {
		t.Errorf("Ring.WriteAt gives %d: it is as pwrite(2), short", n)
	}
	n, err := h.ReadAt(buf, 100)
	if n != len(buf) || err != nil {
		t.Errorf("File.ReadAt gives %d, %v", n, err)
	}
	f.same("read", buf, wantBad(100, len(buf)))
	want := tagged("short", 3, 4, 50001)
	if n, err := h.WriteAt(want, 7); n != len(want) || err != nil {
		t.Errorf("File.WriteAt gives %d, %v", n, err)
	}
	got := make([]byte, len(want))
	if _, err := h.ReadAt(got, 7); err != nil {
		t.Error(err)
	}
	f.same("write", got, want)
	if n, err := h.ReadAt(make([]byte, 5000), badSize-3000); n != 3000 || err != io.EOF {
		t.Errorf("at the end File.ReadAt gives %d, %v", n, err)
	}
	for _, size := range []int{512, 5000} { // a file that behaves has an end as well
		p, err := r.OpenFile(m.name("plain"), os.O_RDONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Seek(badSize-3000, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		var got []byte
		for b := make([]byte, size); ; f.ops.Add(1) {
			n, err := p.Read(b)
			if got = append(got, b[:n]...); err != nil {
				break
			}
		}
		f.same("the end of a file", got, wantBad(badSize-3000, 3000))
		p.Close()
	}
	f.ops.Add(66 + 51*2 + 5)

	// Each operation of a chain begins only if the one before has succeeded in full.
	c := r.Chain()
	write := c.WriteAt(h, make([]byte, 5000), 200<<10)
	sync := c.Fdatasync(h)
	if err := c.Submit(); err != nil {
		t.Fatal(err)
	}
	if n, err := write.Wait(); n != 1000 || err != nil {
		t.Errorf("the write gives %d, %v", n, err)
	}
	if _, err := sync.Wait(); !errors.Is(err, syscall.ECANCELED) {
		t.Errorf("behind a short write the sync says %v: it would be taken for durable", err)
	}
	f.ops.Add(2)
}

func TestErrorsInTheMiddle(t *testing.T) {
	f := inject(t, 27, "FUSE: EIO beyond 64 KiB, and for fsync")
	m := badMountOf(f)
	r := f.ring(nil)
	h := open(f, r, m.name("eio"), os.O_RDWR)
	buf := make([]byte, 4096)
	var cs []rio.Completion[int]
	for i := range 32 {
		cs = append(cs, r.ReadAt(h, make([]byte, 4096), int64(i*4096)))
	}
	for i, c := range cs {
		_, err := c.Wait()
		if beyond := i >= 16; beyond != errors.Is(err, syscall.EIO) || !beyond && err != nil {
			f.lost.Add(1)
			t.Errorf("block %d: %v", i, err)
		}
		f.ops.Add(1)
	}
	if n, err := h.ReadAt(buf, 60<<10); n != 4096 || err != nil {
		t.Errorf("File.ReadAt up to the bad place gives %d, %v", n, err)
	}
	f.same("read", buf, wantBad(60<<10, len(buf)))
	if _, err := h.WriteAt(buf, 64<<10); !errors.Is(err, syscall.EIO) {
		t.Errorf("File.WriteAt says %v", err)
	}
	for range 3 {
		if err := h.Sync(); !errors.Is(err, syscall.EIO) {
			t.Errorf("Sync says %v", err)
		}
	}
	f.ops.Add(6)
}

// hangs opens, on a Ring and a file system of its own, a file whose reads hang until it is released; when the test ends it is,
// before anything is closed.
func hangs(f *fault) (*badMount, *rio.Ring, *rio.File) {
	f.t.Helper()
	m := badMountOf(f)
	r := f.ring(nil)
	h := open(f, r, m.name("hang"), os.O_RDWR)
	f.t.Cleanup(m.release)
	return m, r, h
}

func TestWhatHangsHoldsNobodyElseUp(t *testing.T) {
	f := inject(t, 28, "FUSE hangs; another file and its 99th percentile")
	m, r, h := hangs(f)
	var hanging []rio.Completion[int]
	bufs := make([][]byte, 8)
	// A read on FUSE runs within io_uring_enter, and takes who submits it along: nobody else may be.
	var entering sync.WaitGroup
	for i := range bufs {
		bufs[i] = make([]byte, 4096)
		entering.Add(1)
		go func() {
			defer entering.Done()
			c := r.ReadAt(h, bufs[i], int64(i*4096))
			f.mu.Lock()
			hanging = append(hanging, c)
			f.mu.Unlock()
		}()
	}
	entering.Wait()
	var submitted sync.WaitGroup
	submitted.Go(func() { r.SubmitAll() }) // hangs with them, perhaps

	good, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer good.Close()
	own, err := r.NewFile(good)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	n := rounds(300, 2000, 20000)
	var took []time.Duration
	want := tagged("good", 1, 1, 4096)
	ended := f.within(time.Minute, "an operation on another file", func() {
		for i := range n {
			began := time.Now()
			if _, err := own.WriteAt(want, int64(i%16)*4096); err != nil {
				t.Error(err)
			}
			got := make([]byte, len(want))
			if _, err := own.ReadAt(got, int64(i%16)*4096); err != nil {
				t.Error(err)
			}
			took = append(took, time.Since(began))
			f.same("good", got, want)
			f.ops.Add(2)
		}
	})
	if ended {
		slices.Sort(took)
		f.say("beside it, a write and a read of another file: p50 %v, p99 %v", took[len(took)/2], took[len(took)*99/100])
	}
	for _, c := range hanging {
		if v, ok, err := c.TryWait(); ok {
			t.Errorf("a read that hangs has ended: %v, %v", v, err)
		}
	}
	m.release()
	for range hanging {
		f.ops.Add(1)
	}
	for _, c := range hanging {
		if n, err := c.Wait(); n != 4096 || err != nil {
			t.Errorf("released, it gives %d, %v", n, err)
		}
	}
	for i, b := range bufs {
		f.same("hang", b, wantBad(int64(i*4096), 4096))
	}
	submitted.Wait()
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}

// An os.File, by itself and as a follower. It is opened with O_NONBLOCK, since newer kernels leave to a worker what hasn't that.
func TestAnOSFileThatHangsHoldsNobodyUp(t *testing.T) {
	f := inject(t, 28, "FUSE hangs; an os.File of it, alone and in a chain")
	m, r, _ := hangs(f)
	file, err := os.OpenFile(m.name("hang"), os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	var hanging []rio.Completion[int]
	bufs := [][]byte{make([]byte, 4096), make([]byte, 4096)}
	f.within(20*time.Second, "starting a read", func() {
		hanging = append(hanging, r.ReadAt(file, bufs[0], 0))
		c := r.Chain()
		c.Nop()
		hanging = append(hanging, c.ReadAt(file, bufs[1], 4096))
		if err := c.Submit(); err != nil {
			t.Error(err)
		}
	})
	f.within(20*time.Second, "an operation that has nothing to do with it", func() {
		for range rounds(100, 1000, 10000) {
			ok(f, r.Nop())
		}
	})
	for _, c := range hanging {
		if v, ok, err := c.TryWait(); ok {
			t.Errorf("a read that hangs has ended: %v, %v", v, err)
		}
	}
	m.release()
	for i, c := range hanging {
		if n := ok(f, c); n != 4096 {
			t.Errorf("released, it gives %d", n)
		}
		f.same("hang", bufs[i], wantBad(int64(i*4096), 4096))
	}
	if err := file.Close(); err != nil {
		t.Error(err)
	}
}

func TestCloseWaitsForWhatHangs(t *testing.T) {
	f := inject(t, 6, "Close under 100 recvs and 4 reads that hang")
	m, r, h := hangs(f)
	var recvs, reads []rio.Completion[int]
	for range 50 {
		a, b := tcpPair(f)
		recvs = append(recvs, r.Recv(a, make([]byte, 8)), r.Recv(b, make([]byte, 8)))
	}
	bufs := make([][]byte, 4)
	for i := range bufs {
		bufs[i] = make([]byte, 4096)
		reads = append(reads, r.ReadAt(h, bufs[i], int64(i*4096)))
	}
	closed := make(chan error)
	var twice sync.WaitGroup
	for range 2 {
		twice.Add(1)
		go func() {
			defer twice.Done()
			closed <- r.Close()
		}()
	}
	// The list asks for a bound; the API promises that the kernel has let go of every buffer, and has none.
	f.eventually("Close has cancelled what may wait for ever, and waits for the rest", func() bool { return r.Stats().InFlight == len(reads) })
	select {
	case err := <-closed:
		t.Errorf("Close has come back (%v) though the kernel has buffers", err)
	default:
	}
	for _, c := range recvs {
		if _, err := c.Wait(); !errors.Is(err, rio.ErrClosed) {
			f.lost.Add(1)
			t.Errorf("a recv says %v", err)
		}
		f.ops.Add(1)
	}
	m.release()
	f.within(20*time.Second, "Close", func() {
		for range 2 {
			if err := <-closed; err != nil {
				t.Error("Close:", err)
			}
		}
	})
	twice.Wait()
	for i, c := range reads {
		if n, err := c.Wait(); n != 4096 || err != nil {
			f.lost.Add(1)
			t.Errorf("a read that was let finish: %d, %v", n, err)
		}
		f.ops.Add(1)
		f.same("hang", bufs[i], wantBad(int64(i*4096), 4096))
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}

// There are no callbacks to close a Ring in; what comes nearest are the bodies of loops over connections and what they receive.
func TestCloseInTheBodyOfALoop(t *testing.T) {
	for _, where := range []string{"Conns", "Received"} {
		t.Run(where, func(t *testing.T) {
			f := inject(t, 6, "Close in the body of a loop over "+where)
			for i := range rounds(20, 100, 1000) {
				r := f.ring(nil)
				l := listen(f, r)
				peer, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				want := tagged("loop", i, 0, 3000)
				if _, err := peer.Write(want); err != nil {
					t.Fatal(err)
				}
				var conns, ends int
				f.within(20*time.Second, "Close, or the loop it is in", func() {
					for c, err := range l.Conns(t.Context()) {
						if err != nil {
							ends++
							if !errors.Is(err, net.ErrClosed) {
								t.Error("the loop over Conns ends with", err)
							}
							continue
						}
						conns++
						if where == "Conns" {
							if err := r.Close(); err != nil {
								t.Error(err)
							}
						}
						var got []byte
						for p, err := range c.Received(t.Context()) {
							if err != nil {
								ends++
								if !errors.Is(err, net.ErrClosed) {
									t.Error("the loop over Received ends with", err)
								}
								continue
							}
							got = append(got, p...)
							if err := r.Close(); err != nil {
								t.Error(err)
							}
						}
						f.same("received", got, want[:len(got)])
						c.Close()
					}
				})
				if conns != 1 {
					t.Errorf("%d connections", conns)
				}
				if ends > 2 {
					t.Errorf("%d errors from two loops", ends)
				}
				f.ops.Add(2)
				if n := r.Stats().InFlight; n != 0 {
					t.Errorf("%d operations are in flight", n)
				}
				if _, err := r.Nop().Wait(); !errors.Is(err, rio.ErrClosed) {
					t.Error("a closed Ring says", err)
				}
				l.Close()
				peer.Close()
			}
		})
	}
}

func TestAFileSystemThatDies(t *testing.T) {
	f := inject(t, 28, "FUSE hangs, and its server is killed")
	m, r, h := hangs(f)
	var cs []rio.Completion[int]
	for i := range 8 {
		cs = append(cs, r.ReadAt(h, make([]byte, 4096), int64(i*4096)))
	}
	var submitted sync.WaitGroup
	submitted.Go(func() { r.SubmitAll() }) // hangs with them, perhaps
	nop := r.Nop()
	m.kill()
	f.within(20*time.Second, "a read on a dead file system", func() {
		for _, c := range cs {
			if n, err := c.Wait(); n > 0 || err == nil || errors.Is(err, syscall.ECANCELED) {
				f.lost.Add(1)
				t.Errorf("a read on a dead file system gives %d, %v", n, err)
			}
			f.ops.Add(1)
		}
	})
	ok(f, nop)
	submitted.Wait()
	h.Close() // with close(2)'s error, ENOTCONN or none
}

func TestSlowFilesLoseNothing(t *testing.T) {
	f := inject(t, 28, "FUSE answers after 20 ms")
	m := badMountOf(f)
	r := f.ring(&rio.Config{Depth: 4})
	h := open(f, r, m.name("slow"), os.O_RDWR)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 4 {
				off := int64(g*4+i) * 4096
				want := bytes.Repeat([]byte{byte(g), byte(i)}, 2048)
				if n := ok(f, r.WriteAt(h, want, off)); n != len(want) {
					f.lost.Add(1)
				}
				got := make([]byte, len(want))
				ok(f, r.ReadAt(h, got, off))
				f.same("slow", got, want)
			}
		}()
	}
	wg.Wait()
}
