package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed-9c58b644/rio"
)

// tmpfs mounts one of that size.
func tmpfs(t *testing.T, size string) string {
	t.Helper()
	root(t)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skip("no mounts here: ", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// loop makes a loop device of a file.
func loop(t *testing.T, file string, size int64, args ...string) (device string) {
	t.Helper()
	program(t, "losetup", "mkfs.ext4")
	img, err := os.Create(file)
	if err == nil {
		err = img.Truncate(size)
		img.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", append(args, "--find", "--show", file)...).CombinedOutput()
	if err != nil {
		t.Skipf("no loop devices here: %v %s", err, out)
	}
	device = string(bytes.TrimSpace(out))
	t.Cleanup(func() { exec.Command("losetup", "-d", device).Run() })
	return device
}

// ext4 mounts one on a device.
func ext4(t *testing.T, device string, args ...string) (dir string) {
	t.Helper()
	command(t, "mkfs.ext4", append([]string{"-q", "-F"}, append(args, device)...)...)
	dir = t.TempDir()
	if err := unix.Mount(device, dir, "ext4", 0, "errors=continue"); err != nil {
		t.Skip("no mounts here: ", err)
	}
	t.Cleanup(func() {
		for i := 0; i < 100 && unix.Unmount(dir, 0) == unix.EBUSY; i++ {
			time.Sleep(10 * time.Millisecond) // the kernel closes some files late
		}
		unix.Unmount(dir, unix.MNT_DETACH)
	})
	return dir
}

func open(f *fault, r *rio.Ring, name string, flag int) *rio.File {
	f.t.Helper()
	h, err := r.OpenFile(name, flag, 0o600)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { h.Close() })
	return h
}

func TestAFullDiskTakesWhatItCan(t *testing.T) {
	f := inject(t, 26, "a tmpfs of 1 MiB is full")
	dir := tmpfs(t, "1m")
	r := f.ring(nil)
	h := open(f, r, dir+"/f", os.O_CREATE|os.O_RDWR)
	want := tagged("full", 1, 1, 3<<20)
	n, err := h.WriteAt(want, 0)
	if n == 0 || n > 1<<20 || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("File.WriteAt gives %d, %v", n, err)
	}
	got := make([]byte, n)
	if m, err := h.ReadAt(got, 0); m != n || err != nil {
		t.Errorf("ReadAt gives %d, %v", m, err)
	}
	f.same("what was written", got, want[:n])
	if fi, err := h.Stat(); err != nil || fi.Size() != int64(n) {
		t.Errorf("the file has %v, %v; %d were reported", fi.Size(), err, n)
	}
	f.ops.Add(4)

	// Many at once: what says it has been written is there, the rest has an error.
	g := open(f, r, dir+"/g", os.O_CREATE|os.O_RDWR)
	if err := h.Truncate(512 << 10); err != nil {
		t.Fatal(err)
	}
	var cs []rio.Completion[int]
	for i := range 256 {
		cs = append(cs, r.WriteAt(g, tagged("g", i, 0, 4096), int64(i*4096)))
	}
	full := 0
	for i, c := range cs {
		n, err := c.Wait()
		f.ops.Add(1)
		switch {
		case err == nil:
			got := make([]byte, n)
			if _, err := g.ReadAt(got, int64(i*4096)); err != nil {
				t.Error(err)
			}
			f.same("a block", got, tagged("g", i, 0, 4096)[:n])
		case errors.Is(err, syscall.ENOSPC):
			full++
		default:
			f.lost.Add(1)
			t.Error(err)
		}
	}
	if full == 0 || full == len(cs) {
		t.Errorf("of %d writes %d had no space", len(cs), full)
	}

	// The write of a chain that finds no space ends it.
	c := r.Chain()
	write := c.WriteAt(g, make([]byte, 64<<10), 8<<20)
	sync := c.Fsync(g)
	if err := c.Submit(); err != nil {
		t.Fatal(err)
	}
	if n, err := write.Wait(); n == 64<<10 || err == nil && n == 0 {
		t.Errorf("the write gives %d, %v", n, err)
	}
	if _, err := sync.Wait(); !errors.Is(err, syscall.ECANCELED) {
		t.Errorf("the sync behind it says %v", err)
	}
	f.ops.Add(2)
}

func TestDevFull(t *testing.T) {
	f := inject(t, 26, "/dev/full")
	r := f.ring(nil)
	h := open(f, r, "/dev/full", os.O_RDWR)
	for range 100 {
		f.ops.Add(1)
		if n, err := r.WriteAt(h, []byte("x"), 0).Wait(); n != 0 || !errors.Is(err, syscall.ENOSPC) {
			f.lost.Add(1)
			t.Fatal(n, err)
		}
	}
}

func TestFileSizeLimit(t *testing.T) {
	f := inject(t, 26, "RLIMIT_FSIZE")
	if o := f.run("fsize", nil); o.Note != "4096 short, then EFBIG" {
		t.Error(o.Note)
	}
}

func init() {
	children["fsize"] = func(string) (o outcome) {
		file, err := os.CreateTemp("", "")
		if err != nil {
			return failed(err)
		}
		defer os.Remove(file.Name())
		defer file.Close()
		unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 4096, Max: 4096})
		r, err := rio.New(nil)
		if err != nil {
			return failed(err)
		}
		defer r.Close()
		n, err := r.WriteAt(file, make([]byte, 10000), 0).Wait()
		_, err2 := r.WriteAt(file, make([]byte, 10), 4096).Wait()
		o.Ops = 2
		if err == nil && errors.Is(err2, syscall.EFBIG) {
			o.Note = fmt.Sprintf("%d short, then EFBIG", n)
		} else {
			o.Note = fmt.Sprint(n, err, err2)
		}
		return o
	}
}

// A loop device on a full tmpfs: the page cache takes the data, and there is no room for it when it is to be written.
func TestTheErrorOfASyncStaysThoughTheNextWouldSucceed(t *testing.T) {
	f := inject(t, 26, "a disk that is full at fsync: the error stays")
	dir := tmpfs(t, "12m")
	device := loop(t, dir+"/img", 64<<20)
	mount := ext4(t, device)
	if err := os.WriteFile(dir+"/filler", make([]byte, 64<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal("the tmpfs is not full:", err)
	}
	r := f.ring(nil)
	name := mount + "/f"
	h := open(f, r, name, os.O_CREATE|os.O_RDWR)
	raw := open(f, r, name, os.O_RDWR) // the kernel's own word, for comparison
	if n, err := h.WriteAt(make([]byte, 8<<20), 0); err != nil {
		t.Skipf("the page cache didn't take it: %d, %v", n, err)
	}
	first := h.Sync()
	if first == nil {
		t.Fatal("the sync has succeeded: nothing was injected")
	}
	f.ops.Add(2)
	raws := []error{}
	for range 3 {
		_, err := r.Fsync(raw).Wait()
		raws = append(raws, err)
		f.ops.Add(1)
	}
	for range 5 {
		f.ops.Add(1)
		if err := h.Sync(); err == nil || err.Error() != first.Error() {
			f.lost.Add(1)
			t.Errorf("after %v the next Sync says %v", first, err)
		}
		if err := h.Datasync(); err == nil {
			f.lost.Add(1)
			t.Error("a Datasync has succeeded after a failed Sync")
		}
	}
	t.Logf("File.Sync: %v, for good; on another descriptor: %v", first, raws)
}

// shutdown is EXT4_IOC_SHUTDOWN: from now on everything that needs the disk is EIO.
func shutdown(dir string, how uint32) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, d.Fd(), 0x8004587d, uintptr(unsafe.Pointer(&how)))
	if errno != 0 {
		return errno
	}
	return nil
}

func TestADiskThatGoesAway(t *testing.T) {
	f := inject(t, 27, "ext4 is shut down under reads, writes and syncs: EIO")
	root(t)
	mount := ext4(t, loop(t, filepath.Join(t.TempDir(), "img"), 64<<20))
	r := f.ring(nil)
	h := open(f, r, mount+"/f", os.O_CREATE|os.O_RDWR|syscall.O_DIRECT)
	const size, many = 4096, 64
	for i := range many {
		b := rio.Aligned(size, 0)
		copy(b, tagged("disk", i, 0, size))
		if _, err := h.WriteAt(b, int64(i*size)); err != nil {
			t.Fatal(err)
		}
	}
	var stop bool
	var mu sync.Mutex
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			b := rio.Aligned(size, 0)
			for i := g; ; i++ {
				place := (g*8 + i%8)
				if g < 4 {
					if _, err := r.ReadAt(h, b, int64(place*size)).Wait(); err == nil {
						f.same("a read", b, tagged("disk", place, 0, size))
					} else if !errors.Is(err, syscall.EIO) {
						f.lost.Add(1)
						t.Error("read:", err)
					}
				} else {
					copy(b, tagged("disk", place, 0, size))
					if _, err := r.WriteAt(h, b, int64(place*size)).Wait(); err != nil && !errors.Is(err, syscall.EIO) && !errors.Is(err, syscall.EROFS) {
						f.lost.Add(1)
						t.Error("write:", err)
					}
				}
				f.ops.Add(1)
				mu.Lock()
				end := stop
				mu.Unlock()
				if end {
					return
				}
			}
		}()
	}
	time.Sleep(20 * time.Millisecond) // under way
	if err := shutdown(mount, 2); err != nil {
		t.Skip("no shutdown here: ", err)
	}
	for range 50 {
		f.ops.Add(1)
		if _, err := r.WriteAt(h, rio.Aligned(size, 0), 1<<20).Wait(); !errors.Is(err, syscall.EIO) && !errors.Is(err, syscall.EROFS) {
			t.Error("a write to a dead disk:", err)
		}
		if err := h.Sync(); err == nil {
			f.lost.Add(1)
			t.Error("a sync of a dead disk has succeeded")
		}
	}
	mu.Lock()
	stop = true
	mu.Unlock()
	wg.Wait()
	ok(f, r.Nop())
}

func TestAFrozenDisk(t *testing.T) {
	f := inject(t, 28, "fsfreeze: writes hang until thaw, others go on")
	root(t, "fsfreeze")
	mount := ext4(t, loop(t, filepath.Join(t.TempDir(), "img"), 64<<20))
	r := f.ring(nil)
	frozen := open(f, r, mount+"/f", os.O_CREATE|os.O_RDWR)
	// Not by way of the page cache: the kernel's workers do buffered writes in 64 lines, by a hash of the inode, and one file
	// in 64 would stand in line behind the frozen one.
	other := open(f, r, filepath.Join(t.TempDir(), "other"), os.O_CREATE|os.O_RDWR|rio.O_DIRECT)
	want := rio.Aligned(4096, 0)
	copy(want, tagged("frozen", 2, 2, 4096))
	command(t, "fsfreeze", "-f", mount)
	thawed := false
	thaw := func() {
		if !thawed {
			command(t, "fsfreeze", "-u", mount)
			thawed = true
		}
	}
	t.Cleanup(thaw)
	var cs []rio.Completion[int]
	for i := range 8 {
		cs = append(cs, r.WriteAt(frozen, want, int64(i*4096)))
	}
	sync := r.Fsync(frozen, rio.Drain)
	var took []time.Duration
	f.within(time.Minute, "an operation on another disk", func() {
		for i := range rounds(200, 1000, 10000) {
			began := time.Now()
			ok(f, r.WriteAt(other, want, int64(i%8)*4096))
			got := rio.Aligned(4096, 0)
			ok(f, r.ReadAt(other, got, int64(i%8)*4096))
			took = append(took, time.Since(began))
			f.same("other", got, want)
		}
	})
	slices.Sort(took)
	f.say("beside it, a write and a read of another file: p50 %v, p99 %v", took[len(took)/2], took[len(took)*99/100])
	// A context that ends takes no buffer back from a disk that has it: the result comes with the thaw.
	late := make(chan error, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	kept := bytes.Clone(want)
	inTime := r.WriteAt(frozen, kept, 8*4096)
	go func() {
		n, err := inTime.WaitContext(ctx)
		if err == nil && n != len(kept) || err != nil && (n != 0 || !errors.Is(err, context.DeadlineExceeded)) {
			late <- fmt.Errorf("WaitContext gives %d, %w", n, err)
			return
		}
		late <- nil
	}()
	<-ctx.Done()
	for _, c := range cs {
		if n, done, err := c.TryWait(); done {
			t.Errorf("a write to a frozen disk has ended: %d, %v", n, err)
		}
	}
	thaw()
	for _, c := range cs {
		if n := ok(f, c); n != 4096 {
			f.lost.Add(1)
		}
	}
	ok(f, sync)
	if err := <-late; err != nil {
		f.lost.Add(1)
		t.Error(err)
	}
	f.ops.Add(1)
	got := make([]byte, 8*4096)
	if _, err := frozen.ReadAt(got, 0); err != nil {
		t.Error(err)
	}
	f.same("frozen", got, bytes.Repeat(want, 8))
}

func TestDirectIOAsTheDeviceWantsIt(t *testing.T) {
	for _, sector := range []int{512, 4096} {
		t.Run(fmt.Sprint(sector), func(t *testing.T) {
			f := inject(t, 25, fmt.Sprintf("O_DIRECT, misaligned, sectors of %d", sector))
			root(t)
			mount := ext4(t, loop(t, filepath.Join(t.TempDir(), "img"), 64<<20, "--sector-size", fmt.Sprint(sector), "--direct-io=on"), "-b", "4096")
			r := f.ring(nil)
			h := open(f, r, mount+"/f", os.O_CREATE|os.O_RDWR|syscall.O_DIRECT)
			mem, off, err := h.Alignment()
			if err != nil || off != sector {
				t.Fatalf("Alignment says %d, %d, %v", mem, off, err)
			}
			want := rio.Aligned(3*sector, 4096)
			copy(want, tagged("direct", 1, sector, len(want)))
			ok(f, r.WriteAt(h, want, 0))
			got := rio.Aligned(len(want)+4096, 4096)
			raw, err := os.OpenFile(mount+"/f", os.O_RDONLY|syscall.O_DIRECT, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			for _, c := range []struct {
				name  string
				at, n int
				off   int64
			}{
				{"nothing", 0, sector, int64(sector)}, {"the offset", 0, sector, 100}, {"the length", 0, sector + 100, 0}, {"the memory", 1, sector, 0},
			} {
				f.ops.Add(1)
				// What the kernel wants depends on the device: some take any memory. pread(2) is the judge.
				_, refused := syscall.Pread(int(raw.Fd()), got[c.at:c.at+c.n], c.off)
				if refused != nil && c.name == "nothing" || refused == nil && (c.name == "the offset" || c.name == "the length") {
					t.Fatalf("%s is bad, and pread says %v: nothing was injected (%d, %d)", c.name, refused, mem, off)
				}
				clear(got)
				n, err := r.ReadAt(h, got[c.at:c.at+c.n], c.off).Wait()
				switch {
				case refused == nil && err == nil:
					f.same(c.name, got[c.at:c.at+n], want[c.off:int(c.off)+n])
				case refused == nil:
					t.Errorf("%s: %v", c.name, err)
				case !errors.Is(err, syscall.EINVAL) || !bytes.Contains([]byte(err.Error()), []byte("lign")):
					t.Errorf("%s is bad, and the error says %v", c.name, err)
				}
			}
			// The end of a file is no multiple of anything; the loop must end there.
			if err := h.Truncate(int64(2*sector + 100)); err != nil {
				t.Fatal(err)
			}
			f.within(10*time.Second, "a read at the end with O_DIRECT", func() {
				n, err := h.ReadAt(got[:4*sector], 0)
				if n != 2*sector+100 || err != io.EOF {
					// A kernel that refuses the misaligned rest says so; what counts is that it ends, and that n is true.
					if !errors.Is(err, syscall.EINVAL) || n > 2*sector+100 {
						t.Errorf("ReadAt gives %d, %v", n, err)
					}
				}
				f.same("up to the end", got[:n], want[:n])
				f.ops.Add(1)
			})
		})
	}
}

func TestTransfersBeyondTwoGigabytes(t *testing.T) {
	f := inject(t, 33, "one read of more than 0x7ffff000 bytes")
	if testing.Short() {
		t.Skip("it reads gigabytes")
	}
	name := filepath.Join(t.TempDir(), "sparse")
	r := f.ring(nil)
	h := open(f, r, name, os.O_CREATE|os.O_RDWR)
	const size = 0x7ffff000 + 8192
	if err := h.Truncate(size); err != nil {
		t.Fatal(err)
	}
	tag := tagged("end", 1, 1, 8192)
	if _, err := h.WriteAt(tag, size-8192); err != nil {
		t.Fatal(err)
	}
	buf, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		t.Skip(err)
	}
	defer unix.Munmap(buf)
	if n := ok(f, r.ReadAt(h, buf, 0)); n != 0x7ffff000 {
		t.Errorf("Ring.ReadAt gives %#x", n)
	}
	if n, err := h.ReadAt(buf, 0); n != size || err != nil {
		t.Errorf("File.ReadAt gives %#x, %v", n, err)
	}
	f.ops.Add(2)
	f.same("the end", buf[size-8192:], tag)
}
