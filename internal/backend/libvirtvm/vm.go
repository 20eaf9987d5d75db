package libvirtvm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
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
	for try := 1; ; try++ {
		err := d.make(ctx, host, vm)
		if err == nil {
			return d.VM(ctx, vm.UUID)
		}
		if !disturbed(err) || try == makeTries {
			return spec.VMInfo{}, err
		}
		select {
		case <-ctx.Done():
			return spec.VMInfo{}, ctx.Err()
		case <-time.After(time.Duration(try) * 50 * time.Millisecond):
		}
	}
}

// makeTries is how often a VM is made whose making another process disturbs: one
// that makes the same VM at the same time. libvirt then loses one of two
// definitions for a moment, and a volume is there that is still being made.
const makeTries = 4

// disturbed reports whether another process may have been at work. All that the
// VM refers to was found before, so what is missing now was there.
func disturbed(err error) bool {
	k := fault.KindOf(err)
	return k == fault.NotFound || k == fault.Busy
}

// gone reports whether the VM itself is what was not found.
func gone(err error) bool {
	return fault.KindOf(err) == fault.NotFound && fault.FieldOf(err) == ""
}

// make makes or completes the VM, or leaves nothing that it made. What another
// process may have made or be making is left alone, and so is a disk that was
// there before: all that is left of a VM that somebody undefined.
func (d *Driver) make(ctx context.Context, host domxml.Host, vm spec.VM) error {
	made, found, err := d.define(ctx, host, vm)
	if err == nil && !made {
		err = d.adopt(ctx, vm)
	}
	if err == nil {
		err = d.finish(ctx, vm)
	}
	if err != nil && made && !disturbed(err) {
		err = d.undo(ctx, vm.UUID, found, err)
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
// did. made is whether this call made it, and found are the disks of its own that
// were there before. The definition is the record of what the VM will own, so it
// comes before the disks.
func (d *Driver) define(ctx context.Context, host domxml.Host, vm spec.VM) (made bool, found []string, err error) {
	uuid, err := uuidOf(vm.UUID)
	if err != nil {
		return false, nil, fault.As(fault.Invalid, err)
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
		resolved, err := d.resolve(l, vm)
		if err != nil {
			return err
		}
		if found, err = ownDisks(l, resolved.Disks); err != nil {
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
	return made, found, err
}

// ownDisks returns the ids of the disks of the VM's own that are there already.
func ownDisks(l *libvirt.Libvirt, disks map[string]domxml.Disk) (ids []string, err error) {
	for _, disk := range disks {
		if !disk.Owned() {
			continue
		}
		poolName, name, _ := spec.SplitVolumeID(disk.ID)
		pool, err := l.StoragePoolLookupByName(poolName)
		if err != nil {
			return nil, err
		}
		vol, err := findVolume(l, pool, name)
		if err != nil {
			return nil, err
		}
		if vol != nil {
			ids = append(ids, disk.ID)
		}
	}
	return ids, nil
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

// undo removes what a failed create made, all but the volumes to keep, and returns
// why it failed, with a word on what could not be removed.
func (d *Driver) undo(ctx context.Context, id string, keep []string, failed error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
	defer cancel()
	err := d.StopVM(ctx, id, spec.Shutdown{Force: true})
	if err == nil {
		err = d.remove(ctx, id, keep)
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

// DeleteVM removes what the VM owns and then its definition, so that an
// interrupted delete can be made again.
func (d *Driver) DeleteVM(ctx context.Context, id string) error { return d.remove(ctx, id, nil) }

// remove is DeleteVM without the volumes to keep.
func (d *Driver) remove(ctx context.Context, id string, keep []string) error {
	err := d.withDomain(ctx, id, func(l *libvirt.Libvirt, dom libvirt.Domain) error {
		power, err := powerOf(l, dom)
		if err != nil {
			return err
		}
		if power != spec.Stopped {
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
			if slices.Contains(keep, volume) {
				continue
			}
			if err := deleteVolume(l, volume, dom.Name); err != nil {
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
