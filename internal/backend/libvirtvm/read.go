package libvirtvm

import (
	"context"
	"fmt"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/backend/libvirtvm/domxml"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/libvirtconn"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// VM returns the VM with the UUID.
func (d *Driver) VM(ctx context.Context, id string) (info spec.VMInfo, err error) {
	err = d.withDomain(ctx, id, func(l *libvirt.Libvirt, dom libvirt.Domain) error {
		info, err = readVM(l, dom)
		return err
	})
	return info, err
}

// FindVM returns the VM with the name.
func (d *Driver) FindVM(ctx context.Context, name string) (info spec.VMInfo, err error) {
	err = d.conn.Do(ctx, func(l *libvirt.Libvirt) error {
		dom, err := l.DomainLookupByName(name)
		if err != nil {
			return err
		}
		info, err = readVM(l, dom)
		return err
	})
	return info, err
}

// ListVMs returns all VMs of the host. One that goes away meanwhile is left out.
func (d *Driver) ListVMs(ctx context.Context) (vms []spec.VMInfo, err error) {
	err = d.conn.Do(ctx, func(l *libvirt.Libvirt) error {
		doms, _, err := l.ConnectListAllDomains(1, 0)
		if err != nil {
			return err
		}
		for _, dom := range doms {
			info, err := readVM(l, dom)
			if is(err, libvirt.ErrNoDomain) {
				continue
			}
			if err != nil {
				return fmt.Errorf("VM %q: %w", dom.Name, err)
			}
			vms = append(vms, info)
		}
		return nil
	})
	return vms, err
}

// readVM reads configuration from the inactive definition, the one that the next
// start uses, and status from the running one.
func readVM(l *libvirt.Libvirt, dom libvirt.Domain) (spec.VMInfo, error) {
	doc, err := l.DomainGetXMLDesc(dom, libvirt.DomainXMLInactive)
	if err != nil {
		return spec.VMInfo{}, err
	}
	p, err := domxml.Parse(doc)
	if err != nil {
		return spec.VMInfo{}, err
	}
	if p.Power, err = powerOf(l, dom); err != nil {
		return spec.VMInfo{}, err
	}
	persistent, err := l.DomainIsPersistent(dom)
	if err != nil {
		return spec.VMInfo{}, err
	}
	p.Transient = persistent == 0
	autostart, err := l.DomainGetAutostart(dom)
	if err != nil && !is(err, libvirt.ErrOperationInvalid) { // a transient domain has none
		return spec.VMInfo{}, err
	}
	p.Autostart = autostart == 1
	if err := readSizes(l, p); err != nil {
		return spec.VMInfo{}, err
	}
	if err := readSeed(l, p); err != nil {
		return spec.VMInfo{}, err
	}
	if p.Power == spec.Running {
		if err := readLive(l, dom, p); err != nil {
			return spec.VMInfo{}, err
		}
	}
	return p.VMInfo, nil
}

// readSizes fills in the sizes of owned disks. A disk whose volume is missing
// reads as size 0: that shows as a difference, rather than as a VM that is gone.
func readSizes(l *libvirt.Libvirt, p *domxml.Parsed) error {
	for key, id := range p.OwnedDisks {
		size, err := sizeOf(l, id)
		if err != nil && fault.KindOf(libvirtconn.Fault(err)) != fault.NotFound {
			return fmt.Errorf("size of disk %q: %w", key, err)
		}
		disk := p.Disks[key]
		disk.Size = size
		p.Disks[key] = disk
	}
	return nil
}

// readSeed forgets a seed whose volume is missing or half written: that shows as
// a difference and is mended.
func readSeed(l *libvirt.Libvirt, p *domxml.Parsed) error {
	if p.Meta.Seed == nil {
		return nil
	}
	poolName, name, _ := spec.SplitVolumeID(p.Meta.Seed.Volume)
	pool, err := l.StoragePoolLookupByName(poolName)
	done := false
	if err == nil {
		done, err = filled(l, pool, name)
	}
	if err != nil && !is(err, libvirt.ErrNoStoragePool) {
		return err
	}
	if !done {
		p.CloudInit = nil
	}
	return nil
}

func sizeOf(l *libvirt.Libvirt, id string) (spec.Size, error) {
	poolName, name, _ := spec.SplitVolumeID(id)
	pool, err := l.StoragePoolLookupByName(poolName)
	if err != nil {
		return 0, err
	}
	vol, err := volumeIn(l, pool, name)
	if err != nil {
		return 0, err
	}
	_, size, _, err := l.StorageVolGetInfo(vol)
	return spec.Size(size), err
}

// powerOf returns the power state. A guest that is on its way out still runs.
func powerOf(l *libvirt.Libvirt, dom libvirt.Domain) (spec.Power, error) {
	state, _, err := l.DomainGetState(dom, 0)
	if err != nil {
		return "", err
	}
	switch libvirt.DomainState(state) {
	case libvirt.DomainShutoff, libvirt.DomainNostate:
		return spec.Stopped, nil
	case libvirt.DomainPaused, libvirt.DomainPmsuspended:
		return spec.Paused, nil
	case libvirt.DomainCrashed:
		return spec.Crashed, nil
	}
	return spec.Running, nil
}
