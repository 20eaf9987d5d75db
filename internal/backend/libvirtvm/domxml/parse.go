package domxml

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"libvirt.org/go/libvirtxml"

	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// Parsed is a definition read back.
type Parsed struct {
	spec.VMInfo          // without power, addresses and sizes of disks, which no definition tells
	Meta        Metadata // zero for a VM that is not ours
	Domain      *libvirtxml.Domain
}

// Parse reads a domain's inactive definition. It fails only on XML that is none.
func Parse(doc string) (*Parsed, error) {
	d := &libvirtxml.Domain{}
	if err := d.Unmarshal(doc); err != nil {
		return nil, fmt.Errorf("definition of a domain: %w", err)
	}
	p := &Parsed{Domain: d}
	meta, _, err := splitMetadata(metadataOf(d))
	if err != nil {
		return nil, err
	}
	if d.OS == nil {
		d.OS = &libvirtxml.DomainOS{}
	}
	if d.Devices == nil {
		d.Devices = &libvirtxml.DomainDeviceList{}
	}
	p.UUID, p.Name, p.Description = d.UUID, d.Name, d.Description
	p.CPUs, p.Memory = vcpus(d), memory(d)
	if d.OS.Kernel != "" {
		p.Boot = &spec.DirectBoot{Kernel: d.OS.Kernel, Initrd: d.OS.Initrd, Cmdline: d.OS.Cmdline}
	}
	p.Labels, p.Disks, p.NICs = map[string]string{}, map[string]spec.Disk{}, map[string]spec.NIC{}
	if meta != nil {
		p.Meta = *meta
	}
	p.Owner = p.Meta.Owner
	for _, l := range p.Meta.Labels {
		p.Labels[l.Key] = l.Value
	}
	if p.Meta.Seed != nil {
		p.CloudInit = &spec.CloudInit{Digest: p.Meta.Seed.Digest}
	}
	p.readDisks()
	p.readNICs()
	return p, nil
}

func vcpus(d *libvirtxml.Domain) int {
	switch {
	case d.VCPU == nil:
		return 1
	case d.VCPU.Current != 0:
		return int(d.VCPU.Current)
	}
	return int(d.VCPU.Value)
}

// memory returns what the guest has: the balloon's size where it is set.
func memory(d *libvirtxml.Domain) spec.Size {
	switch {
	case d.CurrentMemory != nil:
		return scaled(uint64(d.CurrentMemory.Value), d.CurrentMemory.Unit)
	case d.Memory != nil:
		return scaled(uint64(d.Memory.Value), d.Memory.Unit)
	}
	return 0
}

// scaled applies a unit as libvirt names it; none is KiB, as for all memory.
func scaled(v uint64, unit string) spec.Size {
	switch strings.ToLower(unit) {
	case "b", "bytes":
		return spec.Size(v)
	case "m", "mib":
		return spec.Size(v) * spec.MiB
	case "g", "gib":
		return spec.Size(v) * spec.GiB
	case "t", "tib":
		return spec.Size(v) * spec.TiB
	case "kb":
		return spec.Size(v) * 1e3
	case "mb":
		return spec.Size(v) * 1e6
	case "gb":
		return spec.Size(v) * 1e9
	}
	return spec.Size(v) * spec.KiB
}

func (p *Parsed) readDisks() {
	p.OwnedDisks = map[string]string{}
	for _, el := range p.Domain.Devices.Disks {
		dev := deviceName(el)
		if p.Meta.Seed != nil && p.Meta.Seed.Target == dev {
			continue
		}
		i := slices.IndexFunc(p.Meta.Disks, func(r DiskRecord) bool { return r.Target == dev })
		if i < 0 {
			p.Unmanaged = append(p.Unmanaged, fmt.Sprintf("%s %s (%s)", cmp.Or(el.Device, "disk"), dev, sourceName(el.Source)))
			continue
		}
		r := p.Meta.Disks[i]
		disk := spec.Disk{Bus: el.Target.Bus, ReadOnly: el.ReadOnly != nil}
		switch {
		case !isOver(el, r.Path):
			disk.Volume = cmp.Or(sourceName(el.Source), "empty") // put there by hand: shown as it is
		case r.Owned:
			p.OwnedDisks[r.Key] = r.Volume
			disk.Backing = r.Backing
			disk.Pool, _, _ = spec.SplitVolumeID(r.Volume)
		default:
			disk.Volume = r.Volume
		}
		p.Disks[r.Key] = disk
	}
}

// pathOf returns the file or block device that a disk is, or "".
func pathOf(s *libvirtxml.DomainDiskSource) string {
	switch {
	case s == nil:
		return ""
	case s.File != nil:
		return s.File.File
	case s.Block != nil:
		return s.Block.Dev
	}
	return ""
}

// sourceName returns what a disk is made of in words: its path where it has one.
func sourceName(s *libvirtxml.DomainDiskSource) string {
	switch path := pathOf(s); {
	case path != "" || s == nil:
		return path
	case s.Volume != nil:
		return spec.VolumeID(s.Volume.Pool, s.Volume.Volume)
	case s.Network != nil:
		return s.Network.Protocol + ":" + s.Network.Name
	}
	return ""
}

// Opens reports whether the source of the disk is the volume: named by its path
// or, as other tools do, by its name in its pool.
func Opens(el libvirtxml.DomainDisk, pool, name, path string) bool {
	return sourceIs(el.Source, pool, name, path)
}

// Needs reports whether the disk is the volume or an overlay of it, as far as the
// definition tells the images below a disk: that of a running VM does.
func Needs(el libvirtxml.DomainDisk, pool, name, path string) bool {
	for b := el.BackingStore; b != nil; b = b.BackingStore {
		if sourceIs(b.Source, pool, name, path) {
			return true
		}
	}
	return Opens(el, pool, name, path)
}

// isOver reports whether the disk is the image at the path, or an external
// snapshot of it: then what the guest wrote since is in the files above.
func isOver(el libvirtxml.DomainDisk, path string) bool {
	for b := el.BackingStore; b != nil; b = b.BackingStore {
		if pathOf(b.Source) == path {
			return true
		}
	}
	return pathOf(el.Source) == path
}

func sourceIs(s *libvirtxml.DomainDiskSource, pool, name, path string) bool {
	if s != nil && s.Volume != nil {
		return s.Volume.Pool == pool && s.Volume.Volume == name
	}
	return path != "" && pathOf(s) == path
}

func (p *Parsed) readNICs() {
	for _, el := range p.Domain.Devices.Interfaces {
		mac := macOf(el)
		i := slices.IndexFunc(p.Meta.NICs, func(r NICRecord) bool { return r.MAC == mac })
		if i < 0 {
			p.Unmanaged = append(p.Unmanaged, "interface "+mac)
			continue
		}
		r := p.Meta.NICs[i]
		nic := spec.NIC{Network: networkOf(el), MAC: mac}
		if nic.Network == r.Network {
			nic.Network = r.Ref
		}
		if el.Model != nil {
			nic.Model = el.Model.Type
		}
		for _, f := range r.Forward {
			if nic.Forward == nil {
				nic.Forward = map[uint16]uint16{}
			}
			nic.Forward[f.Host] = f.Guest
		}
		p.NICs[r.Key] = nic
	}
}

// networkOf returns the network that an interface is on; one of another kind
// reads as what it is plugged into, so that it never equals a managed one.
func networkOf(el libvirtxml.DomainInterface) string {
	switch s := el.Source; {
	case s == nil || s.User != nil:
		return ""
	case s.Network != nil:
		return s.Network.Network
	case s.Bridge != nil:
		return "bridge:" + s.Bridge.Bridge
	case s.Direct != nil:
		return "direct:" + s.Direct.Dev
	}
	return "other"
}

// KeyOf returns the key of the interface with the MAC, or "".
func (p *Parsed) KeyOf(mac string) string {
	for _, r := range p.Meta.NICs {
		if r.MAC == strings.ToLower(mac) {
			return r.Key
		}
	}
	return ""
}
