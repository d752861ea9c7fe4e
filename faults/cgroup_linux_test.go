package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-9c58b644/rio"
)

// cgroup makes a control group of version 1, and returns its directory.
func cgroup(t *testing.T, controller string) string {
	t.Helper()
	root(t)
	dir, err := os.MkdirTemp("/sys/fs/cgroup/"+controller, "rio-faults")
	if err != nil {
		t.Skip("no control groups of version 1 here: ", err)
	}
	t.Cleanup(func() {
		for range 200 { // until those who were in it are buried
			if os.Remove(dir) == nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	return dir
}

func TestLittleMemory(t *testing.T) {
	f := inject(t, 18, "a memory control group of 64 MiB")
	dir := cgroup(t, "memory")
	if err := os.WriteFile(filepath.Join(dir, "memory.limit_in_bytes"), []byte("64M"), 0); err != nil {
		t.Skip("no memory limit here: ", err)
	}
	// It does its work in the group, with more for the page cache than fits; what cannot be dropped is little, or the kernel kills.
	f.run(fmt.Sprintf("squeezed:%d %s", rounds(20, 60, 400), dir), []string{"GOMEMLIMIT=32MiB"})
	b, err := os.ReadFile(filepath.Join(dir, "memory.failcnt"))
	if n, _ := strconv.Atoi(strings.TrimSpace(string(b))); n == 0 {
		t.Error("the limit was never hit: nothing was injected; ", err)
	} else {
		f.say("the limit was hit %d times", n)
	}
}

func init() {
	children["squeezed"] = func(arg string) (o outcome) {
		n, dir, _ := strings.Cut(arg, " ")
		if err := os.WriteFile(dir+"/cgroup.procs", []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
			return failed(err)
		}
		r, err := rio.New(nil)
		if err != nil {
			return failed(err)
		}
		rounds, _ := strconv.Atoi(n)
		o = onRing(r, rounds)
		// More than that by way of the page cache.
		file, err := os.CreateTemp("", "")
		if err != nil {
			return failed(err)
		}
		defer os.Remove(file.Name())
		defer file.Close()
		const many, size = 96, 1 << 20
		w := &work{r: r}
		for round := range 2 {
			for at := 0; at < many; at += 4 {
				var cs [4]rio.Completion[int]
				var bufs [4][]byte
				for i := range cs {
					bufs[i] = tagged("squeezed", at+i, 0, size)
					if round == 0 {
						cs[i] = r.WriteAt(file, bufs[i], int64(at+i)*size)
					} else {
						bufs[i] = make([]byte, size)
						cs[i] = r.ReadAt(file, bufs[i], int64(at+i)*size)
					}
				}
				for i, c := range cs {
					n, err := c.Wait()
					w.check("squeezed", err)
					w.compare("squeezed", bufs[i][:n], tagged("squeezed", at+i, 0, size)[:n])
				}
				// With version 1 nobody waits for dirty pages to be written: the kernel would rather kill.
				_, err := r.Fdatasync(file).Wait()
				w.check("sync", err)
			}
		}
		o.Ops, o.Lost, o.Wrong = o.Ops+w.ops.Load(), o.Lost+w.lost.Load(), o.Wrong+w.wrong.Load()
		if w.err != nil {
			o.Err += w.err.Error()
		}
		if err := r.Close(); err != nil {
			o.Lost++
			o.Err += err.Error()
		}
		o.Pinned = r.Stats().InFlight
		return o
	}
}

// A disk of a few operations a second, and a file elsewhere.
func TestASlowDisk(t *testing.T) {
	f := inject(t, 28, "a disk of 20 operations a second (blkio); another file")
	dir := cgroup(t, "blkio")
	device := loop(t, filepath.Join(t.TempDir(), "img"), 64<<20, "--direct-io=on")
	mount := ext4(t, device)
	var st unix.Stat_t
	if err := unix.Stat(device, &st); err != nil {
		t.Fatal(err)
	}
	// The file is laid out before the disk becomes slow.
	want := make([]byte, 32*4096)
	for i := range 32 {
		copy(want[i*4096:], tagged("slow disk", i, 0, 4096))
	}
	if err := os.WriteFile(mount+"/f", want, 0o600); err != nil {
		t.Fatal(err)
	}
	unix.Sync()
	for _, file := range []string{"blkio.throttle.read_iops_device", "blkio.throttle.write_iops_device"} {
		if err := os.WriteFile(filepath.Join(dir, file), fmt.Appendf(nil, "%d:%d 20", unix.Major(st.Rdev), unix.Minor(st.Rdev)), 0); err != nil {
			t.Skip("no throttle here: ", err)
		}
	}
	other := filepath.Join(t.TempDir(), "other")
	o := f.run(fmt.Sprintf("throttled:%s %s %s", dir, mount+"/f", other), nil)
	if o.Note != "" {
		f.say("%s", o.Note)
	}
	if o.CPU < 500*time.Millisecond { // 32 reads at 20 a second
		t.Errorf("32 reads took %v: nothing was injected", o.CPU)
	}
}

func init() {
	children["throttled"] = func(arg string) (o outcome) {
		var dir, slow, quick string
		fmt.Sscan(arg, &dir, &slow, &quick)
		if err := os.WriteFile(dir+"/cgroup.procs", []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
			return failed(err)
		}
		r, err := rio.New(nil)
		if err != nil {
			return failed(err)
		}
		w := &work{r: r}
		s, err := r.OpenFile(slow, os.O_RDWR|syscall.O_DIRECT, 0)
		if !w.check("open", err) {
			return failed(err)
		}
		q, err := r.OpenFile(quick, os.O_CREATE|os.O_RDWR|syscall.O_DIRECT, 0o600)
		if !w.check("open", err) {
			return failed(err)
		}
		began := time.Now()
		var cs [32]rio.Completion[int]
		var bufs [32][]byte
		for i := range cs {
			bufs[i] = rio.Aligned(4096, 0)
			cs[i] = r.ReadAt(s, bufs[i], int64(i*4096))
		}
		var took []time.Duration
		block, got := rio.Aligned(4096, 0), rio.Aligned(4096, 0)
		copy(block, tagged("quick", 1, 1, 4096))
		slowOnes := true
		for i := 0; i < 200 || slowOnes && i < 5000; i++ {
			began := time.Now()
			_, err := r.WriteAt(q, block, 0).Wait()
			w.check("write", err)
			_, err = r.ReadAt(q, got, 0).Wait()
			w.check("read", err)
			took = append(took, time.Since(began))
			w.compare("quick", got, block)
			slowOnes = r.Stats().InFlight > 0
		}
		for i, c := range cs {
			n, err := c.Wait()
			w.check("slow read", err)
			w.compare("slow", bufs[i][:n], tagged("slow disk", i, 0, 4096))
		}
		o.CPU = time.Since(began) // of the wall, here
		slices.Sort(took)
		o.Note = fmt.Sprintf("beside it, %d writes and reads of another file: p50 %v, p99 %v", len(took), took[len(took)/2], took[len(took)*99/100])
		w.check("close", s.Close())
		w.check("close", q.Close())
		w.check("close", r.Close())
		o.Ops, o.Lost, o.Wrong, o.Pinned = w.ops.Load(), w.lost.Load(), w.wrong.Load(), r.Stats().InFlight
		if w.err != nil {
			o.Err = w.err.Error()
		}
		return o
	}
}
