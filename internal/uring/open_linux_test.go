package uring

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func open(t *testing.T, c Config) *Ring {
	t.Helper()
	r, err := Open(c)
	if err != nil {
		if os.Getenv("RIO_TEST_REQUIRE") == "" && (errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSYS)) {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// do sends one request through r and returns its CQE.
func do(t *testing.T, r *Ring, q Request, data uint64) CQE {
	t.Helper()
	fill(r.SQ.Claim(), q, data)
	r.SQ.Publish()
	tail := r.SQ.Tail()
	if _, errno := r.Submit(); errno != 0 {
		t.Fatal("io_uring_enter:", errno)
	}
	for range 10000 {
		if _, errno := r.Wait(false); errno != 0 && errno != unix.ETIME && errno != unix.EINTR {
			t.Fatal("io_uring_enter:", errno)
		}
		if r.CQ.Ready() > 0 {
			if !r.SQ.Passed(tail) {
				t.Fatal("a CQE came before its SQE was taken")
			}
			c := r.CQ.Next()
			r.CQ.Done()
			if c.UserData != data {
				t.Fatalf("user_data %#x came back as %#x", data, c.UserData)
			}
			return c
		}
	}
	t.Fatal("no CQE came")
	panic("unreachable")
}

func TestOpenedRingIsWhatWasAskedFor(t *testing.T) {
	r := open(t, Config{Entries: 8, CQEntries: 32, Wait: time.Millisecond, Files: 4})
	if r.SQ.Entries() != 8 || r.CQ.Entries() != 32 || r.Files != 4 {
		t.Errorf("SQ %d, CQ %d, files %d", r.SQ.Entries(), r.CQ.Entries(), r.Files)
	}
	if r.SQ.Room() != 8 || r.SQ.Pending() != 0 || r.CQ.Ready() != 0 {
		t.Errorf("the probe left something behind: room %d, pending %d, ready %d", r.SQ.Room(), r.SQ.Pending(), r.CQ.Ready())
	}
	for i := range uint64(20) { // more than once around
		if c := do(t, r, Request{Op: OpNop, FD: -1}, 1<<63|i); c.Res != 0 {
			t.Errorf("NOP %d gave %d", i, c.Res)
		}
	}
}

// An enter that is offered more SQEs than there are returns at once: who leads would spin.
func TestWaitWithNothingToComeTimesOut(t *testing.T) {
	r := open(t, Config{Entries: 8, Wait: time.Millisecond, LongWait: 20 * time.Millisecond})
	for _, long := range []bool{false, true} {
		timeouts := 0
		for range 10 { // a signal may end one
			began := time.Now()
			switch _, errno := r.Wait(long); errno {
			case ETIME:
				timeouts++
				if took := time.Since(began); long && took < 10*time.Millisecond {
					t.Errorf("a long wait has ended after %v", took)
				}
			case unix.EINTR:
			default:
				t.Errorf("waiting for nothing gave errno %d", errno)
			}
		}
		if timeouts == 0 {
			t.Error("no wait has timed out")
		}
	}
	do(t, r, Request{Op: OpNop, FD: -1}, 1)
}

func TestCQEntriesDefaultToTwiceTheSQs(t *testing.T) {
	if r := open(t, Config{Entries: 4, Wait: time.Millisecond}); r.CQ.Entries() != 8 || r.Files != 0 {
		t.Errorf("CQ %d, files %d", r.CQ.Entries(), r.Files)
	}
}

func TestOpenWithUnknownFlagIsEINVAL(t *testing.T) {
	open(t, Config{Entries: 1, Wait: time.Millisecond}) // or skip
	before := descriptors(t)
	r, err := Open(Config{Entries: 4, Flags: 1 << 31, Wait: time.Millisecond})
	if err == nil {
		r.Close()
		t.Fatal("the kernel took IORING_SETUP bit 31")
	}
	if !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), "flag") || !strings.Contains(err.Error(), "io_uring_setup") {
		t.Error("the error doesn't name the cause:", err)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors became %d", before, after)
	}
}

func TestCloseLeavesNothingBehind(t *testing.T) {
	open(t, Config{Entries: 1, Wait: time.Millisecond}) // the runtime's epoll, too
	before, mapped := descriptors(t), mappings(t)
	for range 5 {
		r, err := Open(Config{Entries: 4, Wait: time.Millisecond, Files: 2})
		if err != nil {
			t.Fatal(err)
		}
		if mappings(t) == mapped {
			t.Error("an open ring is not to be seen in the mappings")
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if err := r.Close(); err != nil {
			t.Error("closing twice:", err)
		}
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors became %d", before, after)
	}
	if after := mappings(t); after != mapped {
		t.Errorf("%d mappings became %d", mapped, after)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	es, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(es)
}

func mappings(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skip(err)
	}
	return strings.Count(string(b), "anon_inode:[io_uring]")
}

func TestRegisteredFileOutlivesItsDescriptor(t *testing.T) {
	r := open(t, Config{Entries: 4, Wait: time.Millisecond, Files: 2})
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.SetFile(1, fd); err != nil {
		t.Fatal(err)
	}
	if err := CloseFD(fd); err != nil {
		t.Fatal(err)
	}
	read := func(place int32) (string, int32) {
		var p Pins
		defer p.Release()
		b := make([]byte, 16)
		c := do(t, r, Request{Op: OpRead, Flags: SQEFixedFile, FD: place, Addr: p.Bytes(b), Len: uint32(len(b))}, 5)
		return string(b[:max(c.Res, 0)]), c.Res
	}
	if s, res := read(1); s != "content" {
		t.Errorf("read %q, %d", s, res)
	}
	if _, res := read(0); res != -int32(unix.EBADF) {
		t.Errorf("a read from an empty place gave %d", res)
	}
	if err := r.SetFile(1, -1); err != nil {
		t.Fatal(err)
	}
	if _, res := read(1); res != -int32(unix.EBADF) {
		t.Errorf("a read from an emptied place gave %d", res)
	}
}

func TestSetFileErrorsAreNamed(t *testing.T) {
	r := open(t, Config{Entries: 4, Wait: time.Millisecond, Files: 2})
	if err := r.SetFile(2, 0); !errors.Is(err, syscall.EINVAL) {
		t.Error("a place behind the table:", err)
	}
	fd, err := Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	CloseFD(fd)
	err = r.SetFile(0, fd)
	if !errors.Is(err, syscall.EBADF) || !strings.Contains(err.Error(), "io_uring_register") {
		t.Error("a closed descriptor:", err)
	}
	if none := open(t, Config{Entries: 4, Wait: time.Millisecond}); none.SetFile(0, 0) == nil {
		t.Error("a ring without a table took a file")
	}
}

func TestFileTableFitsTheDescriptorLimit(t *testing.T) {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		t.Fatal(err)
	}
	if lim.Cur > 1<<14 {
		t.Skip("the limit on descriptors is ", lim.Cur)
	}
	if r := open(t, Config{Entries: 4, Wait: time.Millisecond, Files: int(lim.Cur) + 1}); r.Files != int(lim.Cur) {
		t.Errorf("the table has %d places, the limit is %d", r.Files, lim.Cur)
	}
}

func TestSetupErrorsNameTheLikelyCause(t *testing.T) {
	sysctl, _ := os.ReadFile("/proc/sys/kernel/io_uring_disabled")
	forbidden := "seccomp"
	if s := strings.TrimSpace(string(sysctl)); s == "1" || s == "2" {
		forbidden = "io_uring_disabled"
	}
	for _, c := range []struct {
		errno syscall.Errno
		flags uint32
		words []string
	}{
		{unix.EPERM, 0, []string{forbidden}},
		{unix.EACCES, 0, []string{forbidden}},
		{unix.EPERM, SetupSQPoll, []string{forbidden, "SQPoll", "CAP_SYS_NICE"}},
		{unix.ENOSYS, 0, []string{"kernel", "5.11"}},
		{unix.ENOMEM, 0, []string{"RLIMIT_MEMLOCK", "ulimit -l"}},
		{unix.EINVAL, SetupSQPoll, []string{"flag"}},
		{unix.EMFILE, 0, []string{"RLIMIT_NOFILE", "ulimit -n"}},
		{unix.ENFILE, 0, []string{"fs.file-max"}},
		{unix.EAGAIN, SetupSQPoll, []string{"RLIMIT_NPROC", "ulimit -u", "pids.max"}},
		{unix.EIO, 0, nil},
	} {
		err := setupError(c.errno, c.flags)
		if !errors.Is(err, c.errno) {
			t.Errorf("%v is not in %q", c.errno, err)
		}
		for _, w := range append(c.words, "io_uring_setup") {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q does not name %q", err, w)
			}
		}
	}
	if !errors.Is(setupError(unix.ENOSYS, 0), errors.ErrUnsupported) {
		t.Error("ENOSYS is not errors.ErrUnsupported")
	}
	odd := errors.New("odd")
	if err := setupError(odd, 0); !errors.Is(err, odd) {
		t.Error("an error that is no errno was lost:", err)
	}
}

func TestMissingFeaturesAreNamed(t *testing.T) {
	all := featSingleMmap | featNoDrop | featSubmitStable | featExtArg
	if all != 1|2|4|256 {
		t.Errorf("IORING_FEAT_* are %#x", all)
	}
	if s := missing(all); s != "" {
		t.Error("nothing is missing, but", s)
	}
	for bit, name := range map[uint32]string{
		featSingleMmap: "IORING_FEAT_SINGLE_MMAP", featNoDrop: "IORING_FEAT_NODROP",
		featSubmitStable: "IORING_FEAT_SUBMIT_STABLE", featExtArg: "IORING_FEAT_EXT_ARG",
	} {
		if s := missing(all &^ bit); s != name {
			t.Errorf("without %s %q is missing", name, s)
		}
	}
}

// The numbers that Linux has for the flags of single operations.
func TestOpFlagsAreLinuxs(t *testing.T) {
	if FsyncDatasync != 1 || SyncRange != 6 || PollIn != 1 || PollOut != 4 {
		t.Error(FsyncDatasync, SyncRange, PollIn, PollOut)
	}
	if MsgNoSignal != 0x4000 || MsgWaitAll != 0x100 {
		t.Errorf("MSG_NOSIGNAL %#x, MSG_WAITALL %#x", MsgNoSignal, MsgWaitAll)
	}
	if AcceptFlags&unix.SOCK_CLOEXEC == 0 || AcceptFlags&unix.SOCK_NONBLOCK == 0 {
		t.Errorf("accept has the flags %#o", AcceptFlags)
	}
}

func TestEventfdHearsOnlyWhatItIsArmedFor(t *testing.T) {
	r := open(t, Config{Entries: 4, Wait: time.Millisecond})
	var b [8]byte
	do(t, r, Request{Op: OpNop, FD: -1}, 1) // Notify(false) since Open
	r.Event.(*os.File).SetReadDeadline(time.Now())
	if n, err := r.Event.Read(b[:]); err == nil {
		t.Errorf("the disarmed eventfd was signalled: %d bytes", n)
	}
	r.CQ.Notify(true)
	do(t, r, Request{Op: OpNop, FD: -1}, 2)
	r.Event.(*os.File).SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := r.Event.Read(b[:]); err != nil || native.Uint64(b[:]) == 0 {
		t.Error("the armed eventfd was not signalled:", err)
	}
}

// What the engine asks of a descriptor.
func TestSocketFacts(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		network, address string
		domain           int
		stream           bool
	}{
		{"tcp4", "127.0.0.1:0", AFInet, true},
		{"tcp6", "[::1]:0", AFInet6, true},
		{"unix", filepath.Join(dir, "s"), AFUnix, true},
		{"unix", fmt.Sprintf("@rio-test-%d", os.Getpid()), AFUnix, true},
		{"udp4", "127.0.0.1:0", AFInet, false},
	} {
		var f interface {
			SyscallConn() (syscall.RawConn, error)
			Close() error
		}
		var addr net.Addr
		if c.stream {
			l, err := net.Listen(c.network, c.address)
			if err != nil {
				t.Log(c.network, err)
				continue
			}
			f, addr = l.(interface {
				SyscallConn() (syscall.RawConn, error)
				Close() error
			}), l.Addr()
		} else {
			l, err := net.ListenPacket(c.network, c.address)
			if err != nil {
				t.Fatal(err)
			}
			f, addr = l.(*net.UDPConn), l.LocalAddr()
		}
		rc, err := f.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		rc.Control(func(fd uintptr) {
			if d, err := Domain(int(fd)); d != c.domain || err != nil {
				t.Errorf("%v: domain %d, %v", addr, d, err)
			}
			if s, err := SocketType(int(fd)); (s == SockStream) != c.stream || err != nil {
				t.Errorf("%v: stream %v, %v", addr, s, err)
			}
			if bounded, socket, _ := FileType(int(fd)); bounded || !socket {
				t.Errorf("%v: a socket is not bounded", addr)
			}
			var s Sockaddr
			if err := Sockname(int(fd), &s); err != nil || s.Family() != c.domain {
				t.Errorf("%v: family %d, %v", addr, s.Family(), err)
			}
			got := s.Path()
			if c.domain != AFUnix {
				ap, _ := s.Inet()
				got = ap.String()
			}
			if got != addr.String() {
				t.Errorf("%v: Sockname says %s", addr, got)
			}
			if err := Peername(int(fd), &s); !errors.Is(err, syscall.ENOTCONN) && !errors.Is(err, syscall.EINVAL) || s.Family() != 0 {
				t.Errorf("%v: the peer of nobody: family %d, %v", addr, s.Family(), err)
			}
		})
		f.Close()
	}
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rc, _ := f.SyscallConn()
	rc.Control(func(fd uintptr) {
		if _, err := SocketType(int(fd)); !errors.Is(err, syscall.ENOTSOCK) {
			t.Error("a directory as a socket:", err)
		}
		if bounded, _, _ := FileType(int(fd)); !bounded {
			t.Error("a directory is bounded")
		}
	})
}
