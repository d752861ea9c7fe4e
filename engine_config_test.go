package rio_test

import (
	"bytes"
	"errors"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
)

func TestDepthIsRoundedUp(t *testing.T) {
	for cfg, capacity := range map[rio.Config]int{
		{}:                         512,
		{Depth: 1}:                 2,
		{Depth: 3}:                 8,
		{Depth: 5, CQDepth: 9}:     16,
		{Depth: 4, CQDepth: 4}:     4,
		{Depth: 3, CQDepth: 4}:     4,
		{Depth: 1, CQDepth: 1}:     1,
		{Depth: 1, CQDepth: 100}:   128,
		{Depth: 16, CQDepth: 4096}: 4096,
	} {
		r, err := rio.New(&cfg)
		if err != nil {
			t.Errorf("%+v: %v", cfg, err)
			continue
		}
		if got := r.Stats().Capacity; got != capacity {
			t.Errorf("%+v: the capacity is %d, not %d", cfg, got, capacity)
		}
		var cs []rio.Completion[struct{}]
		for range 3*capacity/2 + 1 {
			cs = append(cs, r.Nop())
		}
		for _, c := range cs {
			ok(t, c)
		}
		if s := r.Stats(); s.Overflows != 0 || s.InFlight != 0 {
			t.Errorf("%+v: %+v", cfg, s)
		}
		r.Close()
	}
}

func TestConfigThatCanNotBeIsRefused(t *testing.T) {
	cpu := func(n int) *int { return &n }
	for _, c := range []struct {
		cfg  rio.Config
		says string
	}{
		{rio.Config{Depth: -1}, "-1"},
		{rio.Config{Depth: 1 << 20}, "1048576"},
		{rio.Config{Depth: 32769}, "32769"},
		{rio.Config{CQDepth: -1}, "CQDepth"},
		{rio.Config{Depth: 8, CQDepth: 4}, "CQDepth"},
		{rio.Config{CQDepth: 65537}, "CQDepth"},
		{rio.Config{SQPoll: true, SQPollCPU: cpu(-1)}, "SQPollCPU"},
		{rio.Config{SQPoll: true, SQPollCPU: cpu(1 << 20)}, "SQPollCPU"},
		{rio.Config{SQPoll: true, SQPollCPU: cpu(1 << 30)}, "SQPollCPU"},
		{rio.Config{SQPollCPU: cpu(0)}, "SQPoll"},
		{rio.Config{SQPollIdle: time.Second}, "SQPoll"},
		{rio.Config{SQPoll: true, SQPollIdle: -1}, "SQPollIdle"},
		{rio.Config{SQPoll: true, SQPollIdle: time.Microsecond}, "SQPollIdle"},
		{rio.Config{SetupFlags: 1 << 2}, "IORING_SETUP_SQ_AFF"},
		{rio.Config{SetupFlags: 1 << 3}, "IORING_SETUP_CQSIZE"},
		{rio.Config{SetupFlags: 1 << 5}, "IORING_SETUP_ATTACH_WQ"},
		{rio.Config{SetupFlags: 1 << 6}, "IORING_SETUP_R_DISABLED"},
		{rio.Config{SetupFlags: 1 << 10}, "IORING_SETUP_SQE128"},
		{rio.Config{SetupFlags: 1 << 11}, "IORING_SETUP_CQE32"},
		{rio.Config{SetupFlags: 1 << 12}, "IORING_SETUP_SINGLE_ISSUER"},
		{rio.Config{SetupFlags: 1 << 13}, "IORING_SETUP_DEFER_TASKRUN"},
		{rio.Config{SetupFlags: 1<<12 | 1<<13}, "IORING_SETUP_DEFER_TASKRUN"},
		{rio.Config{SetupFlags: 1 << 14}, "IORING_SETUP_NO_MMAP"},
		{rio.Config{SetupFlags: 1 << 15}, "IORING_SETUP_REGISTERED_FD_ONLY"},
		{rio.Config{SetupFlags: 1 << 18}, "IORING_SETUP_CQE_MIXED"},
		{rio.Config{SetupFlags: 1 << 19}, "IORING_SETUP_SQE_MIXED"},
		{rio.Config{SetupFlags: 1 << 20}, "IORING_SETUP_SQ_REWIND"},
		{rio.Config{SetupFlags: 1 << 31}, ""}, // nobody knows it
	} {
		r, err := rio.New(&c.cfg)
		if err == nil {
			r.Close()
			t.Errorf("%+v was taken", c.cfg)
			continue
		}
		if !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v", c.cfg, err)
		}
	}
}

func TestFlagsThatTheRingCanLiveWithWork(t *testing.T) {
	const clamp, submitAll, coop, taskrun = 1 << 4, 1 << 7, 1 << 8, 1 << 9
	for _, flags := range []uint32{clamp, submitAll, coop, coop | taskrun} {
		r, err := rio.New(&rio.Config{Depth: 4, SetupFlags: flags})
		if errors.Is(err, syscall.EINVAL) && (flags == submitAll && olderThan(t, 5, 18) || flags&coop != 0 && olderThan(t, 5, 19)) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		pr, pw := tempPipe(t)
		for i := range 20 {
			b := make([]byte, 1)
			c, d := r.ReadAt(pr, b, 0), r.Nop(rio.Drain)
			go pw.Write([]byte{byte(i)})
			ok(t, d)
			if n := ok(t, c); n != 1 || b[0] != byte(i) {
				t.Fatal(n, b)
			}
		}
	}
}

func TestSQPollCPU(t *testing.T) {
	cpu := 0
	r, err := rio.New(&rio.Config{Depth: 4, SQPoll: true, SQPollCPU: &cpu, SQPollIdle: time.Millisecond})
	if err != nil {
		t.Skip(err) // this process may not use CPU 0
	}
	defer r.Close()
	f := tempFile(t, "abc")
	for i := range 10 {
		b := make([]byte, 3)
		if n := ok(t, r.ReadAt(f, b, 0)); n != 3 || string(b) != "abc" {
			t.Fatal(n, b)
		}
		if i%5 == 4 {
			time.Sleep(5 * time.Millisecond) // the kernel's thread falls asleep
		}
	}
}

// What can't be polled for is an error, or works; it is never silently waited for.
func TestIOPollIsAnErrorWhereItCanNotBe(t *testing.T) {
	r, err := rio.New(&rio.Config{Depth: 4, IOPoll: true})
	if err != nil {
		t.Skip(err)
	}
	defer r.Close()
	f := tempFile(t, "abc")
	a, b := tcpPair(t)
	pr, _ := tempPipe(t)
	own, err := r.OpenFile(f.Name(), syscall.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	_, written := own.WriteAt([]byte("abc"), 0)
	for name, err := range map[string]error{
		"File's write":  written,
		"File's sync":   own.Sync(),
		"File's read":   errOf(own.ReadAt(make([]byte, 3), 0)), // it is cached
		"own file":      errOf(r.ReadAt(own, make([]byte, 3), 0).Wait()),
		"buffered read": errOf(r.ReadAt(f, make([]byte, 3), 0).Wait()),
		"pipe":          errOf(r.ReadAt(pr, make([]byte, 3), 0).Wait()),
		"recv":          errOf(r.Recv(a, make([]byte, 3)).Wait()),
		"send":          errOf(r.Send(b, make([]byte, 3)).Wait()),
		"fsync":         errOf(r.Fsync(f).Wait()),
	} {
		if !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.EOPNOTSUPP) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s := r.Stats(); s.InFlight != 0 {
		t.Errorf("%+v", s)
	}
}

func TestCloseWritesTheProfile(t *testing.T) {
	var out bytes.Buffer
	r := newRing(t, &rio.Config{Depth: 1, Profile: &out})
	f := tempFile(t, "abc")
	pr, pw := tempPipe(t)
	for range 20 {
		ok(t, r.ReadAt(f, make([]byte, 3), 0))
	}
	for range 3 {
		ok(t, r.Fsync(f))
	}
	r.WriteAt(pw, []byte("p"), 0)
	ok(t, r.ReadAt(pr, make([]byte, 1), 0))
	for range 7 {
		r.Nop()
	}
	if out.Len() != 0 {
		t.Error("it was written before Close")
	}
	r.Close()
	r.Close()
	s := out.String()
	for _, want := range []string{
		`(?m)^\s*operation +count +p50 +p90 +p99 +p99\.9 +max\s*$`,
		`(?m)^\s*nop +7( +[0-9.]+(ns|µs|ms|s)){5}\s*$`,
		`(?m)^\s*pread +21( +[0-9.]+(ns|µs|ms|s)){5}\s*$`,
		`(?m)^\s*pwrite +1 `,
		`(?m)^\s*fsync +3 `,
		`(?m)[1-9][0-9]* enters; [1-9][0-9]* submissions of [1-9][0-9.]* entries`,
	} {
		if n := len(regexp.MustCompile(want).FindAllString(s, -1)); n != 1 {
			t.Errorf("%d times %s in\n%s", n, want, s)
		}
	}
	if strings.Contains(s, "recv") {
		t.Errorf("there was no recv:\n%s", s)
	}
}

// The memory of a ring counts against the limit on locked memory, and is given back late.
func TestManyRingsOneAfterTheOther(t *testing.T) {
	n := 200
	if testing.Short() {
		n = 40
	}
	for i := range n {
		r, err := rio.New(&rio.Config{Depth: 1024})
		if err != nil {
			t.Fatalf("ring %d: %v", i, err)
		}
		if i%10 == 0 {
			ok(t, r.Nop())
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
}
