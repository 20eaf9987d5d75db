package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fake is a machine whose apt-get installs packages as a real one does: a
// package brings the tools that need it, unknown packages and stale lists fail.
type fake struct {
	user     string // "root", "sudo" or "plain"
	release  string
	lacks    map[string]bool // names of the tools that are not there
	stale    bool            // the package lists
	broken   bool            // no package ever installs
	hollow   bool            // packages install and bring nothing
	commands []string
}

func (f *fake) root() bool        { return f.user == "root" }
func (f *fake) osRelease() string { return f.release }

func (f *fake) program(name string) (string, bool) {
	if name == "sudo" {
		return "/usr/bin/sudo", f.user == "sudo"
	}
	for _, t := range tools() {
		if t.name == name || slices.Contains(t.anyOf, name) {
			return "/usr/bin/" + name, !f.lacks[t.name]
		}
	}
	return "", false
}

func (f *fake) file(pattern string) (string, bool) {
	for _, t := range tools() {
		if slices.Contains(t.files, pattern) {
			return pattern, !f.lacks[t.name]
		}
	}
	return "", false
}

func (f *fake) run(_ context.Context, argv []string) error {
	line := strings.Join(argv, " ")
	f.commands = append(f.commands, line)
	if strings.HasPrefix(line, "/usr/bin/sudo ") != (f.user == "sudo") {
		return errors.New("permission denied")
	}
	if argv[len(argv)-1] == "update" {
		f.stale = false
		return nil
	}
	if f.stale || f.broken {
		return errors.New("unable to locate a package")
	}
	for _, t := range tools() {
		if slices.Contains(argv, t.packages[familyDebian]) && !f.hollow {
			delete(f.lacks, t.name)
		}
	}
	return nil
}

const debian = "ID=debian\n"

func lacking(names ...string) map[string]bool {
	m := map[string]bool{}
	for _, n := range names {
		m[n] = true
	}
	return m
}

func TestSetup(t *testing.T) {
	const apt = "env DEBIAN_FRONTEND=noninteractive apt-get --option DPkg::Lock::Timeout=120 "
	cases := []struct {
		name     string
		machine  fake
		purpose  purpose
		status   int
		commands []string
		says     string
	}{
		{"nothing is missing", fake{user: "plain", release: debian}, forTest, statusReady, nil, "found    virsh"},
		{"root installs what is missing", fake{user: "root", release: debian, lacks: lacking("virsh", "influx")}, forDemo, statusReady,
			[]string{apt + "install --yes --no-install-recommends influxdb-client libvirt-clients"}, "missing  virsh"},
		{"a user installs by sudo", fake{user: "sudo", release: "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", lacks: lacking("qemu-img")}, forDemo, statusReady,
			[]string{"/usr/bin/sudo " + apt + "install --yes --no-install-recommends qemu-utils"}, "found    qemu-img"},
		{"stale lists are updated once", fake{user: "root", release: debian, stale: true, lacks: lacking("ip")}, forDemo, statusReady,
			[]string{apt + "install --yes --no-install-recommends iproute2", apt + "update", apt + "install --yes --no-install-recommends iproute2"}, "trying again"},
		{"two tools of one package", fake{user: "root", release: debian, lacks: lacking("libvirtd", "virtlogd")}, forDemo, statusReady,
			[]string{apt + "install --yes --no-install-recommends libvirt-daemon-system"}, "missing  virtlogd"},
		{"a tool that is a file", fake{user: "root", release: debian, lacks: lacking("syslinux' boot record")}, forDemo, statusReady,
			[]string{apt + "install --yes --no-install-recommends syslinux-common"}, "found    syslinux' boot record"},
		{"packages that do not install", fake{user: "root", release: debian, broken: true, lacks: lacking("ip")}, forDemo, statusFailed,
			[]string{apt + "install --yes --no-install-recommends iproute2", apt + "update", apt + "install --yes --no-install-recommends iproute2"}, "Unable to install"},
		{"packages that bring nothing", fake{user: "root", release: debian, hollow: true, lacks: lacking("ip")}, forDemo, statusFailed,
			[]string{apt + "install --yes --no-install-recommends iproute2"}, "ip is still not found"},
		{"no sudo", fake{user: "plain", release: debian, lacks: lacking("ip", "virsh")}, forDemo, statusAsk, nil, "As root run: apt-get install iproute2 libvirt-clients"},
		{"no terraform, which no distribution has", fake{user: "root", release: debian, lacks: lacking("terraform", "ip")}, forDemo, statusAsk, nil, "developer.hashicorp.com"},
		{"Fedora", fake{user: "root", release: "ID=fedora\n", lacks: lacking("ip", "virsh")}, forDemo, statusAsk, nil, "dnf install iproute libvirt-client"},
		{"openSUSE", fake{user: "root", release: "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"", lacks: lacking("xz")}, forDemo, statusAsk, nil, "zypper install xz"},
		{"Arch", fake{user: "root", release: "ID=arch\n", lacks: lacking("virsh", "libvirtd")}, forDemo, statusAsk, nil, "pacman -S libvirt"},
		{"an unknown distribution", fake{user: "root", release: "ID=plan9\n", lacks: lacking("virsh")}, forDemo, statusAsk, nil, "Install what provides virsh"},
		{"the demo does not need what only tests need", fake{user: "plain", release: debian, lacks: lacking("gcc", "cpio")}, forDemo, statusReady, nil, "found    virsh"},
		{"tests do", fake{user: "root", release: debian, lacks: lacking("gcc")}, forTest, statusReady,
			[]string{apt + "install --yes --no-install-recommends gcc"}, "missing  gcc"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var said strings.Builder
			c.machine.lacks = maps.Clone(c.machine.lacks)
			got := setup(t.Context(), &c.machine, c.purpose, func(format string, args ...any) { fmt.Fprintf(&said, format+"\n", args...) })
			if got != c.status {
				t.Errorf("setup = %d, want %d", got, c.status)
			}
			if diff := cmp.Diff(c.commands, c.machine.commands); diff != "" {
				t.Errorf("commands (-want +got):\n%s", diff)
			}
			if !strings.Contains(said.String(), c.says) {
				t.Errorf("setup said:\n%swant it to say %q", said.String(), c.says)
			}
		})
	}
}

func TestSetupStopsWhenCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := &fake{user: "root", release: debian, broken: true, lacks: lacking("ip")}
	if got := setup(ctx, m, forDemo, func(string, ...any) {}); got != statusFailed || len(m.commands) != 1 {
		t.Errorf("setup = %d after the commands %q, want %d after one", got, m.commands, statusFailed)
	}
}

func TestEveryToolHasAPackageInEveryFamily(t *testing.T) {
	for _, tool := range tools() {
		if tool.packages == nil {
			if tool.get == "" {
				t.Errorf("%s: neither packages nor how to get it", tool.name)
			}
			continue
		}
		for f := range installers {
			if tool.packages[f] == "" {
				t.Errorf("%s: no package for %s", tool.name, f)
			}
		}
	}
}

func TestFamilyOf(t *testing.T) {
	cases := []struct {
		name, release string
		want          family
	}{
		{"Debian", "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n", familyDebian},
		{"Ubuntu", "ID=ubuntu\nID_LIKE=debian\n", familyDebian},
		{"Pop!_OS", "ID=pop\nID_LIKE=\"ubuntu debian\"\n", familyDebian},
		{"Rocky", "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", familyFedora},
		{"openSUSE Tumbleweed", "ID=\"opensuse-tumbleweed\"\n", familySUSE},
		{"Manjaro", "ID=manjaro\nID_LIKE=arch\n", familyArch},
		{"single quotes", "ID='debian'\n", familyDebian},
		{"a comment", "# ID=debian\nID=alpine\n", familyUnknown},
		{"no file", "", familyUnknown},
	}
	for _, c := range cases {
		if got := familyOf(c.release); got != c.want {
			t.Errorf("%s: familyOf(%q) = %q, want %q", c.name, c.release, got, c.want)
		}
	}
}

func FuzzParseOSRelease(f *testing.F) {
	f.Add("ID=debian\nNAME=\"a \\\"b\\\" \\$c\"\n")
	f.Add("=\n\"\nX='\nY=\"\\\n#Z=1")
	f.Fuzz(func(t *testing.T, content string) {
		for name, value := range parseOSRelease(content) {
			if name == "" || strings.HasPrefix(name, "#") || strings.ContainsAny(name+value, "\n") {
				t.Errorf("parseOSRelease(%q) has %q = %q, want one line each, with a name", content, name, value)
			}
		}
		familyOf(content)
	})
}
