package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

// suites are where Debian keeps its kernels, from the oldest: 5.10 is in bullseye's security updates, the newest in
// trixie's backports.
var suites = []struct {
	security bool
	name     string
}{{true, "bullseye-security"}, {false, "bookworm"}, {false, "trixie"}, {false, "trixie-backports"}}

// modules are what the tests need of the kernel and Debian doesn't build in, or not everywhere.
var modules = []string{"dax", "dm-mod", "dm-delay"}

// module is where a module of m lies in the cache; it may be empty, if Debian has none.
func module(cache, name string, m machine) string {
	return filepath.Join(cache, name+"-"+m.String()+".ko")
}

// fetch returns a kernel image for each machine. Those that are in cache are taken from there, with their modules.
func fetch(machines []machine, cache, tmp string) (map[machine]string, error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, err
	}
	images := map[machine]string{}
	missing := map[string][]machine{}
	for _, m := range machines {
		images[m] = filepath.Join(cache, "vmlinuz-"+m.String())
		needed := []string{images[m]}
		for _, name := range modules {
			needed = append(needed, module(cache, name, m))
		}
		for _, name := range needed {
			if _, err := os.Stat(name); err != nil {
				missing[m.arch] = append(missing[m.arch], m)
				break
			}
		}
	}
	for arch, ms := range missing {
		a, err := newArchive(arch, tmp)
		if err != nil {
			return nil, err
		}
		for _, m := range ms {
			if err := a.kernel(m, images[m], cache, tmp); err != nil {
				return nil, err
			}
		}
	}
	return images, nil
}

// An aptArchive is Debian's, looked at with a state of apt's of its own: the system's is left alone.
type aptArchive struct {
	options []string
	names   []string // of packages with a kernel
	arch    string
}

func newArchive(arch, tmp string) (*aptArchive, error) {
	out, err := exec.Command("apt-get", "indextargets", "--format", "$(REPO_URI)").Output()
	if err != nil {
		return nil, fmt.Errorf("apt-get indextargets: %w", err)
	}
	var main, security string
	for _, uri := range strings.Fields(string(out)) {
		switch strings.TrimRight(uri, "/")[strings.LastIndex(strings.TrimRight(uri, "/"), "/")+1:] {
		case "debian":
			main = uri
		case "debian-security":
			security = uri
		}
	}
	if main == "" || security == "" {
		return nil, errors.New("there is no Debian archive in apt's configuration")
	}
	dir := filepath.Join(tmp, "apt-"+arch)
	for _, d := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	var sources strings.Builder
	for _, s := range suites {
		uri := main
		if s.security {
			uri = security
		}
		fmt.Fprintf(&sources, "deb [arch=%s signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n", arch, uri, s.name)
	}
	list := filepath.Join(dir, "sources.list")
	if err := os.WriteFile(list, []byte(sources.String()), 0o644); err != nil {
		return nil, err
	}
	a := &aptArchive{arch: arch, options: []string{
		"-qq", "-o", "Dir::Etc::sourcelist=" + list, "-o", "Dir::Etc::sourceparts=/dev/null", "-o", "Dir::State::Lists=" + filepath.Join(dir, "lists"),
		"-o", "Dir::State::status=/dev/null", "-o", "Dir::Cache=" + filepath.Join(dir, "cache"), "-o", "Acquire::Languages=none", "-o", "APT::Sandbox::User=root",
		"-o", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false", "-o", "APT::Architecture=" + arch, "-o", "APT::Architectures=" + arch,
	}}
	if _, err := a.apt("", "apt-get", "update"); err != nil {
		return nil, err
	}
	names, err := a.apt("", "apt-cache", "pkgnames", "linux-")
	if err != nil {
		return nil, err
	}
	a.names = strings.Fields(names)
	return a, nil
}

func (a *aptArchive) apt(dir, program string, args ...string) (string, error) {
	cmd := exec.Command(program, append(a.options, args...)...)
	cmd.Dir = dir
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, errs.String())
	}
	return string(out), nil
}

// packages are named so; from 6.19 on the kernel itself is in linux-binary.
var packages = regexp.MustCompile(`^linux-(image|binary)-([0-9]+)\.([0-9]+)(\.[0-9]+.*)-cloud-(amd64|arm64)$`)

// kernel downloads the newest kernel of m's series, and leaves its image in name, its modules in cache.
func (a *aptArchive) kernel(m machine, name, cache, tmp string) error {
	type candidate struct {
		name    string
		version []int
	}
	var all []candidate
	for _, n := range a.names {
		p := packages.FindStringSubmatch(n)
		if p == nil || p[5] != m.arch || strings.Contains(n, "deb11") || m.series != "newest" && p[2]+"."+p[3] != m.series {
			continue
		}
		all = append(all, candidate{n, numbers(n)})
	}
	sort.Slice(all, func(i, j int) bool { return less(all[i].version, all[j].version) })
	for i := len(all) - 1; i >= 0 && i >= len(all)-4; i-- {
		dir, err := os.MkdirTemp(tmp, "deb")
		if err != nil {
			return err
		}
		if err := a.unpack(dir, all[i].name); err != nil {
			fmt.Fprintln(os.Stderr, "kernels:", err)
			continue
		}
		image := ""
		filepath.WalkDir(filepath.Join(dir, "x"), func(p string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() && (d.Name() == "vmlinuz" || strings.HasPrefix(d.Name(), "vmlinuz-")) {
				image = p
			}
			return nil
		})
		if image == "" {
			continue // the package that only depends on it
		}
		if apart := strings.Replace(all[i].name, "-binary-", "-modules-", 1); apart != all[i].name {
			if err := a.unpack(dir, apart); err != nil {
				fmt.Fprintln(os.Stderr, "kernels:", err)
			}
		}
		for _, wanted := range modules {
			if err := keepModule(filepath.Join(dir, "x"), wanted, module(cache, wanted, m)); err != nil {
				return err
			}
		}
		b, err := os.ReadFile(image)
		if err == nil {
			err = os.WriteFile(name+".new", b, 0o644)
		}
		if err == nil {
			err = os.Rename(name+".new", name)
		}
		os.RemoveAll(dir)
		return err
	}
	return fmt.Errorf("no kernel of %v in Debian's archive", m)
}

// unpack downloads a package, and has its files in dir/x.
func (a *aptArchive) unpack(dir, name string) error {
	if _, err := a.apt(dir, "apt-get", "download", name); err != nil {
		return err
	}
	debs, _ := filepath.Glob(filepath.Join(dir, "*.deb"))
	if len(debs) != 1 {
		return fmt.Errorf("%s: %d packages came", name, len(debs))
	}
	if out, err := exec.Command("dpkg-deb", "-x", debs[0], filepath.Join(dir, "x")).CombinedOutput(); err != nil {
		return fmt.Errorf("dpkg-deb: %w: %s", err, out)
	}
	return os.Remove(debs[0])
}

// keepModule looks for a module below dir, and leaves it in a file, unpacked. If there is none the file is empty.
func keepModule(dir, name, file string) error {
	var content []byte
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch d.Name() {
		case name + ".ko":
			content, err = os.ReadFile(p)
		case name + ".ko.xz":
			content, err = exec.Command("xz", "-dc", p).Output()
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("module %s: %w", name, err)
	}
	return os.WriteFile(file, content, 0o644)
}

func numbers(s string) (ns []int) {
	for _, f := range strings.FieldsFunc(s, func(r rune) bool { return r < '0' || r > '9' }) {
		n, _ := strconv.Atoi(f)
		ns = append(ns, n)
	}
	return ns
}

func less(a, b []int) bool {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return len(a) < len(b)
}
