package rio_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
)

func TestStatsOfAKnownSequence(t *testing.T) {
	ring := newRing(t, &rio.Config{Depth: 8, CQDepth: 32})
	if s := ring.Stats(); s != (rio.Stats{Capacity: 32}) {
		t.Errorf("a new Ring: %+v", s)
	}
	f, w := statsPipe(t, ring)
	buf := make([]byte, 5)

	reads := []rio.Completion[int]{ring.ReadAt(f, buf[:1], 0), ring.ReadAt(f, buf[1:2], 0), ring.ReadAt(f, buf[2:3], 0)}
	if err := ring.SubmitAll(); err != nil {
		t.Fatal(err)
	}
	s := ring.Stats()
	if s.InFlight != 3 || s.Started != 3 || s.Completed != 0 || s.Submitted != 3 || s.Waits != 0 || s.Overflows != 0 {
		t.Errorf("three reads are waiting: %+v", s)
	}
	// One enter, unless the ring's own goroutine has submitted some of them already.
	if s.Enters < 1 || s.Enters > 3 {
		t.Errorf("three reads took %d enters", s.Enters)
	}
	if _, err := w.WriteString("abc"); err != nil {
		t.Fatal(err)
	}
	for _, r := range reads {
		if n, err := r.Wait(); n != 1 || err != nil {
			t.Error(n, err)
		}
	}
	if s := ring.Stats(); s.InFlight != 0 || s.Started != 3 || s.Completed != 3 || s.Submitted != 3 {
		t.Errorf("three reads are done: %+v", s)
	}

	for range 20 {
		if _, err := ring.Nop().Wait(); err != nil {
			t.Fatal(err)
		}
	}
	if s := ring.Stats(); s.InFlight != 0 || s.Started != 23 || s.Completed != 23 || s.Submitted != 23 {
		t.Errorf("and twenty NOPs: %+v", s)
	}

	// What could not be started does not count.
	if _, err := ring.ReadAt(f, buf, -1).Wait(); err == nil {
		t.Error("a negative offset is no error")
	}
	if _, err := ring.ReadAt(nil, buf, 0).Wait(); err == nil {
		t.Error("a nil file is no error")
	}
	if s := ring.Stats(); s.Started != 23 || s.Completed != 23 {
		t.Errorf("and two that could not be started: %+v", s)
	}

	// A cancel is no operation.
	read := ring.ReadAt(f, buf, 0)
	if err := read.Cancel(); err != nil {
		t.Fatal(err)
	}
	if _, err := read.Wait(); err == nil {
		t.Error("a cancelled read of an empty pipe succeeded")
	}
	if s := ring.Stats(); s.InFlight != 0 || s.Started != 24 || s.Completed != 24 {
		t.Errorf("and a cancelled read: %+v", s)
	}

	// Neither is a chain, but its operations are.
	chain := ring.Chain()
	chain.Nop()
	chain.Nop()
	last := chain.Nop()
	if s := ring.Stats(); s.Started != 24 {
		t.Errorf("a chain before Submit: %+v", s)
	}
	if err := chain.Submit(); err != nil {
		t.Fatal(err)
	}
	if _, err := last.Wait(); err != nil {
		t.Error(err)
	}
	if s := ring.Stats(); s.InFlight != 0 || s.Started != 27 || s.Completed != 27 {
		t.Errorf("and a chain of three: %+v", s)
	}
}

func statsPipe(t *testing.T, ring *rio.Ring) (*rio.File, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	f, err := ring.NewFile(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, w
}

func TestStatsCountWhoWaitsForAPlace(t *testing.T) {
	ring := newRing(t, &rio.Config{Depth: 1, CQDepth: 2})
	f, w := statsPipe(t, ring)
	bufs := make([]byte, 3)
	first, second := ring.ReadAt(f, bufs[:1], 0), ring.ReadAt(f, bufs[1:2], 0)
	if s := ring.Stats(); s.Waits != 0 || s.InFlight != 2 || s.Capacity != 2 {
		t.Errorf("a full ring: %+v", s)
	}
	third := make(chan error)
	go func() {
		_, err := ring.ReadAt(f, bufs[2:], 0).Wait()
		third <- err
	}()
	for i := 0; ring.Stats().Waits == 0; i++ {
		if i > 5000 {
			t.Fatal("nobody waits for a place")
		}
		time.Sleep(time.Millisecond)
	}
	if s := ring.Stats(); s.Waits != 1 || s.InFlight != 2 || s.Started != 2 {
		t.Errorf("one waits for a place: %+v", s)
	}
	if _, err := w.WriteString("abc"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []rio.Completion[int]{first, second} {
		if _, err := c.Wait(); err != nil {
			t.Error(err)
		}
	}
	if err := <-third; err != nil {
		t.Error(err)
	}
	if s := ring.Stats(); s.Waits != 1 || s.InFlight != 0 || s.Started != 3 || s.Completed != 3 {
		t.Errorf("all three are done: %+v", s)
	}
}

// Batches are what an io_uring is for: 64 NOPs are one enter.
func TestOneEnterSubmitsAll(t *testing.T) {
	ring := newRing(t, nil)
	best := uint64(1 << 62)
	for range 20 { // the ring's own goroutine may come in between
		before := ring.Stats().Enters
		var nops [64]rio.Completion[struct{}]
		for i := range nops {
			nops[i] = ring.Nop()
		}
		if err := ring.SubmitAll(); err != nil {
			t.Fatal(err)
		}
		for _, c := range nops {
			if _, err := c.Wait(); err != nil {
				t.Fatal(err)
			}
		}
		best = min(best, ring.Stats().Enters-before)
	}
	lanes, _ := strconv.ParseUint(os.Getenv("RIO_TEST_LANES"), 10, 64) // each has an enter of its own
	if best != 1+lanes {
		t.Errorf("64 NOPs took %d enters at best", best)
	}
}

// The figures are consistent whenever they are looked at.
func TestStatsUnderLoad(t *testing.T) {
	ring := newRing(t, &rio.Config{Depth: 4})
	const workers, each = 8, 300
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for range each {
				if _, err := ring.Nop().Wait(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	var last rio.Stats
	for end := false; !end; {
		select {
		case <-done:
			end = true
		default:
		}
		s := ring.Stats()
		if s.InFlight < 0 || s.InFlight > s.Capacity || s.Started-s.Completed != uint64(s.InFlight) ||
			s.Started < last.Started || s.Completed < last.Completed || s.Enters < last.Enters || s.Submitted < last.Submitted {
			t.Fatalf("%+v after %+v", s, last)
		}
		last = s
	}
	if last.Started != workers*each || last.Completed != workers*each || last.Submitted != workers*each {
		t.Errorf("%d operations: %+v", workers*each, last)
	}
}

// A profiled is a row of the table that Profile writes.
type profiled struct {
	count                    int
	p50, p90, p99, p999, max time.Duration
}

// parseProfile reads the table, and the line below it.
func parseProfile(t *testing.T, table string) (map[string]profiled, string) {
	t.Helper()
	rows := map[string]profiled{}
	lines := strings.Split(strings.TrimSpace(table), "\n")
	if got := strings.Fields(lines[0]); strings.Join(got, " ") != "operation count p50 p90 p99 p99.9 max" {
		t.Fatalf("the table's head is %q", lines[0])
	}
	for _, line := range lines[1 : len(lines)-1] {
		fields := strings.Fields(line)
		if len(fields) != 7 {
			t.Fatalf("a row is %q", line)
		}
		var p profiled
		var err error
		if p.count, err = strconv.Atoi(fields[1]); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		for i, d := range []*time.Duration{&p.p50, &p.p90, &p.p99, &p.p999, &p.max} {
			if *d, err = time.ParseDuration(fields[2+i]); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
		}
		if _, twice := rows[fields[0]]; twice {
			t.Errorf("%s is there twice", fields[0])
		}
		rows[fields[0]] = p
	}
	return rows, lines[len(lines)-1]
}

func TestProfileCountsEveryKind(t *testing.T) {
	var table bytes.Buffer
	ring := newRing(t, &rio.Config{Profile: &table})
	born := time.Now()
	f, err := ring.OpenFile(filepath.Join(t.TempDir(), "f"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	pipe, w := statsPipe(t, ring)
	buf := make([]byte, 64)
	bytesMoved := func(n int, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	success := func(_ struct{}, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 200 {
		success(ring.Nop().Wait())
	}
	for range 30 {
		bytesMoved(ring.WriteAt(f, buf, 0).Wait())
	}
	for range 100 {
		bytesMoved(ring.ReadAt(f, buf, 0).Wait())
	}
	for range 7 {
		bytesMoved(ring.ReadvAt(f, [][]byte{buf[:10], buf[10:]}, 0).Wait())
	}
	for range 5 {
		bytesMoved(ring.WritevAt(f, [][]byte{buf}, 0).Wait())
	}
	for range 3 {
		success(ring.Fsync(f).Wait())
	}
	for range 2 {
		success(ring.Fdatasync(f).Wait())
	}
	success(ring.Fallocate(f, 0, 0, 4096).Wait())
	// One read that takes 5 ms: the longest, and no quantile below p99.9 of 101.
	slow := ring.ReadAt(pipe, buf, 0)
	if err := ring.SubmitAll(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Millisecond)
	if _, err := w.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	bytesMoved(slow.Wait())
	if table.Len() != 0 {
		t.Errorf("before Close there is %q", table.String())
	}
	f.Close()
	if err := ring.Close(); err != nil {
		t.Fatal(err)
	}
	elapsed := time.Since(born)
	t.Log("\n" + table.String())
	rows, below := parseProfile(t, table.String())
	want := map[string]int{"nop": 200, "pwrite": 30, "pread": 101, "preadv": 7, "pwritev": 5, "fsync": 3, "fdatasync": 2, "fallocate": 1}
	for name, n := range want {
		p, ok := rows[name]
		if !ok || p.count != n {
			t.Errorf("%s: %d were started, the table says %d", name, n, p.count)
		}
		if p.p50 <= 0 || p.p50 > p.p90 || p.p90 > p.p99 || p.p99 > p.p999 || p.p999 > p.max || p.max > elapsed {
			t.Errorf("%s: %+v is not in order, or longer than everything together, %v", name, p, elapsed)
		}
	}
	if len(rows) != len(want) {
		t.Errorf("the table has %d rows, not %d", len(rows), len(want))
	}
	if p := rows["pread"]; p.max < 5*time.Millisecond || p.p999 != p.max {
		t.Errorf("the read of 5 ms is not to be seen: %+v", p)
	}
	s := ring.Stats()
	figures := regexp.MustCompile(`^(\d+) enters; (\d+) submissions of ([\d.]+) entries on average, (\d+) at most; (\d+) waits for a place; (\d+) overflows$`).FindStringSubmatch(below)
	if figures == nil {
		t.Fatalf("below the table it says %q", below)
	}
	number := func(i int) float64 {
		n, err := strconv.ParseFloat(figures[i], 64)
		if err != nil {
			t.Error(err)
		}
		return n
	}
	if number(1) != float64(s.Enters) || number(5) != 0 || number(6) != 0 {
		t.Errorf("%q, but the figures are %+v", below, s)
	}
	batches, mean, most := number(2), number(3), number(4)
	if batches < 1 || batches > number(1) || mean < 1 || mean > most {
		t.Errorf("%q is not plausible", below)
	}
	if total := batches * mean; total < 0.9*float64(s.Submitted) || total > 1.1*float64(s.Submitted) {
		t.Errorf("%q: that makes %.0f entries, %d were submitted", below, total, s.Submitted)
	}
}

// What a Conn waits for by itself is in the table, too; an idle ring's has only its head.
func TestProfileOfConnectionsAndOfNothing(t *testing.T) {
	var table bytes.Buffer
	ring := newRing(t, &rio.Config{Profile: &table})
	a, b := meteredPair(t, ring)
	buf := make([]byte, 8)
	for range 10 {
		if _, err := a.Write([]byte("message")); err != nil {
			t.Fatal(err)
		}
		if n, err := b.Read(buf); n != 7 || err != nil {
			t.Fatal(n, err)
		}
	}
	if n, err := ring.Recv(b, nil).Wait(); n != 0 || err != nil { // no other kind to its caller
		t.Fatal(n, err)
	}
	a.Close()
	b.Close()
	ring.Close()
	rows, _ := parseProfile(t, table.String())
	if rows["send"].count != 10 || rows["recv"].count != 11 || rows["accept"].count != 1 || len(rows) != 3 {
		t.Errorf("10 messages over one connection:\n%s", table.String())
	}

	table.Reset()
	newRing(t, &rio.Config{Profile: &table}).Close()
	if rows, below := parseProfile(t, table.String()); len(rows) != 0 || below == "" {
		t.Errorf("nothing was done:\n%s", table.String())
	}
}
