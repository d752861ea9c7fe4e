//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"time"
)

const idleConns = 10000

// The idle row has connections that have said something once, and now don't: what they take of the server's memory.
// The kernel's own isn't counted.
func idleRows() []Row {
	return []Row{{
		Name: "idle/10000", Title: "10,000 idle connections", Unit: "connection", Rounds: 3, Cold: true,
		Goals: []Goal{
			{Side: serverForm, Bar: "net", Metric: Bytes, Limit: 0.5}, {Side: serverForm, Bar: "net", Metric: RSS, Limit: 0.5},
			atMost(0.5, "net", Bytes),
		},
		Open: func(s *Stage) ([]Side, error) {
			var sides []Side
			for _, name := range []string{"net", "gnet", "rio", serverForm} {
				sides = append(sides, Side{Name: name, Turn: s.idleTurn(name, idleConns)})
			}
			return sides, nil
		},
	}}
}

// idleTurn takes a new server for each turn, because memory that has been in use once may stay.
func (s *Stage) idleTurn(name string, conns int) Turn {
	return func(ctx context.Context, _ time.Duration) (Figures, error) {
		p, err := startServer(ctx, name, program{}, 1)
		if err != nil {
			return nil, err
		}
		defer p.stop()
		before, rssBefore, err := p.memory()
		if err != nil {
			return nil, err
		}
		cmd, err := clientCommand(ctx, "-addr", p.addr, "-conns", fmt.Sprint(conns), "-hold")
		if err != nil {
			return nil, err
		}
		in, err := cmd.StdinPipe()
		if err != nil {
			return nil, err
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil || line != "ready\n" {
			in.Close()
			return nil, fmt.Errorf("the client holds no %d connections: %v", conns, cmd.Wait())
		}
		after, rssAfter, err := p.memory()
		in.Close()
		if e := cmd.Wait(); err == nil {
			err = e
		}
		if err != nil {
			return nil, err
		}
		each := func(a, b float64) float64 { return (a - b) / float64(conns) }
		return Figures{
			Bytes: each(float64(after.Heap+after.Stack), float64(before.Heap+before.Stack)),
			RSS:   each(rssAfter, rssBefore),
		}, nil
	}
}

func (p *serverProcess) memory() (ServerStats, float64, error) {
	stats, err := p.ask("memory")
	if err != nil {
		return stats, 0, err
	}
	rss, err := resident(p.pid())
	return stats, rss, err
}
