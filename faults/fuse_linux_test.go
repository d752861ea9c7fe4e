package faults

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A file system that behaves badly, in a process of its own: in this one, a read that hangs could not even be killed. The
// name of a file says how it behaves:
//
//	plain   as it should
//	short   moves at most 1000 bytes at a time
//	eio     EIO beyond 64 KiB, and for each fsync
//	slow    answers after 20 ms
//	hang    doesn't answer a read, write or fsync before it is told to
//
// Each file has a megabyte, and what was not written reads as badByte says.

const badSize = 1 << 20

func badByte(off int64) byte { return byte(off>>10) ^ byte(off*7) }

var badFiles = []string{"plain", "short", "eio", "slow", "hang"}

func init() { children["fuse"] = serveBadly }

// The numbers of include/uapi/linux/fuse.h.
const (
	fuseLookup      = 1
	fuseForget      = 2
	fuseGetattr     = 3
	fuseSetattr     = 4
	fuseOpen        = 14
	fuseRead        = 15
	fuseWrite       = 16
	fuseRelease     = 18
	fuseFsync       = 20
	fuseFlush       = 25
	fuseInit        = 26
	fuseInterrupt   = 36
	fuseBatchForget = 42
	fuseDirectIO    = 1 // FOPEN_DIRECT_IO
)

type badFS struct {
	fd      int
	mu      sync.Mutex
	data    map[uint64][]byte
	held    []func() // answers to be given when it is told to
	holding bool
}

// serveBadly is a child: it mounts itself at dir, and obeys what comes from its standard input: "go" has it answer what
// hangs, and its end has it end.
func serveBadly(dir string) outcome {
	signal.Ignore(syscall.SIGINT)
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		fmt.Println("NO", err)
		os.Exit(0)
	}
	if err := unix.Mount("rio-faults", dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)); err != nil {
		fmt.Println("NO", err)
		os.Exit(0)
	}
	s := &badFS{fd: fd, data: map[uint64][]byte{}, holding: true}
	for i := range badFiles {
		b := make([]byte, badSize)
		for j := range b {
			b[j] = badByte(int64(j))
		}
		s.data[uint64(i+2)] = b
	}
	go func() {
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() {
			s.mu.Lock()
			s.holding = false
			held := s.held
			s.held = nil
			s.mu.Unlock()
			for _, answer := range held {
				answer()
			}
		}
		os.Exit(0)
	}()
	fmt.Println("OK")
	for {
		req := make([]byte, 1<<20+4096)
		n, err := unix.Read(fd, req)
		if err == unix.EINTR || err == unix.EAGAIN || err == unix.ENOENT {
			continue
		}
		if err != nil {
			os.Exit(0) // unmounted
		}
		go s.answer(req[:n])
	}
}

// answer deals with one request.
func (s *badFS) answer(req []byte) {
	le := binary.LittleEndian
	op, unique, node, in := le.Uint32(req[4:]), le.Uint64(req[8:]), le.Uint64(req[16:]), req[40:]
	reply := func(errno syscall.Errno, body ...any) {
		var b bytes.Buffer
		binary.Write(&b, le, uint32(0)) // the length
		binary.Write(&b, le, -int32(errno))
		binary.Write(&b, le, unique)
		for _, v := range body {
			binary.Write(&b, le, v)
		}
		le.PutUint32(b.Bytes(), uint32(b.Len()))
		unix.Write(s.fd, b.Bytes())
	}
	name := ""
	if node >= 2 && int(node-2) < len(badFiles) {
		name = badFiles[node-2]
	}
	if op == fuseRead || op == fuseWrite || op == fuseFsync {
		switch name {
		case "slow":
			time.Sleep(20 * time.Millisecond)
		case "hang":
			s.mu.Lock()
			if s.holding {
				s.held = append(s.held, func() { s.transfer(op, name, node, in, reply) })
				s.mu.Unlock()
				return
			}
			s.mu.Unlock()
		}
	}
	switch op {
	case fuseInit:
		reply(0, uint32(7), uint32(31), le.Uint32(in[8:]), uint32(0), uint16(64), uint16(64), uint32(1<<20), uint32(1), uint16(256), uint16(0), [8]uint32{})
	case fuseLookup:
		file := string(bytes.TrimRight(in, "\x00"))
		for i, n := range badFiles {
			if n == file {
				reply(0, uint64(i+2), uint64(0), uint64(60), uint64(60), uint64(0), s.attr(uint64(i+2)))
				return
			}
		}
		reply(syscall.ENOENT)
	case fuseGetattr, fuseSetattr:
		reply(0, uint64(60), uint64(0), s.attr(node))
	case fuseOpen:
		reply(0, uint64(0), uint32(fuseDirectIO), uint32(0))
	case fuseFlush, fuseRelease:
		reply(0)
	case fuseRead, fuseWrite, fuseFsync:
		s.transfer(op, name, node, in, reply)
	case fuseForget, fuseBatchForget, fuseInterrupt:
	default:
		reply(syscall.ENOSYS)
	}
}

func (s *badFS) transfer(op uint32, name string, node uint64, in []byte, reply func(syscall.Errno, ...any)) {
	if op == fuseFsync {
		if name == "eio" {
			reply(syscall.EIO)
			return
		}
		reply(0)
		return
	}
	off, n := int64(binary.LittleEndian.Uint64(in[8:])), int(binary.LittleEndian.Uint32(in[16:]))
	if name == "eio" && off+int64(n) > 64<<10 {
		reply(syscall.EIO)
		return
	}
	if name == "short" {
		n = min(n, 1000)
	}
	s.mu.Lock()
	data := s.data[node]
	n = int(min(int64(n), max(0, int64(len(data))-off)))
	var got []byte
	if n > 0 && op == fuseRead {
		got = append(got, data[off:off+int64(n)]...)
	} else if n > 0 {
		copy(data[off:], in[40:40+n])
	}
	s.mu.Unlock()
	if op == fuseRead {
		reply(0, got)
	} else {
		reply(0, uint32(n), uint32(0))
	}
}

// attr is a struct fuse_attr.
func (s *badFS) attr(node uint64) any {
	mode, size := uint32(syscall.S_IFREG|0o666), uint64(badSize)
	if node == 1 {
		mode, size = syscall.S_IFDIR|0o755, 0
	}
	return struct {
		Ino, Size, Blocks, Atime, Mtime, Ctime                                 uint64
		Atimens, Mtimens, Ctimens, Mode, Nlink, UID, GID, Rdev, Blksize, Flags uint32
	}{Ino: node, Size: size, Blocks: size / 512, Mode: mode, Nlink: 1, Blksize: 4096}
}

// A badMount is a mounted badFS, as its user has it.
type badMount struct {
	dir string
	cmd *exec.Cmd
	in  io.WriteCloser
}

// badMountOf mounts one for the time of the test.
func badMountOf(f *fault) *badMount {
	t := f.t
	t.Helper()
	root(t)
	m := &badMount{dir: t.TempDir()}
	m.cmd = spawn("fuse:" + m.dir)
	in, err := m.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	m.in = in
	m.cmd.Stderr = os.Stderr
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Unmount(m.dir, unix.MNT_DETACH)
		m.kill()
		unix.Unmount(m.dir, unix.MNT_DETACH)
	})
	said, _ := bufio.NewReader(out).ReadString('\n')
	if strings.TrimSpace(said) != "OK" {
		t.Skip("no FUSE here: ", said)
	}
	return m
}

// release has it answer what hangs.
func (m *badMount) release() { io.WriteString(m.in, "go\n") }

// kill ends the process that serves it.
func (m *badMount) kill() {
	if m.cmd.ProcessState == nil {
		m.cmd.Process.Kill()
		m.in.Close()
		m.cmd.Wait()
	}
}

func (m *badMount) name(file string) string { return m.dir + "/" + file }

func TestTheBadFileSystemIsOne(t *testing.T) {
	f := inject(t, 5, "FUSE: the file system behaves as it says")
	m := badMountOf(f)
	b, err := os.ReadFile(m.name("plain"))
	if err != nil || len(b) != badSize {
		t.Fatal(len(b), err)
	}
	f.ops.Add(1)
	f.same("plain", b, wantBad(0, badSize))
	s, err := os.Open(m.name("short"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if n, err := s.Read(make([]byte, 5000)); n != 1000 || err != nil {
		t.Errorf("a read of short gives %d, %v", n, err)
	}
}

func wantBad(off int64, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = badByte(off + int64(i))
	}
	return b
}
