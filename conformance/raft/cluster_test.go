package raft

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long any step may take before it counts as hung.
const patience = time.Minute

// A cluster is some nodes, of which some may be dead.
type cluster struct {
	t     *testing.T
	nodes map[string]*process
	says  chan line
	hear  func(line) // is told every line, once
	hung  time.Time  // when the step that is under way will have hung
}

// A process is a node, from its start to its end.
type process struct {
	id, dir, address string
	cmd              *exec.Cmd
	in               *bufio.Writer
	close            func() error
	diag             *diagnosis
	ended            chan struct{} // all that it said is in cluster.says
	alive            bool
}

// A line is what a node said.
type line struct {
	from *process
	verb string
	rest string
}

// A diagnosis is what a node says on its standard error.
type diagnosis struct {
	mu sync.Mutex
	bytes.Buffer
}

func (d *diagnosis) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.Buffer.Write(p)
}

func newCluster(t *testing.T, hear func(line), ids ...string) *cluster {
	c := &cluster{t: t, nodes: make(map[string]*process), says: make(chan line, 1<<16), hear: hear}
	t.Cleanup(func() {
		for _, p := range c.nodes {
			c.kill(p)
			if t.Failed() {
				t.Logf("%s:\n%s", p.id, p.diag.String())
			}
		}
	})
	for _, id := range ids {
		c.start(id, t.TempDir())
	}
	c.introduce()
	for _, p := range c.nodes {
		c.tell(p, "bootstrap "+strings.Join(ids, " "))
	}
	return c
}

// start starts a node, and waits until it listens.
func (c *cluster) start(id, dir string) {
	c.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		c.t.Fatal(err)
	}
	p := &process{id: id, dir: dir, cmd: exec.Command(exe, id), diag: new(diagnosis), ended: make(chan struct{}), alive: true}
	p.cmd.Env = append(os.Environ(), nodeDir+"="+dir)
	p.cmd.Stderr = p.diag
	in, err := p.cmd.StdinPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.step()
	p.in, p.close = bufio.NewWriter(in), in.Close
	c.nodes[id] = p
	go func() {
		defer close(p.ended)
		for lines := bufio.NewReader(out); ; {
			text, err := lines.ReadString('\n')
			if err != nil {
				return // half a line says nothing
			}
			verb, rest, _ := strings.Cut(strings.TrimSuffix(text, "\n"), " ")
			c.says <- line{p, verb, rest}
		}
	}()
	c.wait("a node that listens", func(l line) bool {
		if l.from == p && l.verb == "listens" {
			p.address = l.rest
		}
		return p.address != ""
	})
}

// introduce tells every node where the others are.
func (c *cluster) introduce() {
	var peers []string
	for id, p := range c.nodes {
		peers = append(peers, id, p.address)
	}
	for _, p := range c.nodes {
		c.tell(p, "peers "+strings.Join(peers, " "))
	}
}

// step begins a step.
func (c *cluster) step() { c.hung = time.Now().Add(patience) }

// tell gives a node an order. One that is dead doesn't hear it.
func (c *cluster) tell(p *process, order string) {
	p.in.WriteString(order + "\n")
	p.in.Flush()
}

// kill ends a node as a crash would: SIGKILL, in the middle of whatever it does. Its last words have been heard then.
func (c *cluster) kill(p *process) {
	if !p.alive {
		return
	}
	p.alive = false
	p.cmd.Process.Kill()
	<-p.ended
	p.cmd.Wait()
	p.close()
	for len(c.says) > 0 {
		c.hear(<-c.says)
	}
	if strings.Contains(p.diag.String(), "DATA RACE") || strings.Contains(p.diag.String(), "panic") {
		c.t.Errorf("%s:\n%s", p.id, p.diag.String())
	}
}

// wait hands what the nodes say to enough, until that has what it waits for.
func (c *cluster) wait(what string, enough func(line) bool) {
	c.t.Helper()
	hung := time.After(time.Until(c.hung))
	for {
		select {
		case l := <-c.says:
			c.hear(l)
			if enough(l) {
				return
			}
		case <-hung:
			c.t.Fatalf("still no %s", what)
		}
	}
}

// logFiles are the segments that a node has.
func logFiles(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	if err != nil || len(names) == 0 {
		t.Fatal(fmt.Sprint(dir, ": ", names, err))
	}
	return names
}
