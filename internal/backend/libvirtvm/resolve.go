package libvirtvm

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/backend/libvirtvm/domxml"
	"github.com/novacron/terraform-provider-novacron/internal/cloudinit"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/libvirtconn"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// resolve finds the paths and names that the VM's definition needs. Disks that
// the VM will own get the path that they will have.
func (d *Driver) resolve(l *libvirt.Libvirt, vm spec.VM) (domxml.VM, error) {
	out := domxml.VM{VM: vm}
	if vm.Disks != nil {
		out.Disks = map[string]domxml.Disk{}
	}
	for _, key := range slices.Sorted(maps.Keys(vm.Disks)) {
		disk, err := d.resolveDisk(l, vm, key)
		if err != nil {
			return out, under("disks."+key, err)
		}
		out.Disks[key] = disk
	}
	if vm.NICs != nil {
		out.NICs = map[string]domxml.NIC{}
	}
	for _, key := range slices.Sorted(maps.Keys(vm.NICs)) {
		nic := domxml.NIC{NIC: vm.NICs[key], MAC: vm.MACFor(key)}
		if nic.Network != "" {
			name, err := networkName(l, nic.Network)
			if err != nil {
				return out, fault.At("nics."+key+".network", err)
			}
			nic.NetworkName = name
		}
		out.NICs[key] = nic
	}
	if digest := vm.SeedDigest(); digest != "" {
		seed, err := d.resolveSeed(l, vm, digest)
		if err != nil {
			return out, atSeed(err)
		}
		out.Seed = seed
	}
	return out, nil
}

// under puts an error at the field, or at a field below it that it names.
func under(field string, err error) error {
	if sub := fault.FieldOf(err); sub != "" {
		return &fault.Error{Kind: fault.KindOf(err), Field: field + "." + sub, Err: err}
	}
	return fault.At(field, err)
}

// atSeed puts an error at the seed, which has no pool of its own to point at.
func atSeed(err error) error {
	if err == nil {
		return nil
	}
	return &fault.Error{Kind: fault.KindOf(err), Field: "cloud_init", Err: err}
}

func (d *Driver) resolveDisk(l *libvirt.Libvirt, vm spec.VM, key string) (domxml.Disk, error) {
	disk := vm.Disks[key]
	if !disk.Owned() {
		_, v, err := d.lookupVolume(l, disk.Volume)
		if fault.KindOf(libvirtconn.Fault(err)) == fault.NotFound {
			err = fault.At("volume", fault.Errorf(fault.NotFound, "there is no volume %q on the host: %w", disk.Volume, err))
		}
		return domxml.Disk{Disk: disk, ID: disk.Volume, Path: v.Path, Format: v.Format, Block: v.Block}, err
	}
	if disk.Backing != "" {
		if _, err := d.backing(l, disk.Backing, disk.Size); err != nil {
			return domxml.Disk{}, err
		}
	}
	pool, err := d.poolNamed(l, disk.Pool)
	if err != nil {
		return domxml.Disk{}, err
	}
	name := diskName(vm, key)
	path, err := imagePath(l, pool, name)
	return domxml.Disk{Disk: disk, ID: spec.VolumeID(pool.Name, name), Path: path, Format: spec.FormatQCOW2}, err
}

// diskName returns the name of a disk that the VM owns. One on another backing
// volume is another disk and so has another name.
func diskName(vm spec.VM, key string) string {
	if backing := vm.Disks[key].Backing; backing != "" {
		key += "-" + spec.ShortID(spec.Identity(vm.UUID, "disk", key, backing))
	}
	return fmt.Sprintf("%s.%s.%s.qcow2", vm.Name, spec.ShortID(vm.UUID), key)
}

// networkName returns the name of the network that ref names, by name or UUID.
func networkName(l *libvirt.Libvirt, ref string) (string, error) {
	if uuid, err := uuidOf(ref); err == nil {
		net, err := l.NetworkLookupByUUID(uuid)
		if err == nil {
			return net.Name, nil
		}
		if !is(err, libvirt.ErrNoNetwork) {
			return "", err
		}
	}
	net, err := l.NetworkLookupByName(ref)
	if is(err, libvirt.ErrNoNetwork) {
		err = fault.WithHint(fault.Errorf(fault.NotFound, "there is no network %q on the host: %w", ref, err), "virsh net-list --all shows the networks of the host")
	}
	return net.Name, err
}

// resolveSeed names the volume of the seed. Its name follows the contents: a
// changed seed is another volume, so the one in use is never written to.
func (d *Driver) resolveSeed(l *libvirt.Libvirt, vm spec.VM, digest string) (*domxml.Seed, error) {
	pool, err := d.poolNamed(l, "")
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("%s.%s.seed-%s.iso", vm.Name, spec.ShortID(vm.UUID), digest[:8])
	path, err := imagePath(l, pool, name)
	return &domxml.Seed{ID: spec.VolumeID(pool.Name, name), Path: path, Digest: digest}, err
}

// makeOwned makes the volumes that the VM owns and that are not there yet.
func (d *Driver) makeOwned(ctx context.Context, vm spec.VM, info spec.VMInfo) error {
	var seed *domxml.SeedRecord
	err := d.withDomain(ctx, vm.UUID, func(l *libvirt.Libvirt, dom libvirt.Domain) error {
		for _, key := range slices.Sorted(maps.Keys(info.OwnedDisks)) {
			if err := d.makeDisk(l, info.OwnedDisks[key], vm.Disks[key]); err != nil {
				return under("disks."+key, err)
			}
		}
		doc, err := l.DomainGetXMLDesc(dom, libvirt.DomainXMLInactive)
		if err != nil {
			return err
		}
		p, err := domxml.Parse(doc)
		if err != nil {
			return err
		}
		seed = p.Meta.Seed
		return nil
	})
	if err != nil || seed == nil {
		return err
	}
	return atSeed(d.makeSeed(ctx, vm, seed.Volume))
}

func (d *Driver) makeDisk(l *libvirt.Libvirt, id string, disk spec.Disk) error {
	poolName, name, _ := spec.SplitVolumeID(id)
	pool, err := d.poolNamed(l, poolName)
	if err != nil {
		return err
	}
	have, err := findVolume(l, pool, name)
	if err != nil {
		return err
	}
	if have != nil {
		return d.growFound(l, *have, disk.Size)
	}
	return d.newVolume(l, pool, name, spec.FormatQCOW2, disk.Size, disk.Backing)
}

// makeSeed renders the seed in memory and uploads it, unless an earlier call did.
// The guest is off: one that was left half written is made anew. A seed of which
// only the digest is known cannot be.
func (d *Driver) makeSeed(ctx context.Context, vm spec.VM, id string) error {
	iso, err := cloudinit.Seed(vm)
	if err != nil {
		return err
	}
	poolName, name, _ := spec.SplitVolumeID(id)
	var vol *libvirt.StorageVol
	err = d.conn.Do(ctx, func(l *libvirt.Libvirt) error {
		pool, err := d.poolNamed(l, poolName)
		if err != nil {
			return err
		}
		done, err := filled(l, pool, name)
		if err != nil || done {
			return err
		}
		if vm.CloudInit != nil && vm.CloudInit.Digest != "" {
			err := fault.Errorf(fault.Conflict, "the seed %s is not on the host any more, and what it said is not known here", id)
			return fault.WithHint(err, "plan again")
		}
		if err := emptied(l, pool, name); err != nil {
			return err
		}
		if err := createVolume(l, pool, name, spec.FormatRaw, spec.Size(len(iso)), nil); err != nil {
			return err
		}
		vol, err = findVolume(l, pool, name)
		return err
	})
	if err != nil || vol == nil {
		return err
	}
	if err := d.conn.Upload(ctx, *vol, bytes.NewReader(iso), nil); err != nil {
		return err
	}
	return d.conn.Do(ctx, func(l *libvirt.Libvirt) error {
		pool, err := l.StoragePoolLookupByName(poolName)
		if err != nil {
			return err
		}
		return deleteNamed(l, pool, name+unfinished)
	})
}
