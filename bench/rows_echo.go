//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// The echo rows: a server and a client, each in its own process, on one machine. The same client for all.
func echoRows() []Row {
	var rows []Row
	for _, procs := range []int{1, 2} {
		for _, conns := range []int{64, 1000, 5000} {
			rows = append(rows, Row{
				Name:  fmt.Sprintf("echo/%d/procs=%d", conns, procs),
				Title: fmt.Sprintf("TCP echo, %d connections, 128 B, GOMAXPROCS=%d", conns, procs),
				Unit:  "message", Rounds: 5, Cold: true,
				Goals: echoGoals(procs),
				Open:  func(s *Stage) ([]Side, error) { return s.echoSides(conns, procs) },
			})
		}
	}
	return rows
}

// serverForm is the side that is compared with gnet: rio's, in the form that suits servers best.
const serverForm = "rio Serve"

func echoGoals(procs int) []Goal {
	cpu := 1.0
	if procs == 1 {
		cpu = 0.85
	}
	return []Goal{
		atLeast(1.0, "net", Rate), atMost(cpu, "net", CPU), atMost(1.0, "net", P99),
		{Side: serverForm, Bar: "gnet", Metric: Rate, Limit: 1.2, AtLeast: true},
		{Side: serverForm, Bar: "gnet", Metric: CPU, Limit: 0.8},
	}
}

// echoSides starts the servers; they have nothing to do while others take their turn.
func (s *Stage) echoSides(conns, procs int) ([]Side, error) {
	var sides []Side
	for _, server := range []struct{ name, c string }{
		{name: "net"},
		{name: "gnet"},
		{name: "C epoll", c: "echo_epoll"},
		{name: "C io_uring", c: "echo_uring"},
		{name: "rio"},
		{name: "rio Serve"},
	} {
		side := Side{Name: server.name}
		var c program
		if server.c != "" {
			c = s.programs[server.c]
			side.Skip = c.skip
		}
		if side.Skip == "" {
			p, err := startServer(s.ctx, server.name, c, procs)
			if err != nil && server.c != "" {
				side.Skip = err.Error()
			} else if err != nil {
				return nil, err
			} else {
				s.cleanup(p.stop)
				side.Turn = p.echoTurn(conns)
			}
		}
		sides = append(sides, side)
	}
	return sides, nil
}

// echoTurn runs a client. What it doesn't measure, connecting first of all, isn't part of the figures, but for the
// averages of allocations and enters.
func (p *serverProcess) echoTurn(conns int) Turn {
	return func(ctx context.Context, d time.Duration) (Figures, error) {
		before, err := p.ask("stats")
		if err != nil {
			return nil, err
		}
		r, err := runClient(ctx, p, conns, d)
		if err != nil {
			return nil, err
		}
		after, err := p.ask("stats")
		if err != nil {
			return nil, err
		}
		f := Figures{
			Wall: r.Wall / r.Messages, CPU: r.ServerCPU / r.Messages, P50: r.P50, P99: r.P99,
			ClientCPU: r.ClientCPU / r.Wall,
		}
		if p.inGo {
			f[Allocs] = float64(after.Mallocs-before.Mallocs) / r.All
			if after.Enters > 0 {
				f[Enters] = float64(after.Enters-before.Enters) / r.All
			}
		}
		return f, nil
	}
}

// ClientCPU is how much of a processor the client has taken: at 1 it would be what is measured.
const ClientCPU Metric = "client-cpu"

func runClient(ctx context.Context, p *serverProcess, conns int, d time.Duration) (r ClientReport, err error) {
	cmd, err := clientCommand(ctx, "-addr", p.addr, "-conns", fmt.Sprint(conns), "-pid", fmt.Sprint(p.pid()),
		"-warm", (d / 4).String(), "-for", d.String())
	if err != nil {
		return r, err
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return r, fmt.Errorf("the client: %w: %s", err, firstLine(stderr.String()))
	}
	if err := json.Unmarshal(out, &r); err != nil || r.Messages <= 0 {
		return r, fmt.Errorf("the client printed %q", out)
	}
	return r, nil
}
