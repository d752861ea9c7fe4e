package faults

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed-9c58b644/rio"
)

// The device mapper makes disks that are bad in places, or late. Few kernels of hosts have it; those that .ci/kernels boots do,
// and a disk to spare, which RIO_FAULTS_DISK names.

// A dmTarget is a part of a mapped device, in sectors of 512 bytes.
type dmTarget struct {
	start, length  uint64
	kind, argument string
}

// The layout of struct dm_ioctl and struct dm_target_spec, include/uapi/linux/dm-ioctl.h.
const (
	dmSize       = 312
	dmSpec       = 40
	dmCreate     = 0xc138fd03
	dmRemove     = 0xc138fd04
	dmSuspend    = 0xc138fd06 // without its flag it resumes
	dmLoad       = 0xc138fd09
	dmDataSize   = 12
	dmDataStart  = 16
	dmTargets    = 20
	dmDev        = 40
	dmName       = 48
	dmWholeSize  = 4096
	dmNameLength = 128
)

// mapper makes a device of parts of another one, and returns its name.
func mapper(t *testing.T, name string, targets ...dmTarget) (device string) {
	t.Helper()
	control, err := os.OpenFile("/dev/mapper/control", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no device mapper here (.ci/kernels has one): ", err)
	}
	t.Cleanup(func() { control.Close() })
	le := binary.LittleEndian
	do := func(request uintptr, targets ...dmTarget) ([]byte, error) {
		b := make([]byte, dmWholeSize)
		le.PutUint32(b, 4) // the version of the interface
		le.PutUint32(b[dmDataSize:], dmWholeSize)
		le.PutUint32(b[dmDataStart:], dmSize)
		le.PutUint32(b[dmTargets:], uint32(len(targets)))
		copy(b[dmName:dmName+dmNameLength-1], name)
		at := b[dmSize:]
		for _, g := range targets {
			next := (dmSpec + len(g.argument) + 1 + 7) &^ 7
			le.PutUint64(at, g.start)
			le.PutUint64(at[8:], g.length)
			le.PutUint32(at[20:], uint32(next))
			copy(at[24:39], g.kind)
			copy(at[dmSpec:], g.argument)
			at = at[next:]
		}
		raw, err := control.SyscallConn()
		if err != nil {
			return nil, err
		}
		var errno syscall.Errno
		raw.Control(func(fd uintptr) {
			_, _, errno = unix.Syscall(unix.SYS_IOCTL, fd, request, uintptr(unsafe.Pointer(&b[0])))
		})
		runtime.KeepAlive(b)
		if errno != 0 {
			return nil, errno
		}
		return b, nil
	}
	b, err := do(dmCreate)
	if err != nil {
		t.Fatal("DM_DEV_CREATE: ", err)
	}
	t.Cleanup(func() {
		for range 200 { // the kernel closes some files late
			if _, err := do(dmRemove); err != syscall.EBUSY {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	dev := le.Uint64(b[dmDev:])
	if _, err := do(dmLoad, targets...); err != nil {
		t.Fatalf("DM_TABLE_LOAD %v: %v", targets, err)
	}
	if _, err := do(dmSuspend); err != nil {
		t.Fatal("DM_DEV_SUSPEND: ", err)
	}
	device = fmt.Sprintf("/dev/dm-%d", dev&0xff|dev>>12&0xfff00)
	for range 500 {
		if _, err := os.Stat(device); err == nil {
			return device
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("there is no ", device)
	return ""
}

// spare is a disk that may be written to.
func spare(t *testing.T) string {
	t.Helper()
	root(t)
	if _, err := os.Stat("/dev/mapper/control"); err != nil {
		if os.Getenv("RIO_FAULTS_DISK") != "" {
			lacks(t, err)
		}
		t.Skip("no device mapper here (.ci/kernels has one): ", err)
	}
	if d := os.Getenv("RIO_FAULTS_DISK"); d != "" {
		return d
	}
	return loop(t, filepath.Join(t.TempDir(), "img"), 64<<20)
}

func TestMappedDiskWithABadBlock(t *testing.T) {
	f := inject(t, 27, "dm-error: one bad block inside a big read")
	const block, many, bad = 4096, 256, 100
	disk := spare(t)
	var want []byte
	for i := range many {
		want = append(want, tagged("mapped", i, 1, block)...)
	}
	d, err := os.OpenFile(disk, os.O_RDWR|syscall.O_SYNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Write(want); err != nil {
		t.Fatal(err)
	}
	d.Close()
	device := mapper(t, "rio-error", dmTarget{0, bad * 8, "linear", disk + " 0"}, dmTarget{bad * 8, 8, "error", ""},
		dmTarget{(bad + 1) * 8, (many - bad - 1) * 8, "linear", fmt.Sprint(disk, " ", (bad+1)*8)})
	r := f.ring(nil)
	h := open(f, r, device, os.O_RDWR|syscall.O_DIRECT)

	big := rio.Aligned(len(want), 0)
	n, err := r.ReadAt(h, big, 0).Wait()
	if err == nil && n > bad*block || err != nil && !errors.Is(err, syscall.EIO) {
		t.Errorf("Ring.ReadAt of all gives %d, %v", n, err)
	}
	f.same("before the bad block", big[:n], want[:n])
	n, err = h.ReadAt(big, 0)
	if n > bad*block || !errors.Is(err, syscall.EIO) {
		t.Errorf("File.ReadAt of all gives %d, %v", n, err)
	}
	f.same("before the bad block", big[:n], want[:n])
	f.ops.Add(2)

	var cs [many]rio.Completion[int]
	var bufs [many][]byte
	for pass, write := range []bool{false, true, false} {
		for i := range many {
			if pass == 1 {
				copy(bufs[i], tagged("mapped", i, 2, block))
				cs[i] = r.WriteAt(h, bufs[i], int64(i*block))
			} else {
				bufs[i] = rio.Aligned(block, 0)
				cs[i] = r.ReadAt(h, bufs[i], int64(i*block))
			}
		}
		for i := range many {
			n, err := cs[i].Wait()
			f.ops.Add(1)
			switch {
			case i == bad && !errors.Is(err, syscall.EIO), i != bad && (err != nil || n != block):
				f.lost.Add(1)
				t.Errorf("block %d (write: %v): %d, %v", i, write, n, err)
			case i != bad:
				f.same("a block", bufs[i], tagged("mapped", i, 1+(pass+1)/2, block))
			}
		}
	}

	// What follows the bad block in a chain does not begin.
	c := r.Chain()
	first := c.WriteAt(h, bufs[0], 0)
	second := c.WriteAt(h, bufs[0], bad*block)
	sync := c.Fsync(h)
	if err := c.Submit(); err != nil {
		t.Fatal(err)
	}
	ok(f, first)
	if _, err := second.Wait(); !errors.Is(err, syscall.EIO) {
		f.lost.Add(1)
		t.Error("a write to the bad block in a chain:", err)
	}
	if _, err := sync.Wait(); !errors.Is(err, syscall.ECANCELED) {
		f.lost.Add(1)
		t.Error("the sync behind it:", err)
	}
	f.ops.Add(2)

	// By way of the page cache it is the sync that finds out.
	p := open(f, r, device, os.O_RDWR)
	if n, err := p.WriteAt(want, 0); n != len(want) || err != nil {
		t.Logf("the page cache reads before it writes: %d, %v", n, err)
	}
	first2 := p.Sync()
	if !errors.Is(first2, syscall.EIO) {
		t.Error("Sync says", first2)
	}
	for range 3 {
		if err := p.Sync(); !errors.Is(err, syscall.EIO) {
			f.lost.Add(1)
			t.Error("the next Sync says", err)
		}
		f.ops.Add(1)
	}
}

func TestMappedDiskThatIsLate(t *testing.T) {
	f := inject(t, 28, "dm-delay: 300 ms an operation; another file")
	const late = 300 * time.Millisecond
	disk := spare(t)
	device := mapper(t, "rio-delay", dmTarget{0, 64 << 11, "delay", fmt.Sprintf("%s 0 %d", disk, late.Milliseconds())})
	r := f.ring(nil)
	h := open(f, r, device, os.O_RDWR|syscall.O_DIRECT)
	other := open(f, r, filepath.Join(t.TempDir(), "other"), os.O_CREATE|os.O_RDWR)
	const many = 64
	began := time.Now()
	var cs [many]rio.Completion[int]
	var bufs [many][]byte
	for i := range many {
		bufs[i] = rio.Aligned(4096, 0)
		copy(bufs[i], tagged("late", i, 0, 4096))
		cs[i] = r.WriteAt(h, bufs[i], int64(i)*4096)
	}
	r.SubmitAll()
	want, got := tagged("early", 1, 1, 4096), make([]byte, 4096)
	var took []time.Duration
	for i := range 100 {
		began := time.Now()
		ok(f, r.WriteAt(other, want, int64(i%8)*4096))
		ok(f, r.ReadAt(other, got, int64(i%8)*4096))
		took = append(took, time.Since(began))
		f.same("another file", got, want)
	}
	slices.Sort(took)
	f.say("beside it, a write and a read of another file: p50 %v, p99 %v", took[len(took)/2], took[len(took)*99/100])
	for _, c := range cs {
		if n := ok(f, c); n != 4096 {
			f.lost.Add(1)
			t.Error("a late write gives", n)
		}
	}
	if d := time.Since(began); d < late {
		t.Errorf("it took %v: nothing was injected", d)
	}
	for i := range many {
		bufs[i] = rio.Aligned(4096, 0)
		cs[i] = r.ReadAt(h, bufs[i], int64(i)*4096)
	}
	for i, c := range cs {
		ok(f, c)
		f.same("late", bufs[i], tagged("late", i, 0, 4096))
	}
}
