package rio_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-9c58b644/rio"
)

// Descriptors that may have nothing to read, and are no sockets or pipes.

// A read into no buffer is 0 and no error, however long the descriptor has nothing.
func TestReadsOfNothingDontWait(t *testing.T) {
	r := newRing(t, nil)
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f, err := r.NewFile(os.NewFile(uintptr(fd), "inotify"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd, err = unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	foreign := os.NewFile(uintptr(fd), "inotify")
	defer foreign.Close()
	for name, read := range map[string]func() (int, error){
		"ReadAt":                  r.ReadAt(f, nil, 0).Wait,
		"ReadvAt":                 r.ReadvAt(f, [][]byte{nil, {}}, 0).Wait,
		"File.Read":               func() (int, error) { return f.Read(nil) },
		"ReadAt, somebody else's": r.ReadAt(foreign, nil, 0).Wait,
		"ReadAt, drained":         r.ReadAt(foreign, nil, 0, rio.Drain).Wait,
	} {
		if n, err := read(); n != 0 || err != nil {
			t.Error(name, n, err)
		}
	}
	// Of a regular file it is the kernel that says what it is.
	null, err := os.OpenFile(tempFile(t, "x").Name(), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if _, err := r.ReadAt(null, nil, 0).Wait(); !errors.Is(err, syscall.EBADF) {
		t.Error("of a file that is for writing:", err)
	}
}

// An eventfd's lseek does nothing, and succeeds: it has no position that a Write has to wait for.
func TestWriteToAnEventfdWakesWhoReadsIt(t *testing.T) {
	r := newRing(t, nil)
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f, err := r.NewFile(os.NewFile(uintptr(fd), "eventfd"))
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		p := make([]byte, 8)
		n, err := f.Read(p)
		if err == nil && (n != 8 || !slices.Equal(p, []byte{1, 2, 3, 4, 5, 6, 7, 8})) {
			err = fmt.Errorf("it has read %v", p[:n])
		}
		read <- err
	}()
	eventually(t, "the Read waits", func() bool { return r.Stats().Submitted > 0 })
	done := make(chan error, 1)
	go func() {
		f.Seek(0, 1)
		_, err := f.Write([]byte{1, 2, 3, 4, 5, 6, 7, 8})
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the Write waits for the Read")
	}
	if !t.Failed() {
		if err := <-read; err != nil {
			t.Error(err)
		}
	}
	f.Close()
}

// trace_pipe is a regular file that waits.
func TestCloseEndsAReadOfTracefs(t *testing.T) {
	dir := "/sys/kernel/tracing/instances/rio-test-" + strconv.Itoa(os.Getpid())
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Skip("no tracefs: ", err)
	}
	defer os.Remove(dir)
	r := newRing(t, nil)
	of, err := os.Open(dir + "/trace_pipe")
	if err != nil {
		t.Fatal(err)
	}
	of.Fd() // it waits
	f, err := r.NewFile(of)
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := f.Read(make([]byte, 100))
		read <- err
	}()
	eventually(t, "the Read waits", func() bool { return r.Stats().Submitted > 0 })
	f.Close()
	if err := <-read; !errors.Is(err, fs.ErrClosed) {
		t.Error(err)
	}
	of.Close()
}

// pty opens a terminal of which nobody has the other end but its caller.
func pty(t *testing.T) (master, slave *os.File) {
	t.Helper()
	m, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skip("no terminals: ", err)
	}
	master = os.NewFile(uintptr(m), "ptmx")
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(m, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetUint32(m, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	s, err := unix.Open("/dev/pts/"+strconv.Itoa(int(n)), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip("no terminals: ", err)
	}
	slave = os.NewFile(uintptr(s), "pts")
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

const (
	ttyReader = "RIO_TEST_TTY"
	ttyLines  = 300
)

// TestTheReadersOfATerminal is TestATerminalThatOthersReadHoldsUpNobody's child.
func TestTheReadersOfATerminal(t *testing.T) {
	if os.Getenv(ttyReader) == "" {
		return
	}
	r, err := rio.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	lines := make(chan bool)
	var byRing atomic.Int32
	for i := range 4 {
		go func() {
			p := make([]byte, 64)
			for {
				n, err := 0, error(nil)
				if i == 0 {
					n, err = r.ReadAt(os.Stdin, p, 0).Wait()
					byRing.Add(1)
				} else {
					n, err = unix.Read(0, p)
				}
				if err != nil || n == 0 {
					fmt.Println(i, n, err)
					os.Exit(1)
				}
				for range n / 2 {
					lines <- true
				}
			}
		}()
	}
	fmt.Println("ready")
	for n := range ttyLines {
		<-lines
		fmt.Println(n)
	}
	os.Exit(0) // with all four waiting
}

// The kernel has no way to read a terminal without waiting: once it is ready the read is begun on the thread that asked for it, and
// waits there if somebody else was faster, with everything that thread has.
func TestATerminalThatOthersReadHoldsUpNobody(t *testing.T) {
	if os.Getenv(ttyReader) != "" {
		return
	}
	if simulated {
		t.Skip("it reads no terminals")
	}
	master, slave := pty(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestTheReadersOfATerminal$")
	cmd.Env = append(os.Environ(), ttyReader+"=1")
	cmd.Stdin = slave
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
	defer timer.Stop()
	last, said := -1, ""
	for {
		var word string
		if _, err := fmt.Fscanln(out, &word); err != nil {
			break
		}
		if said = word; word != "ready" {
			last++
		}
		if last < ttyLines-1 { // a line at a time
			master.Write([]byte("x\n"))
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after %d of %d lines (%q): %v", last+1, ttyLines, said, err)
	}
}
