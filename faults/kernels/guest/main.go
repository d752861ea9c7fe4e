//go:build linux

// Command guest is the first process of a virtual machine: it mounts what tests need, asks the kernel what its io_uring
// can do, runs the tests beside it, and switches off. What the host reads are lines that begin with "RIO ".
package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Println("guest: this is the init of a virtual machine")
		os.Exit(1)
	}
	status := run()
	fmt.Printf("RIO status=%d\n", status)
	unix.Sync()
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func run() int {
	for _, m := range []struct{ what, where, kind string }{
		{"proc", "/proc", "proc"}, {"sysfs", "/sys", "sysfs"}, {"devtmpfs", "/dev", "devtmpfs"}, {"tmpfs", "/tmp", "tmpfs"},
	} {
		if err := unix.Mount(m.what, m.where, m.kind, 0, ""); err != nil && err != unix.EBUSY {
			fmt.Println("mount", m.where, err)
		}
	}
	disk, spare := namespace(1), namespace(2)
	if err := unix.Mount(disk, "/disk", "ext4", 0, ""); err != nil {
		fmt.Println("mount", disk, err)
	}
	os.Mkdir("/dev/pts", 0o755)
	os.Mkdir("/dev/shm", 0o1777)
	unix.Mount("devpts", "/dev/pts", "devpts", 0, "ptmxmode=666")
	unix.Mount("tmpfs", "/dev/shm", "tmpfs", 0, "")
	os.Symlink("/proc/self/fd", "/dev/fd")
	if err := loopback(); err != nil {
		fmt.Println("lo:", err)
	}
	unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 20000, Max: 20000})
	var u unix.Utsname
	unix.Uname(&u)
	fmt.Printf("RIO version=%s\n", unix.ByteSliceToString(u.Release[:]))
	look()

	b, _ := os.ReadFile("/args")
	args := strings.Split(strings.TrimSpace(string(b)), "\n")
	status := 0
	var passed, failed, skipped int
	programs := []string{"/uring.test", "/rio.test"}
	if mapper() {
		programs = append(programs, "/faults.test")
	}
	for _, program := range programs {
		cmd := exec.Command(program, args...)
		switch program {
		case "/uring.test":
			cmd.Args = append(cmd.Args[:1], "-test.v", "-test.short")
		case "/faults.test":
			cmd.Args = append(cmd.Args[:1], "-test.v", "-test.short", "-test.timeout=5m", "-test.run=^TestMapped")
		}
		cmd.Env = []string{"TMPDIR=/disk", "HOME=/tmp", "PATH=/", "RIO_TEST_REQUIRE=1", "RIO_FAULTS_REQUIRE=1", "RIO_FAULTS_DISK=" + spare}
		cmd.Dir = "/"
		if _, err := os.Stat("/disk/lost+found"); err != nil {
			cmd.Env[0] = "TMPDIR=/tmp"
			fmt.Println("there is no disk")
		}
		out, err := cmd.StdoutPipe()
		cmd.Stderr = cmd.Stdout
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			fmt.Println(program, err)
			return 1
		}
		// What a test says comes before its verdict: it is kept until that is known to be bad.
		var said []string
		in := bufio.NewScanner(out)
		in.Buffer(nil, 1<<20)
		for in.Scan() {
			l := in.Text()
			said = append(said, l)
			verdict, what, _ := strings.Cut(l, ": ")
			var seconds float64
			if _, err := fmt.Sscanf(what[strings.LastIndex(what, "(")+1:], "%fs)", &seconds); err == nil && seconds > 3 && strings.HasPrefix(l, "---") {
				fmt.Println("slow:", what)
			}
			switch verdict {
			case "--- PASS":
				passed++
				said = said[:0]
			case "--- SKIP":
				skipped++
				fmt.Println(strings.Join(said, "\n"))
				said = said[:0]
			case "--- FAIL":
				failed++
				fmt.Println(strings.Join(said, "\n"))
				said = said[:0]
			}
		}
		if err := cmd.Wait(); err != nil {
			fmt.Println(strings.Join(said, "\n"))
			fmt.Println(program, err)
			status = 1
		}
	}
	fmt.Printf("RIO passed=%d\nRIO failed=%d\nRIO skipped=%d\n", passed, failed, skipped)
	return status
}

// namespace is the device of the disk's namespace n. Newer kernels look for them side by side, and number the devices as they
// are found.
func namespace(n int) string {
	for range 200 {
		found, _ := filepath.Glob("/sys/block/nvme*/nsid")
		for _, name := range found {
			if b, err := os.ReadFile(name); err == nil && strings.TrimSpace(string(b)) == fmt.Sprint(n) {
				return "/dev/" + filepath.Base(filepath.Dir(name))
			}
		}
		time.Sleep(10 * time.Millisecond) // it may be found yet; nothing tells when
	}
	return fmt.Sprintf("/dev/nvme0n%d", n)
}

// mapper loads the device mapper, for tests of disks that are bad or late. It says whether it is there.
func mapper() bool {
	for _, name := range []string{"dax", "dm-mod", "dm-delay"} {
		f, err := os.Open("/" + name + ".ko")
		if err != nil {
			continue // built in, or not to be had
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		f.Close()
		if err != nil && err != unix.EEXIST {
			fmt.Println(name+":", err)
		}
	}
	_, err := os.Stat("/dev/mapper/control")
	return err == nil
}

// loopback switches lo on.
func loopback() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(s), unix.SIOCSIFFLAGS, uintptr(unsafe.Pointer(ifr)))
	if errno != 0 {
		return errno
	}
	return nil
}

// params is the part of struct io_uring_params that is looked at.
type params struct {
	sqEntries, cqEntries, flags, cpu, idle, features, wq uint32
	rest                                                 [92]byte
}

// look prints the kernel's features, and which of those that rio uses are there.
func look() {
	setup := func(flags uint32) (int, uint32, error) {
		p := params{flags: flags}
		fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 8, uintptr(unsafe.Pointer(&p)), 0)
		if errno != 0 {
			return -1, 0, errno
		}
		return int(fd), p.features, nil
	}
	fd, features, err := setup(0)
	if err != nil {
		fmt.Printf("RIO features=none (%v)\n", err)
		return
	}
	fmt.Printf("RIO features=%#x\n", features)
	var found []string
	for _, f := range []struct {
		name  string
		flags uint32
	}{
		{"SUBMIT_ALL", 1 << 7}, {"COOP_TASKRUN", 1 << 8}, {"SINGLE_ISSUER", 1 << 12}, {"DEFER_TASKRUN", 1<<12 | 1<<13}, {"NO_SQARRAY", 1 << 16},
	} {
		if other, _, err := setup(f.flags); err == nil {
			unix.Close(other)
			found = append(found, f.name)
		}
	}
	// IORING_REGISTER_PROBE: the last opcode that the kernel knows.
	var probe [16 + 256*8]byte
	if _, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(fd), 8, uintptr(unsafe.Pointer(&probe)), 256, 0, 0); errno == 0 {
		found = append(found, fmt.Sprintf("%d opcodes", int(probe[0])+1))
	}
	// IORING_REGISTER_PBUF_RING
	if page, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS); err == nil {
		reg := struct {
			addr         uint64
			entries      uint32
			group, flags uint16
			rest         [3]uint64
		}{addr: uint64(uintptr(unsafe.Pointer(&page[0]))), entries: 8}
		if _, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(fd), 22, uintptr(unsafe.Pointer(&reg)), 1, 0, 0); errno == 0 {
			found = append(found, "PBUF_RING")
		}
	}
	unix.Close(fd)
	fmt.Printf("RIO found=%s\n", strings.Join(found, ", "))
}
