package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio/examples/internal/extest"
)

func TestMain(m *testing.M) { extest.Main(m, main) }

func TestArgumentsAreRefused(t *testing.T) {
	err := run(context.Background(), []string{":8080"}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "-addr") {
		t.Error(err)
	}
}

// start runs the server until the test ends, and returns its URL.
func start(t *testing.T) (url string) {
	t.Helper()
	extest.RequireRing(t)
	ctx, stop := context.WithCancel(context.Background())
	in, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"-addr", "127.0.0.1:0"}, out) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	line, err := bufio.NewReader(in).ReadString('\n')
	url, said := strings.CutPrefix(strings.TrimSuffix(line, "/debug/rio\n"), "listening on ")
	if err != nil || !said {
		t.Fatalf("first line %q, %v; want the address", line, err)
	}
	return url
}

// get fetches a page, on a connection of its own.
func get(t *testing.T, url string) (body, contentType string) {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: tr, Timeout: extest.Patience}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, resp.Status, err)
	}
	return string(b), resp.Header.Get("Content-Type")
}

func TestStatisticsCountWhatTheServerDoes(t *testing.T) {
	url := start(t)
	stats := func() (f figures) {
		text, kind := get(t, url+"/debug/rio.json")
		if err := json.Unmarshal([]byte(text), &f); err != nil || kind != "application/json" {
			t.Fatalf("%q, %s, %v", text, kind, err)
		}
		return f
	}
	before := stats()
	const n = 20
	for range n {
		if text, _ := get(t, url+"/"); !strings.HasPrefix(text, "Hello, 127.0.0.1:") {
			t.Fatalf("%q", text)
		}
	}
	after := stats()
	// Each took an accept at least; what can be received or sent at once needs no ring.
	if after.Completed-before.Completed < n || after.Submitted-before.Submitted < n || after.Enters <= before.Enters {
		t.Errorf("%+v, before %d requests: %+v", after, n, before)
	}
	if after.Waiting < 1 || after.Capacity != 512 || after.Uptime <= before.Uptime {
		t.Errorf("%+v", after)
	}
	text, kind := get(t, url+"/debug/rio")
	if !strings.HasPrefix(kind, "text/html") {
		t.Errorf("the page's type is %s", kind)
	}
	if started := cell(t, text, "Started"); started < int(after.Started) {
		t.Errorf("the page says that %d were started; before it was %d", started, after.Started)
	}
}

// cell is the number in the element of that id.
func cell(t *testing.T, html, id string) int {
	t.Helper()
	m := regexp.MustCompile(` id="` + id + `">([0-9,]+)<`).FindStringSubmatch(html)
	if m == nil {
		t.Fatalf("no number in #%s:\n%s", id, html)
	}
	n, err := strconv.Atoi(strings.ReplaceAll(m[1], ",", ""))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// The page in a browser: it keeps itself up to date. With RIO_TEST_SCREENSHOT a picture of it is left in that file.
func TestPageIsAlive(t *testing.T) {
	url := start(t)
	html := browse(t, "--dump-dom", "--virtual-time-budget=3000", url+"/debug/rio")
	m := regexp.MustCompile(`data-updates="(\d+)"`).FindStringSubmatch(html)
	if m == nil {
		t.Fatalf("no update:\n%s", html)
	}
	if n, _ := strconv.Atoi(m[1]); n < 3 {
		t.Errorf("%d updates in three seconds", n)
	}
	first, _ := get(t, url+"/debug/rio")
	if rate, done := cell(t, html, "rate"), cell(t, html, "Completed"); rate < 1 || done < 3 || done > cell(t, first, "Completed") {
		t.Errorf("%d operations a second, %d in all", rate, done)
	}
	if !regexp.MustCompile(`id="line"[^>]* d="M`).MatchString(html) || strings.Contains(html, `class="lost"`) {
		t.Errorf("no curve:\n%s", html)
	}
	if picture := os.Getenv("RIO_TEST_SCREENSHOT"); picture != "" {
		browse(t, "--screenshot="+picture, "--window-size=1000,900", "--virtual-time-budget=20000", url+"/debug/rio")
	}
}

// browse runs Chromium, and returns what it prints.
func browse(t *testing.T, args ...string) string {
	t.Helper()
	program, err := exec.LookPath("chromium")
	switch {
	case err == nil:
	case os.Getenv("RIO_TEST_REQUIRE") == "1" && os.Getenv("RIO_TEST_CHROMIUM") == "1":
		t.Fatal("RIO_TEST_CHROMIUM=1, but there is no Chromium: ", err)
	default:
		t.Skip("no Chromium: ", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), extest.Patience)
	defer cancel()
	dir, err := os.MkdirTemp("", "rio-chromium")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cmd := exec.CommandContext(ctx, program, append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--user-data-dir=" + filepath.Join(dir, "profile"),
	}, args...)...)
	cmd.WaitDelay = time.Second
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		t.Fatalf("%v\n%s", err, exit.Stderr)
	} else if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
