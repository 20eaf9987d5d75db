//go:build linux

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/novacron/terraform-provider-novacron/internal/lab"
)

// target is a provider block with one target at the URI.
func target(uri string) string {
	return fmt.Sprintf("provider \"novacron\" {\n  owner = \"e2e\"\n  targets = {\n    kvm = {\n      libvirt = {\n        uri = %q\n      }\n    }\n  }\n}\n", uri)
}

// vmWith is a VM that is off, with more attributes.
func vmWith(name, more string) string {
	return fmt.Sprintf("resource \"novacron_vm\" %q {\n  name = %q\n  cpus = 1\n  memory = \"32MiB\"\n  power_state = \"stopped\"\n%s\n}\n", name, name, more)
}

// volumeWith is a volume with more attributes.
func volumeWith(name, more string) string {
	return fmt.Sprintf("resource \"novacron_volume\" %q {\n  name = %q\n%s\n}\n", name, name, more)
}

// networkWith is an isolated network with more attributes.
func networkWith(name, more string) string {
	return fmt.Sprintf("resource \"novacron_network\" %q {\n  name = %q\n  mode = \"isolated\"\n%s\n}\n", name, name, more)
}

// mistake is a configuration that cannot work and the one error that says so.
// Terraform shows lines for attributes of a resource and no deeper: the error
// then names the rest.
type mistake struct {
	name, body    string
	summary, line string
	words         []string
}

func TestAMistakeIsOneErrorInThePlanAtItsAttribute(t *testing.T) {
	h := sharedHost(t)
	image := smallImage(t)
	w := newWorkspace(t, h.URI(), "")
	for _, c := range []mistake{
		{"a URI without its slashes", target("qemu:/system?x") + vmWith("a", ""), "Invalid Target", "kvm = {", []string{"uri", "qemu:/system?x"}},
		{"a URI of another hypervisor", target("xen:///system") + vmWith("a", ""), "Invalid Target", "kvm = {", []string{"uri", `"xen"`}},
		{"a target that nobody configured", target(h.URI()) + vmWith("a", `target = "kvm9"`), "Unable to Plan VM", `target = "kvm9"`, []string{"kvm9", "kvm"}},
		{"a size without a unit", volumeWith("a", `size = "10"`), "Invalid Size", `size = "10"`, []string{"10GiB"}},
		{"a size of nothing", volumeWith("a", `size = "0GiB"`), "Invalid Volume", `size = "0GiB"`, nil},
		{"memory without a unit", strings.Replace(vmWith("a", ""), `"32MiB"`, `"32"`, 1), "Invalid Size", "memory", []string{"32GiB"}},
		{"an image that is not there", volumeWith("a", "format = \"raw\"\nsource = {\nfile = \"/no/such.raw\"\n}"), "Invalid Volume", "file", []string{"/no/such.raw"}},
		{"an image larger than the volume", volumeWith("a", "format = \"raw\"\nsize = \"1MiB\"\nsource = { file = \""+image+"\" }"), "Invalid Volume", `size = "1MiB"`, []string{"2MiB"}},
		{"an image of another format", volumeWith("a", "format = \"qcow2\"\nsource = { file = \""+image+"\" }"), "Invalid Volume", "format", []string{"raw"}},
		{"a kernel that is not there", vmWith("a", `kernel = "/no/such/vmlinuz"`), "Invalid VM", "kernel", []string{"/no/such/vmlinuz"}},
		{"a range that is none", networkWith("a", `cidr = "10.0.0.300/24"`), "Invalid Network", "cidr", nil},
		{"a range with host bits", networkWith("a", `cidr = "10.7.0.1/24"`), "Invalid Network", "cidr", []string{"10.7.0.0/24"}},
		{"two VMs of one name", vmWith("a", "") + strings.Replace(vmWith("a", ""), `"a" {`, `"b" {`, 1), "Unable to Plan VM", "name", []string{`"a"`}},
		{"two networks of one name", networkWith("a", `cidr = "10.7.0.0/24"`) + strings.Replace(networkWith("a", `cidr = "10.8.0.0/24"`), `"a" {`, `"b" {`, 1), "Unable to Plan Network", "name", []string{`"a"`}},
		{"two volumes of one name", volumeWith("a", `size = "1MiB"`) + strings.Replace(volumeWith("a", `size = "1MiB"`), `"a" {`, `"b" {`, 1), "Unable to Plan Volume", "name", []string{`"a"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.t = t
			w.write(c.body)
			wantError(t, w.plan(), c.summary, c.line, c.words...)
		})
	}
}

func TestWhatOnlyTheHostKnowsIsOneErrorInTheApplyAndLeavesNothing(t *testing.T) {
	h := sharedHost(t)
	w := newWorkspace(t, h.URI(), "")
	for _, c := range []mistake{
		{"a network that is not there", vmWith("a", "nics = { lan = {\nnetwork = \"nowhere\"\n} }"), "Unable to Create VM", "nics = {", []string{`nics["lan"].network`, `"nowhere"`}},
		{"a pool that is not there", volumeWith("a", "size = \"1MiB\"\npool = \"nowhere\""), "Unable to Create Volume", "pool", []string{`"nowhere"`, "virsh pool-list"}},
		{"a pool of a disk that is not there", vmWith("a", "disks = { root = {\nsize = \"1MiB\"\npool = \"nowhere\"\n} }"), "Unable to Create VM", "disks = {", []string{`disks["root"].pool`, `"nowhere"`}},
		{"a volume that is not there", vmWith("a", "disks = { root = {\nvolume = \"default/nothing.raw\"\n} }"), "Unable to Create VM", "disks = {", []string{`disks["root"].volume`, `"default/nothing.raw"`}},
		{"a port that is taken", strings.Replace(vmWith("a", "shutdown = { timeout = \"0s\" }\nnics = { user = {\nforward = { "+takenPort(t)+" = 80 }\n} }"), `"stopped"`, `"running"`, 1),
			"Unable to Create VM", "nics = {", []string{`nics["user"].forward`, "choose another port"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.t = t
			w.write(c.body)
			r := w.apply()
			wantError(t, r, c.summary, c.line, c.words...)
			wantEmpty(t, h)
			if left := w.state(); len(left) > 0 {
				t.Errorf("the state has %v, want nothing", left)
			}
		})
	}
}

// takenPort returns a port of the loopback that is in use until the test ends.
func takenPort(t *testing.T) string {
	t.Helper()
	l := listen(t)
	t.Cleanup(func() { l.Close() })
	return strconv.Itoa(portOf(l))
}

func TestAHostThatCannotBeReachedIsOneErrorWithARemedy(t *testing.T) {
	for name, uri := range map[string]string{
		"nobody listens on the port": "qemu+tcp://127.0.0.1:" + strconv.Itoa(freePort(t)) + "/system",
		"there is no socket":         "qemu+unix:///system?socket=/nowhere/libvirt-sock",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorkspace(t, "", target(uri)+vmWith("a", ""))
			if r := w.plan(); r.err != nil || len(r.warns) != 1 {
				t.Errorf("plan: %v with %d warnings, want one that the host was not looked at: plans can be made without it\n%s", r.err, len(r.warns), r.text())
			}
			r := w.apply()
			wantError(t, r, "Unable to Create VM", `resource "novacron_vm" "a"`, "kvm")
			if !strings.Contains(r.errors[0].Detail, "\n") {
				t.Errorf("the error says only\n%s\nwant what to do as its last line", r.errors[0].Detail)
			}
		})
	}
}

func TestAForeignVMOfTheNameIsLeftAlone(t *testing.T) {
	h := sharedHost(t)
	w := newWorkspace(t, h.URI(), vmWith("taken", "disks = { root = { size = \"1MiB\" } }"))
	if r := w.do("plan", "-json", "-out=plan"); r.err != nil {
		t.Fatal(r.text())
	}
	file := filepath.Join(t.TempDir(), "foreign.xml")
	if err := os.WriteFile(file, []byte(`<domain type="qemu"><name>taken</name><memory unit="MiB">48</memory><os><type>hvm</type></os></domain>`), 0o644); err != nil {
		t.Fatal(err)
	}
	virsh(t, h, "define", file)
	before := virsh(t, h, "dumpxml", "taken")
	const hint = "terraform import"
	wantError(t, w.do("apply", "-json", "plan"), "VM Exists Already", "name", hint) // made since the plan
	wantError(t, w.plan(), "VM Exists Already", "name", hint)
	wantError(t, w.apply(), "VM Exists Already", "name", hint)
	if now := virsh(t, h, "dumpxml", "taken"); now != before {
		t.Errorf("the foreign VM is now\n%s\nand was\n%s", now, before)
	}
	virsh(t, h, "undefine", "taken")
}

func TestTheVMOfAnotherOwnerIsLeftAlone(t *testing.T) {
	h := sharedHost(t)
	theirs := newWorkspace(t, h.URI(), vmWith("web", "description = \"theirs\""))
	theirs.mustApply()
	ours := newWorkspace(t, h.URI(), "provider \"novacron\" {\n  owner = \"somebody else\"\n}\n"+vmWith("web", "description = \"ours\""))
	wantError(t, ours.plan(), "VM Exists Already", "name", "terraform import")
	if got := virsh(t, h, "desc", "web"); got != "theirs" {
		t.Errorf("the description is %q, want theirs", got)
	}
	theirs.mustBeDone()
	theirs.mustDestroy()
}

func TestAForeignNetworkOfTheNameIsLeftAlone(t *testing.T) {
	h := sharedHost(t)
	foreignNetwork(t, h, "taken", h.Subnet(0))
	before := virsh(t, h, "net-dumpxml", "taken")
	w := newWorkspace(t, h.URI(), networkWith("taken", fmt.Sprintf("cidr = \"%s.0/24\"", h.Subnet(1))))
	wantError(t, w.plan(), "Network Exists Already", "name", "terraform import")
	if now := virsh(t, h, "net-dumpxml", "taken"); now != before {
		t.Errorf("the foreign network is now\n%s\nand was\n%s", now, before)
	}
	virsh(t, h, "net-destroy", "taken")
	virsh(t, h, "net-undefine", "taken")
}

func TestARangeThatAnotherNetworkHasIsOneErrorAndLeavesNothing(t *testing.T) {
	h := sharedHost(t)
	foreignNetwork(t, h, "first", h.Subnet(0))
	w := newWorkspace(t, h.URI(), networkWith("second", fmt.Sprintf("cidr = \"%s.0/24\"", h.Subnet(0))))
	wantError(t, w.apply(), "Unable to Create Network", "cidr", `"first"`, "choose another range")
	if got := virsh(t, h, "net-list", "--all", "--name"); got != "first" {
		t.Errorf("networks of the host: %s; want only the first", got)
	}
	virsh(t, h, "net-destroy", "first")
	virsh(t, h, "net-undefine", "first")
}

// foreignNetwork makes a network by virsh and starts it.
func foreignNetwork(t *testing.T, h *lab.Host, name, subnet string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "net.xml")
	text := fmt.Sprintf(`<network><name>%s</name><bridge name="nve%d"/><ip address="%s.1" netmask="255.255.255.0"/></network>`, name, os.Getpid()%100000, subnet)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	virsh(t, h, "net-define", file)
	virsh(t, h, "net-start", name)
}

func TestAFullDiskIsOneErrorAndLeavesNothing(t *testing.T) {
	h := ownHost(t)
	dir := filepath.Join(h.Dir, "small")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	pids, err := h.Processes()
	if err != nil || len(pids) == 0 {
		t.Fatalf("Processes = %v, %v", pids, err)
	}
	mount := exec.CommandContext(context.Background(), "nsenter", "--target", strconv.Itoa(pids[0]), "--mount", "mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", dir)
	if out, err := mount.CombinedOutput(); err != nil {
		t.Fatalf("mount a small file system for the host: %v\n%s", err, out)
	}
	virsh(t, h, "pool-define-as", "small", "dir", "--target", dir)
	virsh(t, h, "pool-start", "small")

	large := filepath.Join(t.TempDir(), "large.raw")
	content := make([]byte, 16<<20)
	for i := range content {
		content[i] = byte(i * 7)
	}
	if err := os.WriteFile(large, content, 0o644); err != nil {
		t.Fatal(err)
	}
	w := newWorkspace(t, h.URI(), volumeWith("a", "format = \"raw\"\npool = \"small\"\nsource = {\nfile = \""+large+"\"\n}"))
	wantError(t, w.apply(), "Unable to Create Volume", "file", "space")
	if left := virsh(t, h, "vol-list", "small"); strings.Contains(left, "/") {
		t.Errorf("volumes left in the full pool:\n%s", left)
	}
	if left := w.state(); len(left) > 0 {
		t.Errorf("the state has %v, want nothing", left)
	}
	virsh(t, h, "pool-destroy", "small")
	virsh(t, h, "pool-undefine", "small")
}
