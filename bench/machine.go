//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Machine is where and with what was measured. It names no directory.
type Machine struct {
	Date       string `json:"date"`
	CPU        string `json:"cpu"`
	CPUs       int    `json:"cpus"`
	GOMAXPROCS int    `json:"gomaxprocs"`
	Kernel     string `json:"kernel"`
	Arch       string `json:"arch"`
	Go         string `json:"go"`
	C          string `json:"c_compiler,omitempty"`
	Fio        string `json:"fio,omitempty"`
	FileSystem string `json:"file_system"`
	Disk       string `json:"disk,omitempty"`
	LoadBefore string `json:"load_before"` // of the last minute: who else was at work
	LoadAfter  string `json:"load_after"`
}

func describe(b *Bench) Machine {
	m := Machine{
		Date: time.Now().UTC().Format("2006-01-02 15:04 MST"), CPU: cpuModel(), CPUs: runtime.NumCPU(),
		GOMAXPROCS: runtime.GOMAXPROCS(0), Arch: runtime.GOARCH, Go: runtime.Version(), LoadBefore: loadAverage(),
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	m.FileSystem, m.Disk = diskOf(b.dir)
	for _, p := range b.programs {
		if p.path != "" {
			m.C = version("cc", "--version")
		}
	}
	if b.fio != "" {
		m.Fio = version(b.fio, "--version")
	}
	return m
}

func version(name string, args ...string) string {
	if cc := os.Getenv("CC"); name == "cc" && cc != "" {
		name = cc
	}
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return ""
	}
	return firstLine(string(out))
}

func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func loadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg")
	load, _, _ := strings.Cut(string(text), " ")
	return load
}

// diskOf is the file system that a directory is on, and the driver of its disk.
func diskOf(dir string) (fs, disk string) {
	var st syscall.Stat_t
	if syscall.Stat(dir, &st) != nil {
		return "unknown", ""
	}
	number := fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))
	fs = "unknown"
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		before, after, ok := strings.Cut(line, " - ")
		if f := strings.Fields(before); ok && len(f) > 2 && f[2] == number {
			fs = strings.Fields(after)[0]
		}
	}
	device := "/sys/dev/block/" + number
	for _, link := range []string{device + "/device/driver", device + "/../device/driver"} {
		if to, err := os.Readlink(link); err == nil {
			return fs, filepath.Base(to)
		}
	}
	return fs, ""
}
