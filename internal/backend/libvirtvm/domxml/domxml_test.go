package domxml

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"libvirt.org/go/libvirtxml"

	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got+"\n"); diff != "" {
		t.Errorf("%s differs (-want +got; -update rewrites it):\n%s", name, diff)
	}
}

func exampleVM() VM {
	v := spec.VM{
		UUID: "6a1b0000-0000-5000-8000-000000000001", Owner: "tests", Name: "web-1", Description: "a <web> server & more",
		Labels: map[string]string{"env": "prod", "team": "a&b"}, CPUs: 2, Memory: 256 * spec.MiB, Power: spec.Running,
	}
	return VM{
		VM: v,
		Disks: map[string]Disk{
			"data": {Disk: spec.Disk{Volume: "default/data.qcow2", Bus: "scsi", ReadOnly: true}, ID: "default/data.qcow2", Path: "/p/data.qcow2", Format: "qcow2"},
			"root": {Disk: spec.Disk{Backing: "default/base.qcow2", Pool: "default"}, ID: "default/web-1.6a1b0000.root.qcow2", Path: "/p/web-1.6a1b0000.root.qcow2", Format: "qcow2"},
		},
		NICs: map[string]NIC{
			"lan":  {NIC: spec.NIC{Network: "lan"}, NetworkName: "lan", MAC: "52:54:00:aa:bb:01"},
			"user": {NIC: spec.NIC{MAC: "52:54:00:aa:bb:02", Forward: map[uint16]uint16{2222: 22, 8080: 80}}, MAC: "52:54:00:aa:bb:02"},
		},
		Seed: &Seed{ID: "default/web-1.6a1b0000.seed.iso", Path: "/p/web-1.6a1b0000.seed.iso", Digest: "d1"},
	}
}

func marshal(t *testing.T, d *libvirtxml.Domain) string {
	t.Helper()
	doc, err := d.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestDefinitionsOfNewVMs(t *testing.T) {
	boot := exampleVM()
	boot.Disks, boot.NICs, boot.Seed, boot.Labels = nil, nil, nil, nil
	boot.Boot = &spec.DirectBoot{Kernel: "/k", Initrd: "/i", Cmdline: `console=ttyS0 x="<&>"`}
	for name, c := range map[string]struct {
		host Host
		vm   VM
	}{
		"vm_full.xml":        {Host{VirtType: "kvm", Arch: "x86_64"}, exampleVM()},
		"vm_direct_boot.xml": {Host{VirtType: "qemu", Arch: "aarch64"}, boot},
		"vm_test_driver.xml": {Host{VirtType: "test"}, boot},
	} {
		d, err := New(c.host, c.vm)
		if err != nil {
			t.Fatalf("New for %s: %v", name, err)
		}
		golden(t, name, marshal(t, d))
	}
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	vm := exampleVM()
	d, err := New(Host{VirtType: "qemu", Arch: "x86_64"}, vm)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(marshal(t, d))
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	want := vm.VM
	want.Power = "" // no definition tells
	want.CloudInit = &spec.CloudInit{Digest: "d1"}
	want.Disks = map[string]spec.Disk{
		"data": {Volume: "default/data.qcow2", Bus: "scsi", ReadOnly: true},
		"root": {Backing: "default/base.qcow2", Pool: "default", Bus: "virtio"},
	}
	want.NICs = map[string]spec.NIC{
		"lan":  {Network: "lan", MAC: "52:54:00:aa:bb:01", Model: "virtio"},
		"user": {MAC: "52:54:00:aa:bb:02", Model: "virtio", Forward: map[uint16]uint16{2222: 22, 8080: 80}},
	}
	if diff := cmp.Diff(want, got.VM); diff != "" {
		t.Errorf("Parse(New(vm)) (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"root": "default/web-1.6a1b0000.root.qcow2"}, got.OwnedDisks); diff != "" {
		t.Errorf("owned disks (-want +got):\n%s", diff)
	}
	if len(got.Unmanaged) != 0 {
		t.Errorf("Unmanaged = %q, want none", got.Unmanaged)
	}
}

// byHand is what someone did to the definition with virsh edit.
func byHand(d *libvirtxml.Domain) {
	d.Devices.Disks = append(d.Devices.Disks, libvirtxml.DomainDisk{
		Device: "cdrom", Source: diskSource("/isos/x.iso", false), Target: &libvirtxml.DomainDiskTarget{Dev: "sdb", Bus: "sata"},
	})
	d.Devices.Interfaces = append(d.Devices.Interfaces, libvirtxml.DomainInterface{
		MAC:    &libvirtxml.DomainInterfaceMAC{Address: "52:54:00:FF:00:01"},
		Source: &libvirtxml.DomainInterfaceSource{Bridge: &libvirtxml.DomainInterfaceSourceBridge{Bridge: "br0"}},
	})
	d.Devices.Disks[0].IOTune = &libvirtxml.DomainDiskIOTune{TotalIopsSec: 500}
	d.Devices.Disks[0].Source.StartupPolicy = "optional"
	d.Devices.Interfaces[0].Source.Network.PortGroup = "dmz"
	d.VCPU.CPUSet = "0-1"
	d.Metadata.XML = `<o:inst xmlns:o="http://openstack.example"><o:flavor name="m1"/></o:inst>` + d.Metadata.XML
}

func TestAChangeKeepsWhatWasAddedByHand(t *testing.T) {
	vm := exampleVM()
	d, err := New(Host{VirtType: "qemu", Arch: "x86_64"}, vm)
	if err != nil {
		t.Fatal(err)
	}
	byHand(d)
	vm.Memory = 512 * spec.MiB
	vm.Disks["more"] = Disk{Disk: spec.Disk{Size: spec.GiB}, ID: "default/more.qcow2", Path: "/p/more.qcow2", Format: "qcow2"}
	delete(vm.Disks, "data")
	if err := Apply(d, vm); err != nil {
		t.Fatalf("Apply: %v", err)
	}
	doc := marshal(t, d)
	for _, keep := range []string{"<total_iops_sec>500<", `<o:flavor name="m1"/>`, "/isos/x.iso", "52:54:00:FF:00:01", `startupPolicy="optional"`, `portgroup="dmz"`, `cpuset="0-1"`} {
		if !strings.Contains(doc, keep) {
			t.Errorf("after Apply the definition lost %q", keep)
		}
	}
	if strings.Contains(doc, "/p/data.qcow2") {
		t.Error("after Apply the definition still has the disk that was removed")
	}
	if n := strings.Count(doc, MetadataURI); n != 1 {
		t.Errorf("our metadata stands in the definition %d times, want once", n)
	}
	p, err := Parse(doc)
	if err != nil {
		t.Fatal(err)
	}
	if r := p.Meta.disk("root"); r == nil || r.Target != "vda" {
		t.Errorf("disk root has the record %+v, want it to stay vda", r)
	}
	if r := p.Meta.disk("more"); r == nil || r.Target != "vdb" {
		t.Errorf("disk more has the record %+v, want vdb", r)
	}
	want := []string{"cdrom sdb (/isos/x.iso)", "interface 52:54:00:ff:00:01"}
	if diff := cmp.Diff(want, p.Unmanaged); diff != "" {
		t.Errorf("Unmanaged (-want +got):\n%s", diff)
	}
}

func TestAnotherVolumeTakesThePlaceOfOneWithASnapshot(t *testing.T) {
	vm := exampleVM()
	d, err := New(Host{VirtType: "qemu", Arch: "x86_64"}, vm)
	if err != nil {
		t.Fatal(err)
	}
	data := &d.Devices.Disks[1]
	data.Source = diskSource("/p/data.snap", false)
	data.BackingStore = &libvirtxml.DomainDiskBackingStore{
		Source:       diskSource("/p/data.qcow2", false),
		BackingStore: &libvirtxml.DomainDiskBackingStore{Source: diskSource("/p/base.qcow2", false)},
	}
	for volume, want := range map[string]string{"data": "/p/data.snap", "base": "/p/base.qcow2"} {
		p, err := Parse(marshal(t, d))
		if err != nil {
			t.Fatal(err)
		}
		vm.Disks["data"] = Disk{Disk: spec.Disk{Volume: "default/" + volume}, ID: "default/" + volume, Path: "/p/" + volume + ".qcow2", Format: "qcow2"}
		if err := Apply(p.Domain, vm); err != nil {
			t.Fatal(err)
		}
		if got := pathOf(p.Domain.Devices.Disks[1].Source); got != want {
			t.Errorf("after Apply of volume %s over a snapshot of data the disk is %s, want %s", volume, got, want)
		}
	}
}

func TestASeedThatSaysTheSameStaysWhereItIs(t *testing.T) {
	for _, c := range []struct {
		digest, path string
		drops        []DropRecord
	}{
		{"d1", "/p/web-1.6a1b0000.seed.iso", nil},
		{"d2", "/other/seed.iso", []DropRecord{{"default/web-1.6a1b0000.seed.iso"}}},
	} {
		vm := exampleVM()
		d, err := New(Host{VirtType: "qemu", Arch: "x86_64"}, vm)
		if err != nil {
			t.Fatal(err)
		}
		vm.Seed = &Seed{ID: "other/seed.iso", Path: "/other/seed.iso", Digest: c.digest} // the target has another pool now
		if err := Apply(d, vm); err != nil {
			t.Fatal(err)
		}
		p, err := Parse(marshal(t, d))
		if err != nil {
			t.Fatal(err)
		}
		last := p.Domain.Devices.Disks[len(p.Domain.Devices.Disks)-1]
		if len(p.Domain.Devices.Disks) != 3 || pathOf(last.Source) != c.path || p.Meta.Seed.Digest != c.digest {
			t.Errorf("after Apply of a seed %s the last of %d disks is %s with the record %+v; want 3 and %s", c.digest, len(p.Domain.Devices.Disks), pathOf(last.Source), p.Meta.Seed, c.path)
		}
		if diff := cmp.Diff(c.drops, p.Meta.Drops); diff != "" {
			t.Errorf("to be deleted after a seed %s (-want +got):\n%s", c.digest, diff)
		}
	}
}

func TestAChangeKeepsTheRoomToGrowOfAVMThatIsNotOurs(t *testing.T) {
	const doc = `<domain type='kvm'><name>old</name><memory unit='GiB'>8</memory><currentMemory unit='GiB'>2</currentMemory>` +
		`<vcpu placement='static' cpuset='4-7' current='2'>4</vcpu><os><type>hvm</type></os></domain>`
	for _, c := range []struct {
		change string
		edit   func(*spec.VM)
		vcpu   string
		memory string
	}{
		{"its description", func(v *spec.VM) { v.Description = "new" }, `cpuset="4-7" current="2">4<`, `<memory unit="GiB">8<`},
		{"its CPUs", func(v *spec.VM) { v.CPUs = 3 }, `cpuset="4-7">3<`, `<memory unit="GiB">8<`},
		{"its memory", func(v *spec.VM) { v.Memory = 3 * spec.GiB }, `current="2">4<`, `<memory unit="KiB">3145728<`},
	} {
		p, err := Parse(doc)
		if err != nil {
			t.Fatal(err)
		}
		c.edit(&p.VM)
		if err := Apply(p.Domain, VM{VM: p.VM}); err != nil {
			t.Fatal(err)
		}
		got := marshal(t, p.Domain)
		if !strings.Contains(got, c.vcpu) || !strings.Contains(got, c.memory) {
			t.Errorf("after a change of %s the definition is\n%s\nwant %s and %s in it", c.change, got, c.vcpu, c.memory)
		}
	}
}

func TestADiskSwappedByHandIsSeen(t *testing.T) {
	d, err := New(Host{VirtType: "qemu", Arch: "x86_64"}, exampleVM())
	if err != nil {
		t.Fatal(err)
	}
	for want, source := range map[string]*libvirtxml.DomainDiskSource{
		"/elsewhere.img": diskSource("/elsewhere.img", false),
		"fast/x.qcow2":   {Volume: &libvirtxml.DomainDiskSourceVolume{Pool: "fast", Volume: "x.qcow2"}},
		"rbd:rbd/x":      {Network: &libvirtxml.DomainDiskSourceNetwork{Protocol: "rbd", Name: "rbd/x"}},
		"empty":          nil,
	} {
		d.Devices.Disks[0].Source = source
		p, err := Parse(marshal(t, d))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Disks["root"].Volume; got != want {
			t.Errorf("disks.root.volume = %q, want what is there now, %q", got, want)
		}
	}
}

func TestForeignDomain(t *testing.T) {
	p, err := Parse(`<domain type='kvm'><name>old</name><uuid>u</uuid><memory unit='GiB'>2</memory><vcpu current='2'>4</vcpu><os><type>hvm</type></os></domain>`)
	if err != nil {
		t.Fatal(err)
	}
	want := spec.VM{UUID: "u", Name: "old", Memory: 2 * spec.GiB, CPUs: 2}
	if diff := cmp.Diff(want, p.VM, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("Parse (-want +got):\n%s", diff)
	}
}

func TestNetworks(t *testing.T) {
	nat := spec.Network{UUID: "0a1b2c3d-1", Owner: "a & <b>", Name: "lan", Mode: spec.ModeNAT, CIDR: netip.MustParsePrefix("10.20.0.0/24"), DHCP: true, Domain: "lan.example"}
	island := spec.Network{UUID: "0a1b2c3d-2", Name: "x", Mode: spec.ModeIsolated, CIDR: netip.MustParsePrefix("10.21.0.0/29")}
	for name, n := range map[string]spec.Network{"network_nat.xml": nat, "network_isolated.xml": island} {
		doc, err := NewNetwork(n)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, doc)
		got, err := ParseNetwork(doc)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(n, got.Network, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
			t.Errorf("%s read back (-want +got):\n%s", name, diff)
		}
	}
	byMask, err := ParseNetwork(`<network><name>default</name><forward mode='nat'/><ip address='192.168.122.1' netmask='255.255.255.0'><dhcp><range start='192.168.122.2' end='192.168.122.254'/></dhcp></ip></network>`)
	if err != nil || byMask.CIDR != netip.MustParsePrefix("192.168.122.0/24") || !byMask.DHCP || byMask.Mode != spec.ModeNAT {
		t.Errorf("ParseNetwork with a netmask = %+v, %v; want nat 192.168.122.0/24 with DHCP", byMask, err)
	}
}

func TestVolumes(t *testing.T) {
	doc, err := NewVolume("x.qcow2", "qcow2", spec.GiB, &Volume{Path: "/p/base.img", Format: "raw"})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "volume_overlay.xml", doc)
	got, err := ParseVolume(`<volume type='file'><name>x</name><capacity unit='bytes'>1048576</capacity><allocation unit='bytes'>4096</allocation><target><path>/p/x</path><format type='qcow2'/></target><backingStore><path>/p/b</path></backingStore></volume>`)
	want := Volume{Name: "x", Path: "/p/x", Format: "qcow2", Capacity: spec.MiB, Allocation: 4096, BackingPath: "/p/b"}
	if err != nil || got != want {
		t.Errorf("ParseVolume = %+v, %v; want %+v", got, err, want)
	}
}

func TestDeviceNames(t *testing.T) {
	for n, want := range map[int]string{0: "a", 25: "z", 26: "aa", 51: "az", 52: "ba"} {
		if got := letters(n); got != want {
			t.Errorf("letters(%d) = %q, want %q", n, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`<domain type='kvm'><name>x</name></domain>`)
	f.Add(`<domain><metadata><vm xmlns="` + MetadataURI + `"><disk key="a" target="vda"/></vm></metadata><devices><disk/><interface type='user'/></devices></domain>`)
	f.Fuzz(func(t *testing.T, doc string) {
		p, err := Parse(doc)
		if err != nil {
			return
		}
		if err := Apply(p.Domain, VM{VM: p.VM}); err != nil {
			t.Errorf("a definition that parses cannot be changed: %v", err)
		}
	})
}

func FuzzParseNetwork(f *testing.F) {
	f.Add(`<network><name>n</name><ip address='10.0.0.1' prefix='24'/></network>`)
	f.Fuzz(func(t *testing.T, doc string) { _, _ = ParseNetwork(doc) })
}
