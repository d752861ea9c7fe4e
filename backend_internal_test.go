package rio

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/seed-9c58b644/rio/internal/uring"
)

// Auto falls back where io_uring is forbidden or absent, and nowhere else.
func TestAutoFallsBackOnlyWhereIOUringIsAbsent(t *testing.T) {
	for err, want := range map[error]bool{
		syscall.EPERM: true, syscall.EACCES: true, syscall.ENOSYS: true, uring.ErrLacks: true,
		syscall.ENOMEM: false, syscall.EMFILE: false, syscall.ENFILE: false, syscall.EINVAL: false, syscall.EAGAIN: false,
		syscall.EOPNOTSUPP: false, os.ErrDeadlineExceeded: false, errors.ErrUnsupported: false,
	} {
		err = fmt.Errorf("rio: io_uring_setup: %w (a hint)", err)
		if got := absent(err); got != want {
			t.Errorf("%v: %v", err, got)
		}
		if errors.Is(err, uring.ErrLacks) && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%v is no errors.ErrUnsupported", err)
		}
	}
}

func TestBackendsHaveNames(t *testing.T) {
	for b, want := range map[Backend]string{Auto: "auto", IOUring: "iouring", Threads: "threads", 9: "Backend(9)"} {
		if got := b.String(); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
	if b, why := (*Ring)(nil).Backend(); b != Auto || why == "" {
		t.Errorf("of no Ring: %v, %q", b, why)
	}
}

func TestEnvironmentOverridesTheBackend(t *testing.T) {
	for _, c := range []struct {
		env  string
		cfg  *Config
		want Backend
		err  bool
	}{
		{"", nil, Auto, false},
		{"", &Config{}, Auto, false},
		{"", &Config{Backend: Threads}, Threads, false},
		{"", &Config{Backend: IOUring}, IOUring, false},
		{"", &Config{Backend: 3}, 0, true},
		{"threads", nil, Threads, false},
		{"threads", &Config{Backend: IOUring}, Threads, false},
		{"iouring", &Config{Backend: Threads}, IOUring, false},
		{"auto", &Config{Backend: Threads}, Auto, false},
		{"Threads", nil, 0, true},
		{"io_uring", nil, 0, true},
	} {
		t.Setenv(backendVariable, c.env)
		b, by, err := c.cfg.choose()
		if b != c.want || (err != nil) != c.err || err != nil && !errors.Is(err, syscall.EINVAL) {
			t.Errorf("RIO_BACKEND=%s, %+v: %v, %v", c.env, c.cfg, b, err)
		}
		if b != Auto && by == "" {
			t.Errorf("RIO_BACKEND=%s, %+v: nobody has asked for %v", c.env, c.cfg, b)
		}
	}
	t.Setenv(backendVariable, "nonsense")
	if r, err := New(nil); err == nil {
		r.Close()
		t.Error("RIO_BACKEND=nonsense was taken")
	}
}
