package spec

import (
	"net/netip"
	"strings"
	"testing"
)

// wrong demands that the problems are at the fields, in order, and each says
// something.
func wrong(t *testing.T, name string, got []Problem, want string) {
	t.Helper()
	var fields []string
	for _, p := range got {
		fields = append(fields, p.Field)
		if p.Text == "" {
			t.Errorf("%s: the problem at %q has no text", name, p.Field)
		}
	}
	if list := strings.Join(fields, " "); list != want {
		t.Errorf("%s: Validate() = %+v; want problems at %q", name, got, want)
	}
}

func validVM() VM {
	return VM{
		Name: "web-1", CPUs: 2, Memory: 4 * GiB, Power: Running,
		Boot: &DirectBoot{Kernel: "/boot/vmlinuz", Initrd: "/boot/initrd"},
		Disks: map[string]Disk{
			"root": {Backing: "default/debian"}, "data": {Size: 20 * GiB, Pool: "fast", Bus: BusSCSI}, "old": {Volume: "default/db-data", ReadOnly: true},
		},
		NICs: map[string]NIC{"lan": {Network: "lan", MAC: "52:54:00:12:34:56"}, "out": {Forward: map[uint16]uint16{2222: 22}}},
	}
}

func TestValidateVM(t *testing.T) {
	disk := func(d Disk) func(*VM) { return func(v *VM) { v.Disks = map[string]Disk{"root": d} } }
	nic := func(n NIC) func(*VM) { return func(v *VM) { v.NICs = map[string]NIC{"lan": n} } }
	cases := []struct {
		name string
		edit func(*VM)
		want string // fields
	}{
		{"a VM with one of everything", func(*VM) {}, ""},
		{"a VM with nothing", func(v *VM) { *v = VM{Name: "a", CPUs: 1, Memory: MiB, Power: Stopped} }, ""},
		{"no name", func(v *VM) { v.Name = "" }, "name"},
		{"a name of 63", func(v *VM) { v.Name = strings.Repeat("a", 63) }, ""},
		{"a name of 64", func(v *VM) { v.Name = strings.Repeat("a", 64) }, "name"},
		{"a name with a slash", func(v *VM) { v.Name = "a/b" }, "name"},
		{"a name with a newline", func(v *VM) { v.Name = "a\n" }, "name"},
		{"a name that looks like an option", func(v *VM) { v.Name = "-rf" }, "name"},
		{"a name that looks like a path", func(v *VM) { v.Name = ".." }, "name"},
		{"a name beyond ASCII", func(v *VM) { v.Name = "wéb" }, "name"},
		{"no CPUs", func(v *VM) { v.CPUs = 0 }, "cpus"},
		{"too many CPUs", func(v *VM) { v.CPUs = 4097 }, "cpus"},
		{"no memory", func(v *VM) { v.Memory = 0 }, "memory"},
		{"memory that is not whole", func(v *VM) { v.Memory = 500_000_000 }, "memory"},
		{"a power state that is only read", func(v *VM) { v.Power = Paused }, "power_state"},
		{"no power state", func(v *VM) { v.Power = "" }, "power_state"},
		{"a relative kernel", func(v *VM) { v.Boot.Kernel = "vmlinuz" }, "kernel"},
		{"a relative initrd", func(v *VM) { v.Boot.Initrd = "initrd" }, "initrd"},
		{"no initrd", func(v *VM) { v.Boot.Initrd = "" }, ""},
		{"a disk of nothing", disk(Disk{}), "disks.root"},
		{"a disk that is a volume and a size", disk(Disk{Volume: "default/a", Size: GiB}), "disks.root"},
		{"a disk that is a volume in a pool", disk(Disk{Volume: "default/a", Pool: "fast"}), "disks.root"},
		{"a disk that is a volume on another", disk(Disk{Volume: "default/a", Backing: "default/b"}), "disks.root"},
		{"a volume that is not an id", disk(Disk{Volume: "/var/lib/a.img"}), "disks.root.volume"},
		{"a backing volume that is not an id", disk(Disk{Backing: "debian"}), "disks.root.backing"},
		{"a disk of half a sector", disk(Disk{Size: 500_000_001}), "disks.root.size"},
		{"a disk of a negative size", disk(Disk{Size: -512, Backing: "default/b"}), "disks.root.size"},
		{"an unknown bus", disk(Disk{Size: GiB, Bus: "ide"}), "disks.root.bus"},
		{"a key with a dot", func(v *VM) { v.Disks = map[string]Disk{"a.b": {Size: GiB}} }, "disks.a.b"},
		{"a key in capitals", func(v *VM) { v.Disks = map[string]Disk{"Root": {Size: GiB}} }, "disks.Root"},
		{"a key of 21", func(v *VM) { v.NICs = map[string]NIC{strings.Repeat("n", 21): {}} }, "nics." + strings.Repeat("n", 21)},
		{"a MAC in capitals", nic(NIC{MAC: "52:54:00:AA:BB:CC"}), "nics.lan.mac"},
		{"a multicast MAC", nic(NIC{MAC: "01:00:5e:00:00:01"}), "nics.lan.mac"},
		{"half a MAC", nic(NIC{MAC: "52:54:00"}), "nics.lan.mac"},
		{"ports forwarded from a network", nic(NIC{Network: "lan", Forward: map[uint16]uint16{80: 80}}), "nics.lan.forward"},
		{"port 0 of the host", nic(NIC{Forward: map[uint16]uint16{0: 80}}), "nics.lan.forward"},
		{"port 0 of the guest", nic(NIC{Forward: map[uint16]uint16{80: 0}}), "nics.lan.forward"},
		{"one port forwarded twice", func(v *VM) {
			v.NICs = map[string]NIC{"a": {Forward: map[uint16]uint16{80: 80}}, "b": {Forward: map[uint16]uint16{80: 81}}}
		}, "nics.b.forward"},
		{"one MAC twice", func(v *VM) {
			v.NICs = map[string]NIC{"a": {MAC: "52:54:00:00:00:01"}, "b": {MAC: "52:54:00:00:00:01"}}
		}, "nics.b.mac"},
		{"the MAC that another NIC is given", func(v *VM) {
			v.NICs = map[string]NIC{"a": {}}
			v.NICs["b"] = NIC{MAC: v.MACFor("a")}
		}, "nics.b.mac"},
		{"several, by field", func(v *VM) { v.Name, v.CPUs, v.Memory, v.Power = "", 0, 0, "" }, "cpus memory name power_state"},
	}
	for _, c := range cases {
		v := validVM()
		c.edit(&v)
		wrong(t, c.name, v.Validate(), c.want)
	}
}

func TestValidateVolume(t *testing.T) {
	cases := []struct {
		name string
		edit func(*Volume)
		want string
	}{
		{"a volume", func(*Volume) {}, ""},
		{"a volume from a file", func(v *Volume) { v.Size, v.Source = 0, &Source{File: "a.img"} }, ""},
		{"an overlay", func(v *Volume) { v.Size, v.Backing = 0, "default/a" }, ""},
		{"no name", func(v *Volume) { v.Name = "" }, "name"},
		{"a name that is a path", func(v *Volume) { v.Name = "a/b" }, "name"},
		{"no format", func(v *Volume) { v.Format = "" }, "format"},
		{"another format", func(v *Volume) { v.Format = "vmdk" }, "format"},
		{"an empty volume of no size", func(v *Volume) { v.Size = 0 }, "size"},
		{"half a sector", func(v *Volume) { v.Size = 256 }, "size"},
		{"one byte too many", func(v *Volume) { v.Size = GiB + 1 }, "size"},
		{"a negative size", func(v *Volume) { v.Size = -512 }, "size size"},
		{"a raw overlay", func(v *Volume) { v.Format, v.Backing = FormatRaw, "default/a" }, "format"},
		{"an overlay of a path", func(v *Volume) { v.Backing = "/a" }, "backing"},
		{"an overlay with contents", func(v *Volume) { v.Backing, v.Source = "default/a", &Source{File: "a"} }, "backing"},
		{"a source without a file", func(v *Volume) { v.Source = &Source{} }, "source.file"},
	}
	for _, c := range cases {
		v := Volume{Name: "data", Size: GiB, Format: FormatQCOW2}
		c.edit(&v)
		wrong(t, c.name, v.Validate(), c.want)
	}
}

func TestValidateNetwork(t *testing.T) {
	cases := []struct {
		name string
		edit func(*Network)
		want string
	}{
		{"a network", func(*Network) {}, ""},
		{"an isolated network", func(n *Network) { n.Mode, n.Domain = ModeIsolated, "lab.example" }, ""},
		{"no name", func(n *Network) { n.Name = "" }, "name"},
		{"a name of 51", func(n *Network) { n.Name = strings.Repeat("n", 51) }, "name"},
		{"another mode", func(n *Network) { n.Mode = "bridge" }, "mode"},
		{"no range", func(n *Network) { n.CIDR = netip.Prefix{} }, "cidr"},
		{"an IPv6 range", func(n *Network) { n.CIDR = netip.MustParsePrefix("fd00::/64") }, "cidr"},
		{"host bits", func(n *Network) { n.CIDR = netip.MustParsePrefix("10.20.0.1/24") }, "cidr"},
		{"a /30", func(n *Network) { n.CIDR = netip.MustParsePrefix("10.20.0.0/30") }, "cidr"},
		{"a /29", func(n *Network) { n.CIDR = netip.MustParsePrefix("10.20.0.0/29") }, ""},
		{"a /7", func(n *Network) { n.CIDR = netip.MustParsePrefix("10.0.0.0/7") }, "cidr"},
		{"a domain with an underscore", func(n *Network) { n.Domain = "my_lab" }, "domain"},
		{"a domain that ends in a dot", func(n *Network) { n.Domain = "lab." }, "domain"},
	}
	for _, c := range cases {
		n := Network{Name: "lan", Mode: ModeNAT, CIDR: netip.MustParsePrefix("10.20.0.0/24")}
		c.edit(&n)
		wrong(t, c.name, n.Validate(), c.want)
	}
	n := Network{CIDR: netip.MustParsePrefix("10.20.0.0/24")}
	if got := n.Gateway().String(); got != "10.20.0.1" {
		t.Errorf("Gateway() of %s = %s, want its first address", n.CIDR, got)
	}
}
