//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// fioSide is fio with ioengine=io_uring and these options, reading pages with O_DIRECT. It submits and reaps in batches, which costs it
// less CPU than its defaults do, and doesn't measure latencies.
func (b *Bench) fioSide(name, file string, inFlight int, options ...string) Side {
	side := Side{Name: name}
	if b.fio == "" {
		side.Skip = "fio is not installed"
		return side
	}
	side.Turn = func(ctx context.Context, d time.Duration) (Figures, error) {
		cmd := exec.CommandContext(ctx, b.fio, append([]string{"--name=rio", "--filename=" + file, "--readonly", "--ioengine=io_uring",
			"--rw=randread", "--bs=4k", "--direct=1", fmt.Sprintf("--size=%d", b.options.Size),
			fmt.Sprintf("--iodepth=%d", inFlight), "--iodepth_batch_submit=16", "--iodepth_batch_complete_min=1",
			"--iodepth_batch_complete_max=64", "--norandommap", "--randrepeat=0", "--gtod_reduce=1", "--time_based",
			fmt.Sprintf("--runtime=%dms", max(d.Milliseconds(), 1)), "--output-format=json"}, options...)...)
		cmd.Dir = b.dir
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, skip(fmt.Sprintf("fio: %v: %s", err, strings.TrimSpace(stderr.String())))
		}
		return fioFigures(out)
	}
	return side
}

// fioFigures reads fio's report. The times are those of its job, without starting and ending the program.
func fioFigures(out []byte) (Figures, error) {
	var report struct {
		Jobs []struct {
			UsrCPU float64 `json:"usr_cpu"` // percent of the job's run time
			SysCPU float64 `json:"sys_cpu"`
			Read   struct {
				Runtime  float64 `json:"runtime"` // in milliseconds
				TotalIOs float64 `json:"total_ios"`
				IOPS     float64 `json:"iops"`
			} `json:"read"`
		} `json:"jobs"`
	}
	if i := bytes.IndexByte(out, '{'); i > 0 {
		out = out[i:] // notes come first
	}
	if err := json.Unmarshal(out, &report); err != nil || len(report.Jobs) != 1 || report.Jobs[0].Read.IOPS <= 0 {
		return nil, skip(fmt.Sprintf("fio: a report without a job that has read: %v", err))
	}
	j := report.Jobs[0]
	wall := 1e9 / j.Read.IOPS
	return Figures{Wall: wall, CPU: wall * (j.UsrCPU + j.SysCPU) / 100}, nil
}
