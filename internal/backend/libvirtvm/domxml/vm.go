// Package domxml translates between portable specs and libvirt's XML. It is
// pure: paths, names and the platform are resolved before, by its caller.
package domxml

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"libvirt.org/go/libvirtxml"

	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// Host is what of the host goes into a definition.
type Host struct {
	VirtType string // kvm, qemu or test
	Arch     string // as libvirt names it; "" lets libvirt choose
}

// Disk is a disk with its volume resolved.
type Disk struct {
	spec.Disk
	ID     string // volume id
	Path   string
	Format string
	Block  bool // a block device rather than a file
}

// NIC is an interface with its network resolved.
type NIC struct {
	spec.NIC
	NetworkName string // "" is user networking
	MAC         string
}

// Seed is the volume that holds the cloud-init seed.
type Seed struct {
	ID, Path, Digest string
}

// VM is a VM with everything resolved that its definition needs.
type VM struct {
	spec.VM
	Disks map[string]Disk
	NICs  map[string]NIC
	Seed  *Seed
}

// New returns the definition of a VM that does not exist yet.
func New(h Host, vm VM) (*libvirtxml.Domain, error) {
	d := &libvirtxml.Domain{
		Type: h.VirtType, UUID: vm.UUID, Name: vm.Name,
		OS:         &libvirtxml.DomainOS{Type: &libvirtxml.DomainOSType{Type: "hvm", Arch: h.Arch}},
		Features:   &libvirtxml.DomainFeatureList{ACPI: &libvirtxml.DomainFeature{}},
		Clock:      &libvirtxml.DomainClock{Offset: "utc"},
		OnPoweroff: "destroy", OnReboot: "restart", OnCrash: "destroy",
		Devices: &libvirtxml.DomainDeviceList{},
	}
	if h.Arch == "x86_64" {
		d.OS.Type.Machine = "q35"
		d.Features.APIC = &libvirtxml.DomainFeatureAPIC{}
	}
	switch h.VirtType {
	case "kvm":
		d.CPU = &libvirtxml.DomainCPU{Mode: "host-model"}
	case "qemu":
		d.CPU = &libvirtxml.DomainCPU{Mode: "maximum"}
	}
	if h.VirtType != "test" {
		standardDevices(d.Devices)
	}
	return d, Apply(d, vm)
}

// standardDevices are what every guest gets: a serial console, a channel for the
// guest agent, randomness, and a balloon that reports the guest's memory.
func standardDevices(dev *libvirtxml.DomainDeviceList) {
	zero := uint(0)
	pty := func() *libvirtxml.DomainChardevSource {
		return &libvirtxml.DomainChardevSource{Pty: &libvirtxml.DomainChardevSourcePty{}}
	}
	dev.Serials = []libvirtxml.DomainSerial{{Source: pty(), Target: &libvirtxml.DomainSerialTarget{Port: &zero}}}
	dev.Consoles = []libvirtxml.DomainConsole{{Source: pty(), Target: &libvirtxml.DomainConsoleTarget{Type: "serial", Port: &zero}}}
	dev.Channels = []libvirtxml.DomainChannel{{
		Source: &libvirtxml.DomainChardevSource{UNIX: &libvirtxml.DomainChardevSourceUNIX{}},
		Target: &libvirtxml.DomainChannelTarget{VirtIO: &libvirtxml.DomainChannelTargetVirtIO{Name: "org.qemu.guest_agent.0"}},
	}}
	dev.RNGs = []libvirtxml.DomainRNG{{
		Model:   "virtio",
		Backend: &libvirtxml.DomainRNGBackend{Random: &libvirtxml.DomainRNGBackendRandom{Device: "/dev/urandom"}},
	}}
	dev.MemBalloon = &libvirtxml.DomainMemBalloon{Model: "virtio", Stats: &libvirtxml.DomainMemBalloonStats{Period: 5}}
}

// Apply makes the managed parts of the definition as the VM wants them and
// leaves the rest, such as devices that someone added by hand, as it is. Nil
// Disks or NICs leave those alone.
func Apply(d *libvirtxml.Domain, vm VM) error {
	old, rest, err := splitMetadata(metadataOf(d))
	if err != nil {
		return err
	}
	if old == nil {
		old = &Metadata{}
	}
	meta := Metadata{Owner: vm.Owner, Labels: labelRecords(vm.Labels), Disks: old.Disks, NICs: old.NICs, Seed: old.Seed}
	if vm.Labels == nil {
		meta.Labels = old.Labels
	}
	d.Description = vm.Description
	size(d, vm.VM)
	d.OS.Kernel, d.OS.Initrd, d.OS.Cmdline = "", "", ""
	if vm.Boot != nil {
		d.OS.Kernel, d.OS.Initrd, d.OS.Cmdline = vm.Boot.Kernel, vm.Boot.Initrd, vm.Boot.Cmdline
	}
	seed := takeSeed(d, old)
	if vm.Disks != nil {
		meta.Disks = applyDisks(d, old, vm.Disks)
	}
	if seed != nil && vm.Seed != nil && old.Seed.Digest == vm.Seed.Digest {
		d.Devices.Disks = append(d.Devices.Disks, *seed) // the same: it stays in the pool where it is
	} else {
		meta.Seed = addSeed(d, vm.Seed)
	}
	if vm.NICs != nil {
		meta.NICs = applyNICs(d, old, vm)
	}
	meta.drop(append(old.Dropped(), old.Owned()...))
	text, err := meta.Marshal()
	if err != nil {
		return fmt.Errorf("metadata of VM %q: %w", vm.Name, err)
	}
	d.Metadata = &libvirtxml.DomainMetadata{XML: strings.TrimSpace(rest + "\n" + text)}
	return nil
}

// size gives the guest its memory and CPUs. Where it has that many already, room
// to grow, pinning and the like, which someone gave it by hand, stay.
func size(d *libvirtxml.Domain, vm spec.VM) {
	if memory(d) != vm.Memory {
		d.Memory = &libvirtxml.DomainMemory{Value: uint(vm.Memory / spec.KiB), Unit: "KiB"}
		d.CurrentMemory = &libvirtxml.DomainCurrentMemory{Value: uint(vm.Memory / spec.KiB), Unit: "KiB"}
	}
	if d.VCPU == nil {
		d.VCPU = &libvirtxml.DomainVCPU{Value: 1}
	}
	if vcpus(d) != vm.CPUs {
		d.VCPU.Value, d.VCPU.Current, d.VCPUs = uint(vm.CPUs), 0, nil
	}
}

func metadataOf(d *libvirtxml.Domain) string {
	if d.Metadata == nil {
		return ""
	}
	return d.Metadata.XML
}

// diskKeys returns the keys in boot order: "root" first, then by name.
func diskKeys(disks map[string]Disk) []string {
	return slices.SortedFunc(maps.Keys(disks), func(a, b string) int {
		if (a == "root") != (b == "root") {
			if a == "root" {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
}

// applyDisks replaces the managed disks. A disk that keeps its key keeps its
// device name and its element, with whatever was tuned in it by hand.
func applyDisks(d *libvirtxml.Domain, old *Metadata, disks map[string]Disk) []DiskRecord {
	present := map[string]libvirtxml.DomainDisk{}
	taken := map[string]bool{}
	var foreign []libvirtxml.DomainDisk
	for _, el := range d.Devices.Disks {
		dev := deviceName(el)
		present[dev] = el
		if !old.manages(dev) {
			foreign = append(foreign, el)
			taken[dev] = true
		}
	}
	for key := range disks {
		if r := old.disk(key); r != nil {
			taken[r.Target] = true
		}
	}
	var records []DiskRecord
	var managed []libvirtxml.DomainDisk
	for i, key := range diskKeys(disks) {
		disk := disks[key]
		el := libvirtxml.DomainDisk{Device: "disk"}
		if r := old.disk(key); r != nil {
			if el = present[r.Target]; r.Path != disk.Path {
				el.Source, el.BackingStore = nil, nil // another image takes its place
			}
		}
		bus := cmp.Or(disk.Bus, spec.BusVirtio)
		if el.Target == nil || el.Target.Bus != bus {
			el.Device, el.Address = "disk", nil
			el.Target = &libvirtxml.DomainDiskTarget{Dev: freeDevice(bus, taken), Bus: bus}
		}
		taken[el.Target.Dev] = true
		fillDisk(&el, key, disk, uint(i+1))
		managed = append(managed, el)
		records = append(records, DiskRecord{
			Key: key, Target: el.Target.Dev, Volume: disk.ID, Path: disk.Path, Owned: disk.Owned(), Backing: disk.Backing,
		})
		if bus == spec.BusSCSI {
			needSCSI(d.Devices)
		}
	}
	d.Devices.Disks = append(managed, foreign...)
	d.OS.BootDevices = nil // libvirt puts one where no disk has an order, and refuses both
	return records
}

// manages reports whether the device is one of ours: a disk or the seed.
func (m *Metadata) manages(dev string) bool {
	if m.Seed != nil && m.Seed.Target == dev {
		return true
	}
	return slices.ContainsFunc(m.Disks, func(r DiskRecord) bool { return r.Target == dev })
}

func fillDisk(el *libvirtxml.DomainDisk, key string, disk Disk, order uint) {
	if el.Driver == nil {
		el.Driver = &libvirtxml.DomainDiskDriver{Name: "qemu", Discard: "unmap"}
	}
	if !isOver(*el, disk.Path) {
		el.Driver.Type = disk.Format
		el.Source, el.BackingStore = diskSource(disk.Path, disk.Block), nil
	}
	el.Serial = key
	el.Boot = &libvirtxml.DomainDeviceBoot{Order: order}
	el.ReadOnly = nil
	if disk.ReadOnly {
		el.ReadOnly = &libvirtxml.DomainDiskReadOnly{}
	}
}

func diskSource(path string, block bool) *libvirtxml.DomainDiskSource {
	if block {
		return &libvirtxml.DomainDiskSource{Block: &libvirtxml.DomainDiskSourceBlock{Dev: path}}
	}
	return &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: path}}
}

// takeSeed takes the disk with the seed out of the definition, nil when there is
// none.
func takeSeed(d *libvirtxml.Domain, old *Metadata) (seed *libvirtxml.DomainDisk) {
	if old.Seed == nil {
		return nil
	}
	d.Devices.Disks = slices.DeleteFunc(d.Devices.Disks, func(el libvirtxml.DomainDisk) bool {
		if deviceName(el) != old.Seed.Target {
			return false
		}
		seed = &el
		return true
	})
	return seed
}

// addSeed puts the seed in, last, as a small read-only virtio disk: every guest
// kernel that can boot from virtio can read it, while lean cloud kernels have no
// driver for a CD-ROM. cloud-init finds it by its label.
func addSeed(d *libvirtxml.Domain, seed *Seed) *SeedRecord {
	if seed == nil {
		return nil
	}
	const dev = "vdz"
	d.Devices.Disks = append(d.Devices.Disks, libvirtxml.DomainDisk{
		Device: "disk", Driver: &libvirtxml.DomainDiskDriver{Name: "qemu", Type: spec.FormatRaw},
		Source: diskSource(seed.Path, false), ReadOnly: &libvirtxml.DomainDiskReadOnly{},
		Target: &libvirtxml.DomainDiskTarget{Dev: dev, Bus: spec.BusVirtio}, Serial: "cidata",
	})
	return &SeedRecord{Digest: seed.Digest, Volume: seed.ID, Target: dev}
}

// needSCSI adds the virtio controller that disks on the SCSI bus hang on.
func needSCSI(dev *libvirtxml.DomainDeviceList) {
	for _, c := range dev.Controllers {
		if c.Type == "scsi" {
			return
		}
	}
	dev.Controllers = append(dev.Controllers, libvirtxml.DomainController{Type: "scsi", Model: "virtio-scsi"})
}

// freeDevice returns the first device name of the bus that is not taken. The
// last one of the virtio bus is the seed's.
func freeDevice(bus string, taken map[string]bool) string {
	prefix := "sd"
	if bus == spec.BusVirtio {
		prefix = "vd"
	}
	for n := 0; ; n++ {
		dev := prefix + letters(n)
		if !taken[dev] && dev != "vdz" {
			return dev
		}
	}
}

// letters counts a, b, … z, aa, ab, … as device names do.
func letters(n int) string {
	if n < 26 {
		return string(rune('a' + n))
	}
	return letters(n/26-1) + string(rune('a'+n%26))
}

// applyNICs replaces the managed interfaces, keeping the elements of those that
// stay.
func applyNICs(d *libvirtxml.Domain, old *Metadata, vm VM) []NICRecord {
	present := map[string]libvirtxml.DomainInterface{}
	var foreign []libvirtxml.DomainInterface
	for _, el := range d.Devices.Interfaces {
		mac := macOf(el)
		present[mac] = el
		if !slices.ContainsFunc(old.NICs, func(r NICRecord) bool { return r.MAC == mac }) {
			foreign = append(foreign, el)
		}
	}
	var records []NICRecord
	var managed []libvirtxml.DomainInterface
	for _, key := range slices.Sorted(maps.Keys(vm.NICs)) {
		nic := vm.NICs[key]
		var el libvirtxml.DomainInterface
		if r := old.nic(key); r != nil {
			el = present[r.MAC]
		}
		el.MAC = &libvirtxml.DomainInterfaceMAC{Address: nic.MAC}
		el.Model = &libvirtxml.DomainInterfaceModel{Type: cmp.Or(nic.Model, "virtio")}
		if el.Source == nil || networkOf(el) != nic.NetworkName {
			el.Source = nicSource(nic.NetworkName)
		}
		managed = append(managed, el)
		records = append(records, NICRecord{
			Key: key, MAC: nic.MAC, Ref: nic.Network, Network: nic.NetworkName, Forward: forwardRecords(nic.Forward),
		})
	}
	d.Devices.Interfaces = append(managed, foreign...)
	return records
}

// nicSource returns what an interface is plugged into; "" is user networking.
func nicSource(network string) *libvirtxml.DomainInterfaceSource {
	if network == "" {
		return &libvirtxml.DomainInterfaceSource{User: &libvirtxml.DomainInterfaceSourceUser{}}
	}
	return &libvirtxml.DomainInterfaceSource{Network: &libvirtxml.DomainInterfaceSourceNetwork{Network: network}}
}

func forwardRecords(forward map[uint16]uint16) []ForwardRecord {
	var out []ForwardRecord
	for _, host := range slices.Sorted(maps.Keys(forward)) {
		out = append(out, ForwardRecord{Host: host, Guest: forward[host]})
	}
	return out
}

func deviceName(el libvirtxml.DomainDisk) string {
	if el.Target == nil {
		return ""
	}
	return el.Target.Dev
}

func macOf(el libvirtxml.DomainInterface) string {
	if el.MAC == nil {
		return ""
	}
	return strings.ToLower(el.MAC.Address)
}
