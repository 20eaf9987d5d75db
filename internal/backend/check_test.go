package backend

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/novacron/terraform-provider-novacron/internal/backend/simvm"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// without returns the backend of a target that has every power but those that
// edit takes away.
func without(edit func(*spec.Capabilities)) *Backend {
	c := simvm.AllCapabilities()
	c.Why = map[string]string{}
	edit(&c)
	return New("kvm1", simvm.New(simvm.Options{Capabilities: &c}))
}

// told demands problems at the fields, in order, the first of them with the text.
func told(t *testing.T, name string, got []spec.Problem, fields, text string) {
	t.Helper()
	var list []string
	for _, p := range got {
		list = append(list, p.Field)
	}
	if strings.Join(list, " ") != fields {
		t.Errorf("%s: problems %+v; want them at %q", name, got, fields)
	}
	if len(got) > 0 && !strings.Contains(got[0].Text, text) {
		t.Errorf("%s: problem %q; want %q in it", name, got[0].Text, text)
	}
}

func TestCheckVMRefusesPowersThatTheTargetLacks(t *testing.T) {
	full := vmSpec("web")
	full.Boot, full.SSHKeys = &spec.DirectBoot{Kernel: "/k"}, []string{"k"}
	full.NICs = map[string]spec.NIC{"c": {}, "a": {}, "b": {Network: "lan"}}
	full.Disks = map[string]spec.Disk{"z": {Backing: "default/b"}, "y": {Backing: "default/b"}, "x": {Size: spec.GiB}}
	cases := []struct {
		name         string
		edit         func(*spec.Capabilities)
		fields, text string
	}{
		{"nothing missing", func(*spec.Capabilities) {}, "", ""},
		{"no direct boot", func(c *spec.Capabilities) { c.DirectBoot, c.Why["DirectBoot"] = false, "the host is a cloud" }, "kernel",
			`target "kvm1" (sim) does not support booting a kernel from files on the host: the host is a cloud`},
		{"no seeds", func(c *spec.Capabilities) { c.CloudInit = false }, "cloud_init", "does not support cloud-init seeds"},
		{"no user networking", func(c *spec.Capabilities) { c.UserNetworking = false }, "nics.a.network nics.c.network", "user networking"},
		{"no networks", func(c *spec.Capabilities) { c.NetworkModes = nil }, "nics.b.network", "virtual networks"},
		{"no overlays", func(c *spec.Capabilities) { c.VolumeBacking = false }, "disks.y.backing disks.z.backing", "overlays"},
		{"nothing at all", func(c *spec.Capabilities) { *c = spec.Capabilities{Platform: "rock"} },
			"cloud_init disks.y.backing disks.z.backing kernel nics.a.network nics.b.network nics.c.network", "(rock)"},
	}
	for _, c := range cases {
		told(t, c.name, without(c.edit).CheckVM(full), c.fields, c.text)
	}
	invalid := full
	invalid.CPUs = 0
	b := without(func(c *spec.Capabilities) { c.CloudInit = false })
	told(t, "invalid and unsupported", b.CheckVM(invalid), "cloud_init cpus", "")
}

func TestCheckVolumeRefusesPowersThatTheTargetLacks(t *testing.T) {
	empty := spec.Volume{Name: "v", Size: spec.GiB, Format: spec.FormatQCOW2}
	filled, over := empty, empty
	filled.Source, over.Backing = &spec.Source{File: "a"}, "default/b"
	none := without(func(c *spec.Capabilities) {
		c.VolumeFormats, c.VolumeUpload, c.VolumeBacking = []string{spec.FormatRaw}, false, false
	})
	told(t, "an empty volume", without(func(*spec.Capabilities) {}).CheckVolume(empty), "", "")
	told(t, "a format", none.CheckVolume(empty), "format", "the format qcow2 (it has raw)")
	told(t, "contents", none.CheckVolume(filled), "format source", "")
	told(t, "an overlay", none.CheckVolume(over), "backing format", "overlays")
}

func TestCheckNetworkRefusesPowersThatTheTargetLacks(t *testing.T) {
	n := spec.Network{Name: "n", Mode: spec.ModeNAT, CIDR: netip.MustParsePrefix("10.1.0.0/24")}
	told(t, "a network", without(func(*spec.Capabilities) {}).CheckNetwork(n), "", "")
	told(t, "no modes", without(func(c *spec.Capabilities) {
		c.NetworkModes, c.Why["NetworkModes"] = nil, "a session connection has none"
	}).CheckNetwork(n), "", "a session connection has none")
	told(t, "another mode", without(func(c *spec.Capabilities) { c.NetworkModes = []string{spec.ModeIsolated} }).CheckNetwork(n), "mode", "networks of mode nat")
}
