package simvm

import (
	"context"
	"maps"
	"slices"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// build is one making or remaking of a VM: what was found, what shall be, and
// how to take back what was done so far.
type build struct {
	d    *Driver
	verb string
	undo undo

	have    *vm               // a copy of what was found; nil when there was none
	def     spec.VM           // the definition to reach, with every default filled in
	disks   map[string]string // volume ids by key
	seed    string
	grow    map[string]spec.Size // owned disks that are too small, by volume id
	missing []volume             // owned disks and the seed, where missing
	old     []string             // volume ids that the VM owns and no longer needs
}

// look finds what there is of the VM and works out what is missing; it refuses
// what can be known to fail before anything is done.
func (b *build) look(p *platform, want spec.VM) error {
	if v := p.vmNamed(want.Name); v != nil && v.Def.UUID != want.UUID {
		return taken("VM", want.Name, v.Def.UUID)
	}
	if v := p.VMs[want.UUID]; v != nil {
		found := *v
		found.Def, found.Disks = cloneVM(v.Def), maps.Clone(v.Disks)
		b.have = &found
	}
	b.def = b.resolve(want)
	for _, key := range slices.Sorted(maps.Keys(b.def.NICs)) {
		if ref := b.def.NICs[key].Network; ref != "" && p.networkOf(ref) == nil {
			return fault.At("nics."+key+".network", noNetwork(ref))
		}
	}
	b.disks, b.grow = map[string]string{}, map[string]spec.Size{}
	for _, key := range slices.Sorted(maps.Keys(b.def.Disks)) {
		if err := b.disk(p, key, want.Disks); err != nil {
			return err
		}
	}
	if b.def.CloudInit != nil {
		b.addSeed(p)
	}
	keep := append(slices.Collect(maps.Values(b.disks)), b.seed)
	b.old = slices.DeleteFunc(p.owned(want.UUID), func(id string) bool { return slices.Contains(keep, id) })
	return nil
}

// resolve fills in what the platform chooses, and what a nil map leaves as it is.
func (b *build) resolve(want spec.VM) spec.VM {
	def := cloneVM(want)
	if b.have != nil {
		have := cloneVM(b.have.Def)
		if def.Labels == nil {
			def.Labels = have.Labels
		}
		if def.Disks == nil {
			def.Disks = have.Disks
		}
		if def.NICs == nil {
			def.NICs = have.NICs
		}
	}
	for key, n := range def.NICs {
		n.MAC = def.MACFor(key)
		if n.Model == "" {
			n.Model = "virtio"
		}
		def.NICs[key] = n
	}
	for key, disk := range def.Disks {
		if disk.Bus == "" {
			disk.Bus = spec.BusVirtio
		}
		if disk.Owned() && disk.Pool == "" {
			disk.Pool = defaultPool
			if b.have != nil && b.have.Def.Disks[key].Pool != "" {
				disk.Pool = b.have.Def.Disks[key].Pool
			}
		}
		def.Disks[key] = disk
	}
	def.CloudInit, def.SSHKeys = nil, nil // what a seed says never leaves it
	if digest := want.SeedDigest(); digest != "" {
		def.CloudInit = &spec.CloudInit{Digest: digest}
	}
	return def
}

// disk works out the volume of one disk.
func (b *build) disk(p *platform, key string, want map[string]spec.Disk) error {
	disk, field := b.def.Disks[key], "disks."+key
	if !disk.Owned() {
		if p.Volumes[disk.Volume] == nil {
			return fault.At(field+".volume", noVolume(disk.Volume))
		}
		b.disks[key] = disk.Volume
		return nil
	}
	if _, ok := p.opt.Pools[disk.Pool]; !ok {
		return fault.At(field+".pool", noPool(disk.Pool))
	}
	size := disk.Size
	if disk.Backing != "" {
		base := p.Volumes[disk.Backing]
		if base == nil {
			return fault.At(field+".backing", noVolume(disk.Backing))
		}
		if size == 0 {
			size = base.Size
		}
		if size < base.Size {
			return fault.At(field+".size", fault.Errorf(fault.Invalid, "%s is less than the %s of volume %s", size, base.Size, disk.Backing))
		}
	}
	name := ownedName(b.def, key, spec.FormatQCOW2)
	id := spec.VolumeID(disk.Pool, name)
	b.disks[key] = id
	v := volume{VM: b.def.UUID, Volume: spec.Volume{ID: id, Name: name, Owner: b.def.Owner, Pool: disk.Pool, Size: size, Format: spec.FormatQCOW2, Backing: disk.Backing}}
	old := p.Volumes[id]
	switch {
	case old == nil || old.VM == b.def.UUID && old.Backing != disk.Backing:
		b.missing = append(b.missing, v)
	case old.VM != b.def.UUID:
		return fault.At(field, fault.Errorf(fault.Conflict, "volume %s exists and is not ours", id))
	case want[key].Size != 0 && size < old.Size:
		return fault.At(field+".size", fault.Errorf(fault.Invalid, "the disk has %s: disks do not shrink", old.Size))
	case size > old.Size:
		if c := b.d.Capabilities(); !c.VolumeGrow {
			return b.d.lacks(field+".size", "VolumeGrow", "growing volumes")
		}
		b.grow[id] = size
	}
	return nil
}

// addSeed works out the volume of the seed. One that says something else is
// written anew.
func (b *build) addSeed(p *platform) {
	name := ownedName(b.def, "seed", "iso")
	b.seed = spec.VolumeID(defaultPool, name)
	old := p.Volumes[b.seed]
	if old != nil && old.UUID == b.def.CloudInit.Digest {
		return
	}
	b.missing = append(b.missing, volume{VM: b.def.UUID, Volume: spec.Volume{ID: b.seed, UUID: b.def.CloudInit.Digest, Name: name,
		Owner: b.def.Owner, Pool: defaultPool, Size: spec.MiB, Format: spec.FormatRaw}})
}

// create makes what is missing of a VM and defines it.
func (b *build) create(ctx context.Context) error {
	for _, v := range b.missing {
		if err := b.write(ctx, v); err != nil {
			return err
		}
	}
	if err := b.growDisks(ctx); err != nil {
		return err
	}
	return b.define(ctx)
}

// write makes one volume, in the place of an older one of the VM.
func (b *build) write(ctx context.Context, v volume) error {
	return b.do(ctx, ": make "+v.Name, func(p *platform) error {
		old := p.Volumes[v.ID]
		if old != nil {
			if err := p.dropVolume(v.ID, b.def.UUID); err != nil {
				return err
			}
		}
		err := p.addVolume(v)
		if err != nil && old != nil {
			p.Volumes[v.ID] = old
		}
		return err
	}, func(p *platform) error { return p.dropVolume(v.ID, b.def.UUID) })
}

// growDisks makes the owned disks as large as they shall be.
func (b *build) growDisks(ctx context.Context) error {
	for _, id := range slices.Sorted(maps.Keys(b.grow)) {
		err := b.do(ctx, ": grow "+id, func(p *platform) error { return p.growVolume(id, b.grow[id]) }, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

// dropOld deletes the volumes that the VM owned and needs no longer.
func (b *build) dropOld(ctx context.Context) error {
	for _, id := range b.old {
		err := b.d.write(ctx, b.verb+": delete volume "+id, func(p *platform) error { return p.dropVolume(id, b.def.UUID) })
		if err != nil && fault.KindOf(err) != fault.NotFound {
			return err
		}
	}
	return nil
}

// define puts the definition in force.
func (b *build) define(ctx context.Context) error {
	return b.do(ctx, ": define", func(p *platform) error {
		return p.define(b.def, b.disks, b.seed)
	}, func(p *platform) error {
		if b.have != nil {
			return p.define(b.have.Def, b.have.Disks, b.have.Seed)
		}
		return p.undefine(b.def.UUID)
	})
}

// do makes one change and notes how to take it back.
func (b *build) do(ctx context.Context, step string, f, back func(*platform) error) error {
	if err := b.d.write(ctx, b.verb+step, f); err != nil {
		return err
	}
	if back != nil {
		b.undo.add(b.verb+": take back"+step[1:], back)
	}
	return nil
}
