package rio

import (
	"bytes"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// heard is a Logger, and what it has heard.
type heard struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.buf.Write(p)
}

func (h *heard) lines() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Split(strings.TrimSuffix(h.buf.String(), "\n"), "\n")
}

func (h *heard) logger() *slog.Logger { return slog.New(slog.NewTextHandler(h, nil)) }

func TestLoggerHearsOnceThatTheRingBroke(t *testing.T) {
	var h heard
	r, breakIt := breakable(t, &Config{Logger: h.logger()})
	f, _ := pipeOn(t, r)
	read := r.ReadAt(f, make([]byte, 1), 0)
	if err := r.SubmitAll(); err != nil {
		t.Fatal(err)
	}
	if r.k.Links() && h.lines()[0] != "" {
		t.Errorf("a ring that lacks nothing says %q", h.lines())
	}
	breakIt()
	r.Nop().Wait()
	r.Nop().Wait()
	if _, err := read.Wait(); err == nil {
		t.Error("the ring isn't broken")
	}
	var said []string
	for _, l := range h.lines() {
		if strings.Contains(l, "level=ERROR") {
			said = append(said, l)
		}
	}
	if len(said) != 1 || !strings.Contains(said[0], "the ring is broken") || !strings.Contains(said[0], r.broken().Error()) {
		t.Errorf("%q; want one line that says why", said)
	}
}

// Who waits for a place, because what has them all doesn't end, is told of, and once.
func TestLoggerHearsWhatHoldsThePlaces(t *testing.T) {
	before := lineStands
	lineStands = time.Millisecond
	defer func() { lineStands = before }()
	for name, hang := range map[string]func(r *Ring){
		"pread=2": func(r *Ring) {
			f, _ := pipeOn(t, r)
			r.ReadAt(f, make([]byte, 1), 0)
			r.ReadAt(f, make([]byte, 1), 0)
		},
		"recv=2": func(r *Ring) {
			_, c, _ := listening(t, r, "tcp")
			r.Recv(c, make([]byte, 1), Link)
			r.Recv(c, nil)
		},
		"accept=1 held.recv=1": func(r *Ring) {
			l, c, _ := listening(t, r, "tcp")
			r.Recv(c, make([]byte, 1))
			r.Accept(l)
			_, idle, _ := listening(t, r, "tcp")
			go idle.Read(make([]byte, 1)) // holds none
			until(t, "it waits", func() bool { return r.Stats().Started-r.Stats().Completed == 3 })
		},
	} {
		t.Run(name, func(t *testing.T) {
			var h heard
			r := openRing(t, &Config{Depth: 1, CQDepth: 2, Logger: h.logger()})
			hang(r)
			var waiting sync.WaitGroup
			for range 3 {
				waiting.Go(func() { r.Nop().Wait() })
			}
			about := func() (n int) {
				for _, l := range h.lines() {
					if strings.Contains(l, "waits for a place") {
						n++
						if !strings.Contains(l, "level=WARN") || !strings.Contains(l, "places=2") || !strings.Contains(l, "held."+name) {
							t.Fatalf("%q; want held.%s", l, name)
						}
					}
				}
				return n
			}
			until(t, "it hears of it", func() bool { return about() > 0 })
			until(t, "all are in line", func() bool { return r.tickets.waiting.Load() == 3 })
			r.Close()
			waiting.Wait()
			if n := about(); n != 1 {
				t.Errorf("it hears of it %d times", n)
			}
		})
	}
}

// Who has got a place before that is no matter of the Logger's.
func TestLoggerHearsNothingOfAShortLine(t *testing.T) {
	before := lineStands
	lineStands = 30 * time.Millisecond
	defer func() { lineStands = before }()
	var h heard
	for range 20 { // each time a slow machine may be too slow
		r := openRing(t, &Config{Depth: 1, CQDepth: 2, Logger: h.logger()})
		f, w := pipeOn(t, r)
		r.ReadAt(f, make([]byte, 1), 0)
		r.ReadAt(f, make([]byte, 1), 0)
		began, done := time.Now(), make(chan error)
		go func() {
			_, err := r.Nop().Wait()
			done <- err
		}()
		until(t, "it is in line", func() bool { return r.tickets.waiting.Load() == 1 })
		w.Write([]byte("x"))
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if time.Since(began) < lineStands {
			time.Sleep(2 * lineStands)
			for _, l := range h.lines() {
				if strings.Contains(l, "waits for a place") {
					t.Error(l)
				}
			}
			return
		}
	}
	t.Skip("the machine is too slow")
}

// It runs itself with few descriptors.
func TestLoggerHearsOfFewPlacesForLentDescriptors(t *testing.T) {
	if os.Getenv("RIO_TEST_FEW") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestLoggerHearsOfFewPlacesForLentDescriptors$", "-test.v")
		cmd.Env = append(os.Environ(), "RIO_TEST_FEW=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestLoggerHearsOfFew") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 64, Max: 64}); err != nil {
		t.Fatal(err)
	}
	var h heard
	r, err := New(&Config{Logger: h.logger()})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	said := slices.DeleteFunc(h.lines(), func(line string) bool { return !strings.Contains(line, "WARN") }) // of options that an old kernel lacks it hears too
	if len(said) != 1 || !strings.Contains(said[0], "places=64 operations=512") {
		t.Errorf("%q", said)
	}
}
