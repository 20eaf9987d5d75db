package libvirtvm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/backend/libvirtvm/domxml"
	"github.com/novacron/terraform-provider-novacron/internal/change"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/libvirtconn"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// undefineFlags take along everything that would keep libvirt from forgetting a
// domain; undefineLess is for hosts that do not know them all.
const (
	undefineFlags = libvirt.DomainUndefineManagedSave | libvirt.DomainUndefineSnapshotsMetadata |
		libvirt.DomainUndefineNvram | libvirt.DomainUndefineCheckpointsMetadata
	undefineLess = libvirt.DomainUndefineManagedSave | libvirt.DomainUndefineSnapshotsMetadata
)

// adoptOff is how long a guest that runs with settings of an earlier, interrupted
// run may take to power off.
const adoptOff = time.Minute

// CreateVM defines the VM, makes what it owns, and starts it.
func (d *Driver) CreateVM(ctx context.Context, vm spec.VM) (spec.VMInfo, error) {
	if err := d.refuse(vm); err != nil {
		return spec.VMInfo{}, err
	}
	host, err := d.platform(ctx)
	if err != nil {
		return spec.VMInfo{}, err
	}
	unlock, err := d.busy.lock(ctx, vm.UUID)
	if err != nil {
		return spec.VMInfo{}, err
	}
	defer unlock()
	for range defineTries {
		if err = d.make(ctx, host, vm); !gone(err) {
			break
		}
	}
	if err != nil {
		return spec.VMInfo{}, err
	}
	return d.VM(ctx, vm.UUID)
}

// defineTries is how often a definition is made that is gone a moment later:
// libvirt loses it when another process defines the same VM at the same time.
const defineTries = 3

// gone reports whether the VM itself is what was not found.
func gone(err error) bool {
	return fault.KindOf(err) == fault.NotFound && fault.FieldOf(err) == ""
}

// make makes or completes the VM, or leaves nothing that it made.
func (d *Driver) make(ctx context.Context, host domxml.Host, vm spec.VM) error {
	made, err := d.define(ctx, host, vm)
	if err == nil && !made {
		err = d.adopt(ctx, vm)
	}
	if err == nil {
		err = d.finish(ctx, vm)
	}
	if err != nil && made && !gone(err) {
		err = d.undo(ctx, vm.UUID, err)
	}
	return err
}

// refuse answers what the connection cannot do, and files of the host that are
// missing, where this machine is the host.
func (d *Driver) refuse(vm spec.VM) error {
	c := d.Capabilities()
	if vm.SeedDigest() != "" && !c.CloudInit {
		return fault.At("cloud_init", fault.Errorf(fault.Unsupported, "no seeds: %s", c.Why["CloudInit"]))
	}
	for key, n := range vm.NICs {
		if n.Network == "" && !c.UserNetworking {
			return fault.At("nics."+key+".network", fault.Errorf(fault.Unsupported, "no user networking: %s", c.Why["UserNetworking"]))
		}
		if n.Network != "" && len(c.NetworkModes) == 0 {
			return fault.At("nics."+key+".network", fault.Errorf(fault.Unsupported, "no virtual networks: %s", c.Why["NetworkModes"]))
		}
	}
	if vm.Boot == nil || !d.conn.URI().Local() || d.conn.URI().Driver != "qemu" {
		return nil
	}
	for field, path := range map[string]string{"kernel": vm.Boot.Kernel, "initrd": vm.Boot.Initrd} {
		if path == "" {
			continue
		}
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			return fault.At(field, fault.Errorf(fault.Invalid, "there is no file %s on the host", path))
		}
	}
	return nil
}

// define makes the definition, with everything resolved, unless an earlier call
// did. made is whether this call made it. The definition is the record of what
// the VM will own, so it comes before the disks.
func (d *Driver) define(ctx context.Context, host domxml.Host, vm spec.VM) (made bool, err error) {
	uuid, err := uuidOf(vm.UUID)
	if err != nil {
		return false, fault.As(fault.Invalid, err)
	}
	err = d.conn.Do(ctx, func(l *libvirt.Libvirt) error {
		_, err := l.DomainLookupByUUID(uuid)
		if err == nil || !is(err, libvirt.ErrNoDomain) {
			return err
		}
		if other, err := l.DomainLookupByName(vm.Name); err == nil {
			if other.UUID == uuid {
				return nil // a call that was cut short was still under way
			}
			return taken("VM", vm.Name, other.UUID)
		}
		resolved, err := d.resolve(ctx, l, vm)
		if err != nil {
			return err
		}
		dom, err := domxml.New(host, resolved)
		if err != nil {
			return err
		}
		doc, err := dom.Marshal()
		if err != nil {
			return err
		}
		if _, err = l.DomainDefineXMLFlags(doc, libvirt.DomainDefineValidate); err != nil {
			return fmt.Errorf("define: %w", err)
		}
		made = true
		return nil
	})
	return made, err
}

// adopt brings what an earlier call left to the definition that is wanted now.
func (d *Driver) adopt(ctx context.Context, vm spec.VM) error {
	have, err := d.VM(ctx, vm.UUID)
	if err != nil {
		return err
	}
	if have.Power == spec.Stopped {
		if _, err := d.redefine(ctx, vm, nil); err != nil {
			return err
		}
		return d.drop(ctx, vm.UUID)
	}
	if plan := change.VM(have.VM, vm); !plan.Empty() {
		_, err = d.update(ctx, vm, plan, spec.Shutdown{Timeout: adoptOff, Force: true})
	}
	return err
}

// finish makes what the definition of the VM says it owns and is not there yet,
// and brings the VM to its power state.
func (d *Driver) finish(ctx context.Context, vm spec.VM) error {
	info, err := d.VM(ctx, vm.UUID)
	if err != nil {
		return err
	}
	if info.Power == spec.Stopped {
		if err := d.makeOwned(ctx, vm, info); err != nil {
			return err
		}
	}
	if err := d.setAutostart(ctx, vm); err != nil {
		return err
	}
	if vm.Power == spec.Running && info.Power != spec.Running {
		return d.StartVM(ctx, vm.UUID)
	}
	return nil
}

func (d *Driver) setAutostart(ctx context.Context, vm spec.VM) error {
	return d.withDomain(ctx, vm.UUID, func(l *libvirt.Libvirt, dom libvirt.Domain) error {
		want := int32(0)
		if vm.Autostart {
			want = 1
		}
		if have, err := l.DomainGetAutostart(dom); err != nil || have == want {
			return err
		}
		return l.DomainSetAutostart(dom, want)
	})
}

// undo removes what a failed create made and returns why it failed, with a word
// on what could not be removed.
func (d *Driver) undo(ctx context.Context, id string, failed error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
	defer cancel()
	err := d.StopVM(ctx, id, spec.Shutdown{Force: true})
	if err == nil {
		err = d.DeleteVM(ctx, id)
	}
	if err != nil {
		return fmt.Errorf("%w (and parts of it stay until the next attempt: %v)", failed, err)
	}
	return failed
}

// withDomain runs f with the domain of the UUID.
func (d *Driver) withDomain(ctx context.Context, id string, f func(*libvirt.Libvirt, libvirt.Domain) error) error {
	uuid, err := uuidOf(id)
	if err != nil {
		return err
	}
	return d.conn.Do(ctx, func(l *libvirt.Libvirt) error {
		dom, err := l.DomainLookupByUUID(uuid)
		if err != nil {
			return err
		}
		return f(l, dom)
	})
}

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
	vol, err := l.StorageVolLookupByName(pool, name)
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

// DeleteVM removes what the VM owns and then its definition, so that an
// interrupted delete can be made again.
func (d *Driver) DeleteVM(ctx context.Context, id string) error {
	err := d.withDomain(ctx, id, func(l *libvirt.Libvirt, dom libvirt.Domain) error {
		power, err := powerOf(l, dom)
		if err != nil {
			return err
		}
		if power != spec.Stopped && power != spec.Crashed {
			return fault.Errorf(fault.Busy, "the VM is %s", power)
		}
		doc, err := l.DomainGetXMLDesc(dom, libvirt.DomainXMLInactive)
		if err != nil {
			return err
		}
		p, err := domxml.Parse(doc)
		if err != nil {
			return err
		}
		for _, volume := range append(p.Meta.Owned(), p.Meta.Dropped()...) {
			if err := deleteOwned(l, volume, dom.Name); err != nil {
				return err
			}
		}
		err = l.DomainUndefineFlags(dom, undefineFlags)
		if is(err, libvirt.ErrInvalidArg) || fault.KindOf(libvirtconn.Fault(err)) == fault.Unsupported {
			err = l.DomainUndefineFlags(dom, undefineLess)
		}
		return err
	})
	if gone(err) {
		return nil
	}
	return err
}

// deleteOwned deletes a volume of the domain called owner, unless another needs
// it.
func deleteOwned(l *libvirt.Libvirt, id, owner string) error {
	poolName, name, ok := spec.SplitVolumeID(id)
	if !ok {
		return nil
	}
	pool, err := l.StoragePoolLookupByName(poolName)
	if is(err, libvirt.ErrNoStoragePool) {
		return nil
	}
	if err != nil {
		return err
	}
	vol, err := findVolume(l, pool, name)
	if err != nil {
		return err
	}
	if vol != nil {
		if err := deleteUnused(l, *vol, owner); err != nil {
			return err
		}
	}
	return deleteNamed(l, pool, name+unfinished)
}
