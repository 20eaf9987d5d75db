package change

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

func TestEachAttributeHasItsClass(t *testing.T) {
	disk := func(edit func(*spec.Disk)) func(*spec.VM) {
		return func(v *spec.VM) { d := v.Disks["root"]; edit(&d); v.Disks["root"] = d }
	}
	nic := func(edit func(*spec.NIC)) func(*spec.VM) {
		return func(v *spec.VM) { n := v.NICs["lan"]; edit(&n); v.NICs["lan"] = n }
	}
	cases := []struct {
		name  string
		edit  func(*spec.VM)
		field string
		runs  Class // while the guest runs
		off   Class // while it is off and stays off
	}{
		{"another name", func(v *spec.VM) { v.CloudInit.Digest, v.Name = v.SeedDigest(), "db" }, "name", Replace, Replace},
		{"another description", func(v *spec.VM) { v.Description = "x" }, "description", None, None},
		{"another label", func(v *spec.VM) { v.Labels = map[string]string{"a": "2"} }, "labels", None, None},
		{"no labels", func(v *spec.VM) { v.Labels = map[string]string{} }, "labels", None, None},
		{"autostart off", func(v *spec.VM) { v.Autostart = false }, "autostart", None, None},
		{"more CPUs", func(v *spec.VM) { v.CPUs++ }, "cpus", Reboot, None},
		{"fewer CPUs", func(v *spec.VM) { v.CPUs-- }, "cpus", Reboot, None},
		{"more memory", func(v *spec.VM) { v.Memory *= 2 }, "memory", Reboot, None},
		{"another kernel", func(v *spec.VM) { v.Boot.Kernel = "/k2" }, "kernel", Reboot, None},
		{"another initrd", func(v *spec.VM) { v.Boot.Initrd = "" }, "initrd", Reboot, None},
		{"another command line", func(v *spec.VM) { v.Boot.Cmdline = "c2" }, "cmdline", Reboot, None},
		{"a disk more", func(v *spec.VM) { v.Disks["data"] = spec.Disk{Size: spec.GiB} }, "disks.data", Reboot, None},
		{"a disk less", func(v *spec.VM) { delete(v.Disks, "root") }, "disks.root", Reboot, None},
		{"another volume", disk(func(d *spec.Disk) { *d = spec.Disk{Volume: "default/v"} }), "disks.root", Reboot, None},
		{"another backing", disk(func(d *spec.Disk) { d.Backing = "default/c" }), "disks.root", Reboot, None},
		{"another pool", disk(func(d *spec.Disk) { d.Pool = "fast" }), "disks.root", Reboot, None},
		{"a larger disk", disk(func(d *spec.Disk) { d.Size *= 2 }), "disks.root.size", Live, Live},
		{"another bus", disk(func(d *spec.Disk) { d.Bus = spec.BusSATA }), "disks.root.bus", Reboot, None},
		{"a read-only disk", disk(func(d *spec.Disk) { d.ReadOnly = true }), "disks.root.read_only", Reboot, None},
		{"an interface more", func(v *spec.VM) { v.NICs["wan"] = spec.NIC{} }, "nics.wan", Reboot, None},
		{"an interface less", func(v *spec.VM) { delete(v.NICs, "lan") }, "nics.lan", Reboot, None},
		{"another network", nic(func(n *spec.NIC) { n.Network = "lan" }), "nics.lan.network", Reboot, None},
		{"another MAC", nic(func(n *spec.NIC) { n.MAC = "52:54:00:00:00:02" }), "nics.lan.mac", Reboot, None},
		{"another model", nic(func(n *spec.NIC) { n.Model = "e1000" }), "nics.lan.model", Reboot, None},
		{"another forwarded port", nic(func(n *spec.NIC) { n.Forward = map[uint16]uint16{80: 80} }), "nics.lan.forward", Live, Live},
		{"other user data", func(v *spec.VM) { v.CloudInit.UserData = "x" }, "cloud_init", Reboot, None},
		{"other keys", func(v *spec.VM) { v.SSHKeys = nil }, "cloud_init", Reboot, None},
	}
	for _, c := range cases {
		for _, power := range []spec.Power{spec.Running, spec.Stopped} {
			have, want := everything(), everything()
			have.Power, want.Power = power, power
			c.edit(&want)
			class := c.runs
			if power == spec.Stopped {
				class = c.off
			}
			got := VM(have, want)
			if len(got.Ops) != 1 || got.Ops[0].Field != c.field || got.Class() != class {
				t.Errorf("%s while %s: VM = %+v; want one op of class %s at %q", c.name, power, got.Ops, class, c.field)
			}
			if why := len(got.Ops) == 1 && got.Ops[0].Why != ""; why != (class > Live) {
				t.Errorf("%s while %s: VM = %+v; want a reason where it is worse than live, and only there", c.name, power, got.Ops)
			}
			if !got.Changes(c.field) || got.Changes("nothing") {
				t.Errorf("%s: Changes(%q) = %v, Changes(nothing) = %v", c.name, c.field, got.Changes(c.field), got.Changes("nothing"))
			}
		}
	}
}

func TestPowerStates(t *testing.T) {
	cases := []struct {
		have, want spec.Power
		power      Class // of power_state; -1: not in the plan
		cpus       Class // of another CPU count in the same plan
	}{
		{spec.Running, spec.Running, -1, Reboot},
		{spec.Running, spec.Stopped, Reboot, None},
		{spec.Stopped, spec.Stopped, -1, None},
		{spec.Stopped, spec.Running, Live, None},
		{spec.Paused, spec.Running, Live, Reboot},
		{spec.Paused, spec.Stopped, Reboot, None},
		{spec.Crashed, spec.Running, Live, None},
		{spec.Crashed, spec.Stopped, None, None},
	}
	for _, c := range cases {
		have, want := everything(), everything()
		have.Power, want.Power = c.have, c.want
		want.CPUs++
		got := map[string]Class{"power_state": -1}
		for _, op := range VM(have, want).Ops {
			got[op.Field] = op.Class
		}
		if got["power_state"] != c.power || got["cpus"] != c.cpus {
			t.Errorf("%s to %s: power_state %d, cpus %d; want %d, %d", c.have, c.want, got["power_state"], got["cpus"], c.power, c.cpus)
		}
	}
}

func TestWhatIsLeftToThePlatformIsNoDifference(t *testing.T) {
	have, want := everything(), everything()
	have.NICs["lan"] = spec.NIC{MAC: have.MACFor("lan"), Model: "virtio", Forward: map[uint16]uint16{2222: 22}}
	have.NICs["new"] = spec.NIC{MAC: (&spec.VM{UUID: have.UUID}).MACFor("new"), Model: "virtio", Forward: map[uint16]uint16{}}
	have.CloudInit, have.SSHKeys = &spec.CloudInit{Digest: want.SeedDigest()}, nil
	want.Disks = map[string]spec.Disk{"root": {Backing: "default/b"}}
	want.NICs = map[string]spec.NIC{"lan": {MAC: have.NICs["lan"].MAC, Forward: have.NICs["lan"].Forward}, "new": {}}
	want.Labels = nil
	if p := VM(have, want); !p.Empty() || p.Class() != None {
		t.Errorf("VM = %+v, want nothing", p.Ops)
	}
	want.Disks, want.NICs = nil, nil
	if p := VM(have, want); !p.Empty() {
		t.Errorf("VM with nil maps = %+v, want nothing", p.Ops)
	}
	want.Disks, want.NICs = map[string]spec.Disk{}, map[string]spec.NIC{}
	if got := fmt.Sprint(fields(VM(have, want))); got != "[disks.root nics.lan nics.new]" {
		t.Errorf("VM with empty maps changes %s, want all devices to go", got)
	}
}

func fields(p Plan) []string {
	var names []string
	for _, op := range p.Ops {
		names = append(names, op.Field)
	}
	return names
}

func TestPlanIsInOrderOfClassThenField(t *testing.T) {
	have, want := everything(), everything()
	want.Name, want.Description, want.CPUs, want.Memory = "db", "x", 9, spec.TiB
	want.Disks["root"] = spec.Disk{Size: 2 * spec.GiB, Backing: "default/b"}
	want.Autostart = false
	p := VM(have, want)
	if got := fmt.Sprint(fields(p)); got != "[autostart description disks.root.size cloud_init cpus memory name]" {
		t.Errorf("VM = %s; want none, live, reboot, replace", got)
	}
	if got := fmt.Sprint(fields(Plan{p.Of(Reboot)})); got != "[cloud_init cpus memory]" {
		t.Errorf("Of(Reboot) = %s", got)
	}
	if p.Class() != Replace || (Plan{}).Class() != None {
		t.Errorf("Class = %s and %s for the empty plan; want replace, none", p.Class(), Plan{}.Class())
	}
	if !p.Changes("disks") || !p.Changes("disks.root") || p.Changes("disk") || p.Changes("disks.root.size.x") {
		t.Error("Changes must match whole parts of the path, from its start")
	}
}

func TestVolumeAndNetworkClasses(t *testing.T) {
	vol := spec.Volume{Name: "v", Pool: "default", Size: spec.GiB, Format: spec.FormatQCOW2}
	for name, c := range map[string]struct {
		edit func(*spec.Volume)
		want []Op
	}{
		"the same":         {func(*spec.Volume) {}, nil},
		"left to platform": {func(v *spec.Volume) { v.Pool, v.Size = "", 0 }, nil},
		"smaller":          {func(v *spec.Volume) { v.Size /= 2 }, nil},
		"larger":           {func(v *spec.Volume) { v.Size *= 2 }, []Op{{Live, "size", ""}}},
		"another pool":     {func(v *spec.Volume) { v.Pool = "fast" }, []Op{{Replace, "pool", "volumes are not moved between pools"}}},
		"another name":     {func(v *spec.Volume) { v.Name = "w" }, []Op{{Replace, "name", "the name is part of the volume's identity"}}},
	} {
		want := vol
		c.edit(&want)
		if diff := cmp.Diff(c.want, Volume(vol, want).Ops); diff != "" {
			t.Errorf("Volume, %s (-want +got):\n%s", name, diff)
		}
	}
	net := spec.Network{Name: "n", Mode: spec.ModeNAT, CIDR: netip.MustParsePrefix("10.1.0.0/24"), DHCP: true}
	other := spec.Network{Name: "m", Mode: spec.ModeIsolated, CIDR: netip.MustParsePrefix("10.2.0.0/24"), Domain: "lab"}
	if p := Network(net, net); !p.Empty() {
		t.Errorf("Network(n, n) = %+v, want nothing", p.Ops)
	}
	if p := Network(net, other); fmt.Sprint(fields(p)) != "[cidr dhcp domain mode name]" || p.Class() != Replace {
		t.Errorf("Network = %+v; want all five, replace", p.Ops)
	}
}

func TestClassesHaveNames(t *testing.T) {
	for c := None; c <= Replace; c++ {
		if got, ok := ParseClass(c.String()); got != c || !ok {
			t.Errorf("ParseClass(%q) = %v, %v", c, got, ok)
		}
	}
	if _, ok := ParseClass("explode"); ok {
		t.Error("ParseClass(explode) = ok")
	}
}

// randomVM is some VM out of few values, so that two of them often share some.
func randomVM(r *rand.Rand) spec.VM {
	pick := func(n int) int { return r.IntN(n) }
	v := spec.VM{
		UUID: "11111111-1111-4111-8111-111111111111", Name: fmt.Sprint("vm", pick(2)), Description: fmt.Sprint(pick(2)),
		CPUs: 1 + pick(2), Memory: spec.GiB * spec.Size(1+pick(2)), Autostart: pick(2) == 0,
		Power: []spec.Power{spec.Running, spec.Stopped, spec.Paused, spec.Crashed}[pick(4)],
	}
	if pick(2) == 0 {
		v.Boot = &spec.DirectBoot{Kernel: fmt.Sprint("/k", pick(2))}
	}
	if pick(3) > 0 {
		v.Labels = map[string]string{"a": fmt.Sprint(pick(2))}
	}
	if pick(3) > 0 {
		v.Disks = map[string]spec.Disk{}
		for i := range pick(3) {
			v.Disks[fmt.Sprint("d", i)] = spec.Disk{Size: spec.GiB * spec.Size(pick(3)), Backing: fmt.Sprint("p/b", pick(2)), Bus: []string{"", spec.BusSATA}[pick(2)]}
		}
	}
	if pick(3) > 0 {
		v.NICs = map[string]spec.NIC{}
		for i := range pick(3) {
			v.NICs[fmt.Sprint("n", i)] = spec.NIC{Network: []string{"", "lan"}[pick(2)], Forward: map[uint16]uint16{uint16(1 + pick(2)): 22}}
		}
	}
	if pick(2) == 0 {
		v.SSHKeys = []string{fmt.Sprint(pick(2))}
	}
	return v
}

// become returns have as an apply of want would leave it.
func become(have, want spec.VM) spec.VM {
	if want.Labels == nil {
		want.Labels = have.Labels
	}
	if want.NICs == nil {
		want.NICs = have.NICs
	}
	disks := maps.Clone(want.Disks)
	if want.Disks == nil {
		disks = have.Disks
	}
	for key, d := range want.Disks {
		if d.Size == 0 {
			d.Size = have.Disks[key].Size
		}
		if d.Bus == "" {
			d.Bus = spec.BusVirtio
		}
		disks[key] = d
	}
	want.Disks = disks
	return want
}

func TestPropertiesOfEveryPlan(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		have, want := randomVM(r), randomVM(r)
		if p := VM(have, have); !p.Empty() {
			t.Fatalf("VM(x, x) = %+v for %+v", p.Ops, have)
		}
		p := VM(have, want)
		if after := VM(become(have, want), want); !after.Empty() {
			t.Fatalf("after the plan %+v there is still %+v", p.Ops, after.Ops)
		}
		seen := map[string]bool{}
		for i, op := range p.Ops {
			if seen[op.Field] || i > 0 && op.Class < p.Ops[i-1].Class {
				t.Fatalf("plan %+v: %q twice, or out of order", p.Ops, op.Field)
			}
			seen[op.Field] = true
		}
		gone := have.Power == spec.Stopped || have.Power == spec.Crashed
		if gone && p.Class() == Reboot {
			t.Fatalf("plan %+v reboots a guest that is %s", p.Ops, have.Power)
		}
	}
}
