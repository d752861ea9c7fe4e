// Package http runs net/http's Server and Transport on a Ring's listeners and connections.
package http

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-9c58b644/rio"
	"github.com/seed-9c58b644/rio/conformance/internal/ringtest"
)

func TestMain(m *testing.M) { ringtest.Main(m) }

// A site is a server and a client of it, both on one ring.
type site struct {
	*httptest.Server
	r      *rio.Ring
	opened atomic.Int64 // connections that the server has seen
	client *http.Client
	tr     *http.Transport
}

// start serves h; edit, if not nil, may change the server before it starts.
func start(t *testing.T, network string, operations uint64, h http.HandlerFunc, edit func(*site)) *site {
	t.Helper()
	r := ringtest.New(t, nil, operations)
	l, err := r.Listen(network, ringtest.Address(t, network))
	if err != nil {
		t.Fatal(err)
	}
	s := &site{Server: httptest.NewUnstartedServer(h), r: r}
	s.Server.Listener.Close()
	s.Server.Listener = l
	s.Config.ErrorLog = nobody
	dial := ringtest.Dialer(r, network, l.Addr().String())
	s.tr = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }}
	s.client = &http.Client{Transport: s.tr}
	s.Config.ConnState = func(_ net.Conn, cs http.ConnState) {
		if cs == http.StateNew {
			s.opened.Add(1)
		}
	}
	if edit != nil {
		edit(s)
	}
	if s.TLS != nil {
		s.StartTLS()
		s.tr.TLSClientConfig = s.Client().Transport.(*http.Transport).TLSClientConfig
		s.tr.ForceAttemptHTTP2 = s.EnableHTTP2
	} else {
		s.Start()
	}
	t.Cleanup(func() {
		s.tr.CloseIdleConnections()
		s.Close()
	})
	return s
}

// at is the address of path; what host it names doesn't matter, the dialer knows better.
func (s *site) at(path string) string {
	scheme := "http"
	if s.TLS != nil {
		scheme = "https"
	}
	return scheme + "://example.com" + path // the name in httptest's certificate
}

// ask sends a request and returns what came back.
func (s *site) ask(method, path string, body []byte) (string, *http.Response, error) {
	req, err := http.NewRequest(method, s.at(path), bytes.NewReader(body))
	if err != nil {
		return "", nil, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return "", nil, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	return string(got), resp, err
}

func networks(t *testing.T, f func(t *testing.T, network string)) {
	for _, network := range []string{"tcp", "tcp6", "unix"} {
		t.Run(network, func(t *testing.T) { f(t, network) })
	}
}

// sum answers with the request's protocol and the checksum of its body.
func sum(w http.ResponseWriter, req *http.Request) {
	h := sha256.New()
	n, err := io.Copy(h, req.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%s %d %x", req.Proto, n, h.Sum(nil))
}

func wantSum(t *testing.T, proto string, body []byte, got string, err error) {
	t.Helper()
	if want := fmt.Sprintf("%s %d %x", proto, len(body), sha256.Sum256(body)); err != nil || got != want {
		t.Errorf("%.100q, %v; want %q", got, err, want)
	}
}

func TestKeepAlive(t *testing.T) {
	networks(t, func(t *testing.T, network string) {
		s := start(t, network, 400, sum, nil)
		for i := range 100 {
			body := bytes.Repeat([]byte{byte(i)}, i*1000)
			got, _, err := s.ask("POST", "/", body)
			wantSum(t, "HTTP/1.1", body, got, err)
		}
		if n := s.opened.Load(); n != 1 {
			t.Errorf("%d connections for requests one after the other; want 1", n)
		}
		s.tr.CloseIdleConnections()
		got, _, err := s.ask("POST", "/", nil)
		wantSum(t, "HTTP/1.1", nil, got, err)
		if n := s.opened.Load(); n != 2 {
			t.Errorf("%d connections; want 2", n)
		}
	})
}

func TestManyClients(t *testing.T) {
	kinds := map[string]struct {
		proto string
		edit  func(*site)
	}{
		"http/1.1": {"HTTP/1.1", nil},
		"tls":      {"HTTP/1.1", withTLS(false)},
		"tls, h2":  {"HTTP/2.0", withTLS(true)},
		"h2c":      {"HTTP/2.0", withH2C},
	}
	for name, k := range kinds {
		t.Run(name, func(t *testing.T) {
			networks(t, func(t *testing.T, network string) {
				s := start(t, network, 200, sum, k.edit)
				s.tr.MaxIdleConnsPerHost = 100
				var wg sync.WaitGroup
				for g := range 20 {
					wg.Go(func() {
						for i := range 5 {
							body := bytes.Repeat([]byte{byte(g), byte(i)}, (g+1)*(i+1)*1000)
							got, resp, err := s.ask("POST", "/", body)
							wantSum(t, k.proto, body, got, err)
							if resp != nil && (resp.TLS != nil) != (s.TLS != nil) {
								t.Errorf("TLS: %v", resp.TLS)
							}
						}
					})
				}
				wg.Wait()
				if n := s.opened.Load(); n < 1 || n > 100 {
					t.Errorf("%d connections for 100 requests", n)
				}
			})
		})
	}
}

func TestShutdownWaitsForWhatIsBeingAnswered(t *testing.T) {
	networks(t, func(t *testing.T, network string) {
		entered, leave := make(chan struct{}), make(chan struct{})
		s := start(t, network, 4, func(w http.ResponseWriter, req *http.Request) {
			close(entered)
			<-leave
			io.WriteString(w, "finished")
		}, nil)
		type answer struct {
			text string
			err  error
		}
		answered, down := make(chan answer, 1), make(chan error, 1)
		go func() {
			text, _, err := s.ask("GET", "/", nil)
			answered <- answer{text, err}
		}()
		<-entered
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			down <- s.Config.Shutdown(ctx)
		}()
		for { // it accepts no more
			c, err := s.r.Dial(t.Context(), network, s.Listener.Addr().String())
			if err != nil {
				break
			}
			c.Close()
		}
		select {
		case err := <-down:
			t.Errorf("Shutdown has not waited: %v", err)
		default:
		}
		close(leave)
		if a := <-answered; a.text != "finished" || a.err != nil {
			t.Errorf("%q, %v", a.text, a.err)
		}
		if err := <-down; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
}

func TestHijackedConnectionsTalk(t *testing.T) {
	networks(t, func(t *testing.T, network string) {
		s := start(t, network, 8, func(w http.ResponseWriter, req *http.Request) {
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			if _, ok := c.(*rio.Conn); !ok {
				t.Errorf("hijacked a %T", c)
			}
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			io.Copy(c, rw)
		}, nil)
		req, _ := http.NewRequest("GET", s.at("/"), nil)
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "echo")
		resp, err := s.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		rw, ok := resp.Body.(io.ReadWriter)
		if !ok || resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("%v, a body of type %T", resp.Status, resp.Body)
		}
		for i := range 10 {
			line := strings.Repeat(fmt.Sprint(i), 1+i*1000)
			if _, err := io.WriteString(rw, line); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(line))
			if _, err := io.ReadFull(rw, got); err != nil || string(got) != line {
				t.Fatalf("%.20q, %v; want %.20q", got, err, line)
			}
		}
	})
}

func TestReadHeaderTimeoutEndsASlowClient(t *testing.T) {
	networks(t, func(t *testing.T, network string) {
		s := start(t, network, 4, sum, func(s *site) { s.Config.ReadHeaderTimeout = 500 * time.Millisecond }) // time enough for who is in time, on a slow machine, too
		c, err := s.r.Dial(t.Context(), network, s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		end := make(chan error, 1)
		go func() {
			c.SetReadDeadline(time.Now().Add(20 * time.Second))
			_, err := io.ReadAll(c)
			end <- err
		}()
		for i := 0; ; i++ { // a byte at a time never ends
			select {
			case err := <-end:
				if errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("the server is still waiting for the headers: %v", err)
				}
				// Who is in time is served.
				got, _, err := s.ask("POST", "/", []byte("quick"))
				wantSum(t, "HTTP/1.1", []byte("quick"), got, err)
				return
			case <-time.After(time.Millisecond):
				fmt.Fprintf(c, "%.1s", "POST / HTTP/1.1\r\nX: "[min(i, 19):]+"x")
			}
		}
	})
}

func TestResponseControllerSetsDeadlines(t *testing.T) {
	networks(t, func(t *testing.T, network string) {
		type outcome struct {
			n   int
			err error
		}
		outcomes := make(chan outcome, 1)
		s := start(t, network, 8, func(w http.ResponseWriter, req *http.Request) {
			rc := http.NewResponseController(w)
			var o outcome
			switch req.URL.Path {
			case "/read":
				o.err = rc.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
				if o.err == nil {
					var body []byte
					body, o.err = io.ReadAll(req.Body)
					o.n = len(body)
				}
			case "/write":
				o.err = rc.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
				for o.err == nil {
					var n int
					n, o.err = w.Write(make([]byte, 1<<20))
					o.n += n
				}
			}
			outcomes <- o
		}, nil)
		// A body that doesn't come.
		c, err := s.r.Dial(t.Context(), network, s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nonly this")
		if o := <-outcomes; o.n != len("only this") || !errors.Is(o.err, os.ErrDeadlineExceeded) {
			t.Errorf("read: %d bytes, %v; want %d and a timeout", o.n, o.err, len("only this"))
		}
		if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != 200 {
			t.Errorf("the answer: %v, %v", resp, err)
		}
		// An answer that nobody reads.
		c2, err := s.r.Dial(t.Context(), network, s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c2.Close()
		io.WriteString(c2, "GET /write HTTP/1.1\r\nHost: x\r\n\r\n")
		if o := <-outcomes; o.n == 0 || !errors.Is(o.err, os.ErrDeadlineExceeded) {
			t.Errorf("write: %d bytes, %v; want some and a timeout", o.n, o.err)
		}
	})
}

func TestHandlersHearThatTheClientIsGone(t *testing.T) {
	networks(t, func(t *testing.T, network string) {
		heard := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s := start(t, network, 4, func(w http.ResponseWriter, req *http.Request) {
			time.AfterFunc(10*time.Millisecond, cancel) // before it has begun there is nobody to hear it
			<-req.Context().Done()
			heard <- req.Context().Err()
		}, nil)
		req, _ := http.NewRequestWithContext(ctx, "GET", s.at("/"), nil)
		if resp, err := s.client.Do(req); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, %v; want context.Canceled", resp, err)
		}
		select {
		case err := <-heard:
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Error("the handler has not heard it")
		}
	})
}
