package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A report is what a guest says, in lines that begin with "RIO ".
type report struct {
	version, features, found        string
	passed, failed, skipped, status int
}

// boot runs the kernel with initrd, and with an empty ext4 on an NVMe disk and another disk to spare, until the guest switches itself off.
func boot(m machine, kernel, initrd, tmp string, limit time.Duration, verbose bool) (*report, error) {
	disk, spare := filepath.Join(tmp, "disk"), filepath.Join(tmp, "spare")
	for name, size := range map[string]int64{disk: 512 << 20, spare: 64 << 20} {
		f, err := os.Create(name) // empty, whatever was there
		if err != nil {
			return nil, err
		}
		err = f.Truncate(size)
		f.Close()
		if err != nil {
			return nil, err
		}
	}
	mkfs := exec.Command("mkfs.ext4", "-q", "-F", disk)
	mkfs.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/sbin:/usr/sbin")
	if b, err := mkfs.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%v: %v: %s", mkfs, err, b)
	}
	console := filepath.Join(tmp, "console-"+m.String())
	args := []string{"-nodefaults", "-no-user-config", "-smp", "2", "-m", "1536", "-display", "none", "-no-reboot",
		"-accel", "tcg,thread=multi", "-serial", "file:" + console, "-kernel", kernel, "-initrd", initrd,
		"-device", "nvme,id=n0,serial=rio",
		"-drive", "file=" + disk + ",format=raw,if=none,id=d0,cache=unsafe", "-device", "nvme-ns,drive=d0,bus=n0,nsid=1",
		"-drive", "file=" + spare + ",format=raw,if=none,id=d1,cache=unsafe", "-device", "nvme-ns,drive=d1,bus=n0,nsid=2"}
	line := "panic=-1 rdinit=/init quiet loglevel=4 mitigations=off nokaslr"
	qemu := "qemu-system-x86_64"
	if m.arch == "arm64" {
		qemu = "qemu-system-aarch64"
		args = append(args, "-machine", "virt", "-cpu", "max,pauth-impdef=on", "-append", "console=ttyAMA0 "+line)
	} else {
		args = append(args, "-machine", "q35", "-cpu", "max,la57=off", "-append", "console=ttyS0 tsc=unstable "+line)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	out, err := exec.CommandContext(ctx, qemu, args...).CombinedOutput()
	text, _ := os.ReadFile(console)
	if verbose {
		os.Stderr.Write(text)
	}
	r := &report{status: -1}
	var rest []string
	for _, l := range strings.Split(strings.ReplaceAll(string(text), "\r", ""), "\n") {
		key, value, ok := strings.Cut(strings.TrimPrefix(l, "RIO "), "=")
		if !strings.HasPrefix(l, "RIO ") || !ok {
			rest = append(rest, l)
			continue
		}
		n, _ := strconv.Atoi(value)
		switch key {
		case "version":
			r.version = value
		case "features":
			r.features = value
		case "found":
			r.found = value
		case "passed":
			r.passed = n
		case "failed":
			r.failed = n
		case "skipped":
			r.skipped = n
		case "status":
			r.status = n
		}
	}
	if r.status < 0 {
		return nil, fmt.Errorf("the guest did not come to its end (qemu: %v %s):\n%s", err, out, strings.Join(rest[max(0, len(rest)-60):], "\n"))
	}
	if (r.failed > 0 || r.status != 0) && !verbose {
		fmt.Printf("--- %v\n%s\n", m, strings.Join(rest, "\n"))
	}
	return r, nil
}
