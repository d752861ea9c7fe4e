package http

import (
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/seed-9c58b644/rio/conformance/internal/ringtest"
)

// TestHTTP2CasesPassAsWithPackageNet runs h2spec's cases against net/http's server, once on package net's listener and
// once on a Ring's: what passes there has to pass here.
func TestHTTP2CasesPassAsWithPackageNet(t *testing.T) {
	program := filepath.Join(t.TempDir(), "h2spec")
	if out, err := exec.Command("go", "build", "-o", program, "github.com/summerwind/h2spec/cmd/h2spec").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	kinds := map[string]bool{"h2c": false, "tls": true}
	if testing.Short() && !ringtest.Long() {
		delete(kinds, "tls")
	}
	for name, tls := range kinds {
		t.Run(name, func(t *testing.T) {
			r := ringtest.New(t, nil, 1000)
			std, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			own, err := r.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ownEnd, stdEnd := serve(t, own, tls), serve(t, std, tls)
			// The cases have timeouts of their own, for which a machine may be too busy: what differs has to differ again.
			suspects := map[string]string{}
			for round := range 3 {
				var want, got map[string]string
				var wg sync.WaitGroup
				wg.Go(func() { want = h2spec(t, program, stdEnd, tls) })
				wg.Go(func() { got = h2spec(t, program, ownEnd, tls) })
				wg.Wait()
				passed, differ := 0, map[string]string{}
				for id, outcome := range want {
					if outcome == "passed" {
						passed++
					}
					if _, before := suspects[id]; got[id] != outcome && (before || round == 0) {
						differ[id] = fmt.Sprintf("%s; with package net: %s", got[id], outcome)
					}
				}
				if len(want) != len(got) || passed < 130 {
					t.Fatalf("%d cases, with package net %d, of which %d passed", len(got), len(want), passed)
				}
				t.Logf("%d of %d cases pass with package net; %d differ", passed, len(want), len(differ))
				if suspects = differ; len(suspects) == 0 {
					return
				}
			}
			for id, how := range suspects {
				t.Errorf("%s: %s", id, how)
			}
		})
	}
}

// serve serves on l, and returns the port.
func serve(t *testing.T, l net.Listener, tls bool) (port string) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		io.Copy(io.Discard, req.Body)
		io.WriteString(w, "hello, frames")
	}))
	srv.Listener.Close()
	srv.Listener = l
	srv.Config.ErrorLog = nobody
	if tls {
		srv.EnableHTTP2 = true
		srv.StartTLS()
	} else {
		srv.Config.Protocols = new(http.Protocols)
		srv.Config.Protocols.SetUnencryptedHTTP2(true)
		srv.Start()
	}
	t.Cleanup(srv.Close)
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// h2spec runs all cases against the server at a port, and returns how each ended.
func h2spec(t *testing.T, program, port string, tls bool) map[string]string {
	report := filepath.Join(t.TempDir(), "report.xml")
	args := []string{"-h", "127.0.0.1", "-p", port, "-j", report}
	if tls {
		args = append(args, "-t", "-k")
	}
	out, err := exec.Command(program, args...).CombinedOutput() // exit status 1 if any case has failed
	text, readErr := os.ReadFile(report)
	if readErr != nil {
		t.Errorf("%v, %v\n%s", err, readErr, out)
		return nil
	}
	var suites struct {
		Suite []struct {
			Package string `xml:"package,attr"`
			Case    []struct {
				Name    string    `xml:"classname,attr"`
				Failure *struct{} `xml:"failure"`
				Error   *struct{} `xml:"error"`
				Skipped *struct{} `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(text, &suites); err != nil {
		t.Error(err)
	}
	outcomes := map[string]string{}
	for _, s := range suites.Suite {
		for _, c := range s.Case {
			id := s.Package + " " + c.Name
			if _, twice := outcomes[id]; twice {
				t.Errorf("two cases are named %q", id)
			}
			switch {
			case c.Failure != nil || c.Error != nil:
				outcomes[id] = "failed"
			case c.Skipped != nil:
				outcomes[id] = "skipped"
			default:
				outcomes[id] = "passed"
			}
		}
	}
	return outcomes
}
